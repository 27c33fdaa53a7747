"""charrnn eval: how well a model expects a text, in bits a character."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    existing_model,
    use_threads,
)
from charrnn.cli.streams import Output
from charrnn.errors import TextError
from charrnn.terminal import say

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint
    from charrnn.evaluate import Score


def evaluate(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", show_default=False, help="Files, - for stdin; none: the held-out part."),
    ] = None,
    model: ModelOption = None,
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
    sources: list[str | None] = [*text] if text else [None]  # None is the held-out part
    for source in sources:
        result = score_held_out(checkpoint) if source is None else score_source(checkpoint, source, quiet)
        name = f"{' '.join(checkpoint.origin.sources)} (held out)" if source is None else source
        if not result.chars:
            raise TextError(f"{name}: holds no character that the model knows: there is nothing to score")
        if json:
            output.record(
                {
                    "text": name,
                    "model": str(path),
                    "chars": result.chars,
                    "unknown": result.unknown,
                    "nats_per_char": result.nats_per_char,
                    "bits_per_char": result.bits_per_char,
                    "perplexity": result.perplexity,
                    "accuracy": result.accuracy,
                }
            )
        else:
            output.write(f"{result.bits_per_char:.4f}\t{result.chars}\t{name}\n")


def score_source(checkpoint: "Checkpoint", name: str, quiet: bool) -> "Score":
    """Score a file or stdin as it is read."""
    from charrnn.corpus import read_text
    from charrnn.evaluate import score_ids

    vocab, remarks = checkpoint.vocab, list[str]()
    blocks = read_text(name, vocab.normalize, remarks)
    result = score_ids(checkpoint.best_model, map(vocab.encode, blocks), vocab.start_id)
    if result.unknown:
        remarks.append(f"{name}: left out {result.unknown} characters that the model does not know")
    tell(remarks, quiet)
    return result


def score_held_out(checkpoint: "Checkpoint") -> "Score":
    """Score the part of the model's own corpus that it was not trained on."""
    from charrnn.corpus import load_corpus, split
    from charrnn.evaluate import score_ids

    origin, config = checkpoint.origin, checkpoint.train
    if "-" in origin.sources:
        raise TextError("the model was trained from stdin: name a text to score")
    if not config.val_fraction:
        raise TextError("the model was trained on all of its text (--val-fraction 0): name a text to score")
    corpus = load_corpus(origin.sources, config.encoding, checkpoint.vocab.normalize, config.min_count)
    if corpus.sha256 != origin.sha256:
        raise TextError(f"{' '.join(origin.sources)}: not the text that the model was trained on: name a text to score")
    held_out = split(corpus.ids, config.val_fraction)[1]
    return score_ids(checkpoint.best_model, [held_out], checkpoint.vocab.start_id)


def tell(remarks: Iterable[str], quiet: bool) -> None:
    """Say on stderr what was done to a text."""
    if not quiet:
        for remark in remarks:
            say(remark)
