"""charrnn eval of texts: with one model, with several side by side, or with one model and baselines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee
from operator import add
from typing import Any

import numpy as np

from charrnn.api.model import Model
from charrnn.cli.eval_inputs import (
    EncodedText,
    held_out_text,
    named_texts,
    note_unknown,
    open_texts,
)
from charrnn.cli.streams import Output
from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.score import Score, bits
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation import confidence
from charrnn.evaluation.dynamic import score_dynamically
from charrnn.evaluation.lines import full_nats
from charrnn.evaluation.text import last, score
from charrnn.plots.display_width import cells
from charrnn.terminal.progress import Wait

FIGURE_CELLS = 7  # of bits per character: 12.3456


def score_texts(names: Sequence[str], models: Sequence[Model], output: Output, dynamic: bool) -> None:
    """Write one row per text, and the total of several texts."""
    count, total, total_nats = 0, [Score() for _ in models], [0.0 for _ in models]
    if len(models) > 1:
        output.head(*model_columns(models), "characters", "text")
    for name, blocks in open_texts(names, models[0], output):
        pairs = zip(models, tee(blocks, len(models)), strict=True)
        texts = [EncodedText(copy, model.vocab) for model, copy in pairs]
        scorings = [scoring(model, text, dynamic) for model, text in zip(models, texts, strict=True)]
        with Wait(name, blocks.expected, output.quiet) as wait:
            scores = advance_together([reported(scorings[0], wait), *scorings[1:]])
        check_scored(name, scores[0])
        note_unknown(output, name, [text.unknown for text in texts], models)
        nats = [full_nats(text.vocab, result, text.replaced) for text, result in zip(texts, scores, strict=True)]
        write_scores(output, name, models, scores, nats, str(scores[0].chars), name)
        count, total, total_nats = count + 1, list(map(add, total, scores)), list(map(add, total_nats, nats))
    if count > 1:
        write_scores(output, None, models, total, total_nats, str(total[0].chars), "total")


def scoring(model: Model, blocks: Iterable[Ids], dynamic: bool) -> Iterator[Score]:
    """Return the scores so far of a text by a model, or by a copy of it that learns from the text."""
    if dynamic:
        return score_dynamically(model.network, blocks, model.vocab.start_id, model.bases)
    return score(model.network, blocks, model.vocab.start_id)


def reported(scores: Iterator[Score], wait: Wait) -> Iterator[Score]:
    """Yield the scores so far of a text, and show how many characters have been read."""
    before = 0
    for each in scores:
        wait(each.chars + each.unknown - before)
        before = each.chars + each.unknown
        yield each


def advance_together(scorings: Sequence[Iterator[Score]]) -> list[Score]:
    """Run several scorings of one text to their ends; return their last scores.

    The one that has read least advances next, so that no model's part of the text must be kept for the others.
    """
    results = [Score() for _ in scorings]
    active = set(range(len(scorings)))
    while active:
        slowest = min(active, key=lambda k: (results[k].chars + results[k].unknown, k))
        result = next(scorings[slowest], None)
        if result is None:
            active.remove(slowest)
        else:
            results[slowest] = result
    return results


def check_scored(name: str, result: Score) -> None:
    """Raise TextError if no character of a text could be scored."""
    if not result.chars:
        raise TextError(f"{name}: contains no character that the model knows: nothing to score")


def score_against_baselines(names: Sequence[str], model: Model, output: Output, dynamic: bool) -> None:
    """Write one row per text for the model and for each baseline, all on the characters that the model knows.

    A text is held in memory.
    """
    training, held_out = model.own_text(not names, "--against-baselines", output.note)
    from charrnn.evaluation.baselines import baselines

    rivals = baselines(training, model.vocab)
    for name, blocks in named_texts(names, output) or [held_out_text(model, held_out)]:
        text = EncodedText(blocks, model.vocab)
        ids = list(text)
        with Wait(name, sum(map(len, ids)), output.quiet) as wait:
            result = last(reported(scoring(model, ids, dynamic), wait))
        check_scored(name, result)
        note_unknown(output, name, [text.unknown], [model])
        write_scorer(output, name, str(model.path), result)
        known = np.concatenate([block[block != UNKNOWN] for block in ids])
        for rival, nats in rivals.items():
            write_scorer(output, name, rival, replace(result, nats=nats(known), hits=None, pieces=()))


def write_scorer(output: Output, text: str, scorer: str, result: Score) -> None:
    """Write a row with the score of the model or of a baseline."""
    if output.json:
        output.record(score_record(text, scorer, result))
    else:
        output.row(bits_column(result), str(result.chars), text, scorer)


# ---- rows ----


def model_columns(models: Sequence[Model]) -> list[str]:
    """Return the names of the columns with the figures of several models and with the best one's name."""
    names = [model.name for model in models]
    return [*(name.ljust(FIGURE_CELLS) for name in names), "best".ljust(max(map(cells, names)))]


def write_scores(
    output: Output,
    text: str | None,
    models: Sequence[Model],
    scores: Sequence[Score],
    full_nats: Sequence[float],
    *columns: str,
) -> None:
    """Write a row: bits per character of each model, the best model's name if there are several, and more columns.

    With --json, write one object per model. The best model has the lowest of `full_nats`.
    """
    several, best = len(models) > 1, full_nats.index(min(full_nats))
    if output.json:
        for k, (model, score) in enumerate(zip(models, scores, strict=True)):
            more = {"best": k == best} if several else {}
            output.record(score_record(text, str(model.path), score) | more)
        return
    names = [models[best].name] if several else []
    output.row(*map(bits_column, scores), *names, *columns)


def score_record(text: str | None, model: str, score: Score, line: str | None = None) -> dict[str, Any]:
    """Return the JSON object of a score of a text, or of a line of it; null where nothing could be scored."""
    interval = confidence.interval(score) if line is None else None
    return {
        "text": text,
        **({} if line is None else {"line": line}),
        "model": model,
        "chars": score.chars,
        "unknown": score.unknown,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
        **({"ci95_bits_per_char": interval and [bits(end) for end in interval]} if line is None else {}),
    }


def bits_column(score: Score) -> str:
    """Return bits per character as a column, a dash if nothing could be scored."""
    return "-" if score.bits_per_char is None else f"{score.bits_per_char:.4f}"
