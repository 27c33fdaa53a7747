"""charrnn eval of whole texts: by a model, by several side by side, or by a model and the baselines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from charrnn.cli.streams import Output
from charrnn.cli.texts import (
    Encoded,
    Scorer,
    Text,
    bits_column,
    held_out_text,
    own_text,
    record,
    tell_unknown,
    texts_to_score,
)
from charrnn.dynamic import score_dynamically
from charrnn.errors import TextError
from charrnn.evaluate import Score, bits, full_nats, last, score
from charrnn.vocab import UNKNOWN

if TYPE_CHECKING:
    from charrnn.baselines import Baseline


class Table:
    """The rows of texts: a figure a model, beside them the best one's name where there are several; at last a total."""

    def __init__(self, scorers: Sequence[Scorer], output: Output, json: bool) -> None:
        self.scorers, self.output, self.json = scorers, output, json
        self.total = [Score() for _ in scorers]
        self.costs = [0.0 for _ in scorers]
        self.texts = 0

    def add(self, name: str, scores: Sequence[Score], costs: Sequence[float]) -> None:
        """Write the row of a text: its scores, and what it costs each model down to the last character, in nats."""
        self.write(name, scores, costs)
        self.total = list(map(add, self.total, scores))
        self.costs = list(map(add, self.costs, costs))
        self.texts += 1

    def close(self) -> None:
        """Write the total of several texts."""
        if self.texts > 1:
            self.write(None, self.total, self.costs)

    def write(self, name: str | None, scores: Sequence[Score], costs: Sequence[float]) -> None:
        """Write a row, or an object a model."""
        best = min(range(len(costs)), key=costs.__getitem__)
        several = len(self.scorers) > 1
        if self.json:
            for k, (scorer, result) in enumerate(zip(self.scorers, scores, strict=True)):
                more = {"best": k == best} if several else {}
                self.output.record(record(name, str(scorer.path), result) | interval(result) | more)
            return
        columns = [*map(bits_column, scores), *([self.scorers[best].name] if several else [])]
        self.output.write("\t".join([*columns, str(scores[0].chars), name or "total"]) + "\n")


def interval(result: Score) -> dict[str, list[float] | None]:
    """Return the confidence interval of a mean in bits, as JSON has it."""
    found = result.interval
    return {"ci95_bits_per_char": [bits(end) for end in found] if found else None}


def score_texts(
    names: Sequence[str], scorers: Sequence[Scorer], output: Output, json: bool, dynamic: bool, quiet: bool
) -> None:
    """Write a row a text, and a total of several."""
    table = Table(scorers, output, json)
    for name, blocks in texts_to_score(names, scorers[0].trained, quiet):
        copies = tee(blocks, len(scorers))
        texts = [Encoded(copy, scorer.vocab) for copy, scorer in zip(copies, scorers, strict=True)]
        scores = abreast([scores_of(scorer, text, dynamic) for scorer, text in zip(scorers, texts, strict=True)])
        check_scored(name, scores[0])
        tell_unknown(name, [text.unknown for text in texts], scorers, quiet)
        costs = [full_nats(text.vocab, result, text.stand_ins) for text, result in zip(texts, scores, strict=True)]
        table.add(name, scores, costs)
    table.close()


def scores_of(scorer: Scorer, text: Encoded, dynamic: bool) -> Iterator[Score]:
    """Score a text by a model; yield the score so far."""
    by = score_dynamically if dynamic else score
    return by(scorer.trained.model, text, scorer.vocab.start_id)


def abreast(scorings: Sequence[Iterator[Score]]) -> list[Score]:
    """Bring several scorings of a text to their ends, none far ahead of another: what one has read the others need."""
    results = [Score() for _ in scorings]
    active = set(range(len(scorings)))
    while active:
        hindmost = min(active, key=lambda k: (results[k].chars + results[k].unknown, k))
        result = next(scorings[hindmost], None)
        if result is None:
            active.remove(hindmost)
        else:
            results[hindmost] = result
    return results


def check_scored(name: str, result: Score) -> None:
    """Raise TextError if a model knows nothing of a text."""
    if not result.chars:
        raise TextError(f"{name}: holds no character that the model knows: there is nothing to score")


def score_against_baselines(
    names: Sequence[str], scorer: Scorer, output: Output, json: bool, dynamic: bool, quiet: bool
) -> None:
    """Write a row a text for the model and for each baseline, all on the characters that the model knows."""
    training, held_out = own_text(scorer.trained, not names, "--against-baselines")
    from charrnn.baselines import baselines

    rivals = baselines(training, scorer.vocab)
    texts: Iterable[Text] = [held_out_text(scorer.trained, held_out)]
    for name, blocks in texts_to_score(names, scorer.trained, quiet) if names else texts:
        for by, result in scores_beside(scorer, Encoded(blocks, scorer.vocab), rivals, name, dynamic, quiet):
            if json:
                output.record(record(name, by, result) | interval(result))
            else:
                output.write(f"{bits_column(result)}\t{result.chars}\t{name}\t{by}\n")


def scores_beside(
    scorer: Scorer, text: Encoded, rivals: "dict[str, Baseline]", name: str, dynamic: bool, quiet: bool
) -> Iterator[tuple[str, Score]]:
    """Score a text by the model, then by each baseline; it is held in memory."""
    blocks = list(text)
    text.blocks = []
    by = score_dynamically if dynamic else score
    result = last(by(scorer.trained.model, blocks, scorer.vocab.start_id))
    check_scored(name, result)
    tell_unknown(name, [text.unknown], [scorer], quiet)
    yield str(scorer.path), result
    known = np.concatenate([block[block != UNKNOWN] for block in blocks])
    yield from ((rival, replace(result, nats=nats(known), hits=None, pieces=())) for rival, nats in rivals.items())
