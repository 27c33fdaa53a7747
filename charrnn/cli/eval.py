"""charrnn eval: how well a model expects a text, in bits a character."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    existing_model,
    option,
    use_threads,
)
from charrnn.cli.streams import Output
from charrnn.errors import TextError
from charrnn.terminal import say

if TYPE_CHECKING:
    from charrnn.baselines import Baseline
    from charrnn.checkpoint import Checkpoint
    from charrnn.evaluate import Score
    from charrnn.ops import Ids
    from charrnn.vocab import Vocab


def evaluate(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", show_default=False, help="Files, - for stdin; none: the held-out part."),
    ] = None,
    model: ModelOption = None,
    against_baselines: Annotated[
        bool, option("--against-baselines", text="Also score by an order-7 model, gzip, bz2 and xz.")
    ] = False,
    dynamic: Annotated[
        bool, option("--dynamic", text="Learn while reading, each character scored first; the file stays.")
    ] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Score texts in bits a character.

    A row a text: bits a character, characters, name. For example: charrnn eval -m plays chapter1.txt chapter2.txt
    """
    use_threads(threads)
    from charrnn.checkpoint import CheckpointStore

    path = existing_model(model, quiet)
    checkpoint = CheckpointStore(path).load()
    output = Output()
    texts: list[tuple[str, Iterable[Ids]]] = [(name, read_ids(name, checkpoint.vocab, quiet)) for name in text or ()]
    rivals: dict[str, Baseline] = {}
    if against_baselines or not texts:
        training, held_out = own_text(checkpoint, not texts, against_baselines)
        if against_baselines:
            from charrnn.baselines import baselines

            rivals = baselines(training, checkpoint.vocab)
        texts = texts or [(f"{' '.join(checkpoint.origin.sources)} (held out)", [held_out])]
    for name, blocks in texts:
        for scorer, result in scores(checkpoint, str(path), name, blocks, rivals, dynamic):
            if json:
                output.record(record(name, scorer, result))
            else:
                last = f"\t{scorer}" if rivals else ""
                output.write(f"{result.bits_per_char:.4f}\t{result.chars}\t{name}{last}\n")


def scores(
    checkpoint: "Checkpoint",
    model: str,
    name: str,
    blocks: "Iterable[Ids]",
    rivals: "dict[str, Baseline]",
    dynamic: bool,
) -> "Iterator[tuple[str, Score]]":
    """Score a text by the model, then by each baseline, all on the characters that the model knows."""
    import numpy as np

    from charrnn.dynamic import score_dynamically
    from charrnn.evaluate import last, score
    from charrnn.vocab import UNKNOWN

    blocks = list(blocks) if rivals else blocks  # the model alone needs no more than a window at a time
    scorer = score_dynamically if dynamic else score
    result = last(scorer(checkpoint.best_model, blocks, checkpoint.vocab.start_id))
    if not result.chars:
        raise TextError(f"{name}: holds no character that the model knows: there is nothing to score")
    yield model, result
    if rivals:
        known = np.concatenate([block[block != UNKNOWN] for block in blocks])
        yield from ((rival, replace(result, nats=nats(known), hits=None)) for rival, nats in rivals.items())


def record(name: str, model: str, result: "Score") -> dict[str, Any]:
    """Return the JSON object of a score."""
    return {
        "text": name,
        "model": model,
        "chars": result.chars,
        "unknown": result.unknown,
        "nats_per_char": result.nats_per_char,
        "bits_per_char": result.bits_per_char,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
    }


def read_ids(name: str, vocab: "Vocab", quiet: bool) -> "Iterator[Ids]":
    """Read a file or stdin as it comes, and at its end say what had to be changed or left out."""
    from charrnn.corpus import read_text
    from charrnn.vocab import UNKNOWN

    remarks, unknown = list[str](), 0
    for block in read_text(name, vocab.normalize, remarks):
        ids = vocab.encode(block)
        unknown += int((ids == UNKNOWN).sum())
        yield ids
    if unknown:
        remarks.append(f"{name}: left out {unknown} characters that the model does not know")
    tell(remarks, quiet)


def own_text(checkpoint: "Checkpoint", for_scoring: bool, for_baselines: bool) -> "tuple[Ids, Ids]":
    """Read the model's own corpus again: what it was trained on, and the part that was held out.

    Raises TextError if that cannot be, or if there is no held-out part to score, naming what works without it.
    """
    from charrnn.corpus import load_corpus
    from charrnn.train import parts

    ways = ["name a text to score"] * for_scoring + ["leave out --against-baselines"] * for_baselines
    advice = " and ".join(ways)
    origin, config = checkpoint.origin, checkpoint.train
    if "-" in origin.sources:
        raise TextError(f"the model was trained from stdin: {advice}")
    if for_scoring and not config.val_fraction:
        raise TextError("the model was trained on all of its text (--val-fraction 0): name a text to score")
    vocab = checkpoint.vocab
    corpus = load_corpus(origin.sources, config.encoding, vocab.normalize, config.min_count, known=vocab)
    if corpus.sha256 != origin.sha256:
        raise TextError(f"{' '.join(origin.sources)}: not the text that the model was trained on: {advice}")
    return parts(checkpoint, corpus.ids)


def tell(remarks: Iterable[str], quiet: bool) -> None:
    """Say on stderr what was done to a text."""
    if not quiet:
        for remark in remarks:
            say(remark)
