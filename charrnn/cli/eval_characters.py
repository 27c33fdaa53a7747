"""charrnn eval --per-char and --next: how likely each character was, and which ones are likely to come next."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, tee
from typing import Any

from charrnn.api.model import Model
from charrnn.cli.eval_inputs import EncodedText, note_unknown, open_texts
from charrnn.cli.streams import Output
from charrnn.core.score import bits
from charrnn.core.vocab import UNKNOWN
from charrnn.data.ignoring import Ignore
from charrnn.data.normalization import normalized_blocks
from charrnn.evaluation.characters import Prediction, likeliest, line_predictions, predictions
from charrnn.evaluation.lines import line_batches
from charrnn.plots.bars import bar
from charrnn.terminal.progress import Wait

ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}  # characters that break a row


HEAD = ("bits   ", "probability", "rank", "character")
SHOWN_BLANK = {ord(" "): "␣"}  # on a terminal, where a blank cannot be seen
BAR_CELLS = 20


@dataclass(frozen=True)
class CharacterReader:
    """How the characters of a text are predicted: as one stream, or with `lines` each line as a text of its own.

    Each prediction has the `top` likeliest characters. What the patterns of `ignore` match in lines is not predicted.
    """

    model: Model
    top: int = 0
    lines: bool = False
    ignore: Sequence[str] = ()

    def read(self, blocks: Iterable[str]) -> Iterator[tuple[str, Prediction | None]]:
        """Yield the characters of a text, normalized for the model, with their predictions; None for unknown ones."""
        network, vocab = self.model.network, self.model.vocab
        if self.lines:
            ignore = Ignore(self.ignore) if self.ignore else None
            for line in chain.from_iterable(line_batches(blocks)):
                yield from zip(line, line_predictions(network, vocab, ignore, line, self.top), strict=True)
            return
        to_score, to_show = tee(blocks)
        found = predictions(network, map(vocab.encode, to_score), vocab.start_id, self.top)
        yield from zip(chain.from_iterable(to_show), found, strict=True)


def score_characters(names: Sequence[str], reader: CharacterReader, output: Output) -> None:
    """Write one row per character of each text."""
    model, vocab = reader.model, reader.model.vocab
    for name, blocks in open_texts(names, model, output):
        output.head(*HEAD)
        unknown = 0
        with Wait(name, blocks.expected, output.quiet or output.to_terminal) as wait:  # rows are a sign of life
            for character, prediction in reader.read(normalized_blocks(blocks, vocab.normalize)):
                unknown += prediction is None and vocab.encode(character).item() == UNKNOWN
                write_character(output, name, model, character, prediction)
                wait(1)
        note_unknown(output, name, [unknown], [model])


def write_next(names: Sequence[str], model: Model, output: Output, count: int) -> None:
    """Write one row for each of the `count` characters that are most likely after each text."""
    vocab = model.vocab
    for name, blocks in open_texts(names, model, output):
        text = EncodedText(blocks, vocab)
        found = likeliest(model.network, text, vocab.start_id, count)
        note_unknown(output, name, [text.unknown], [model])
        write_likeliest(found, name, model, output)


def write_likeliest(found: Sequence[Prediction], name: str, model: Model, output: Output) -> None:
    """Write one row for each character that can come next, on a terminal with a bar for its probability."""
    characters = model.vocab.characters
    output.head(*HEAD)
    for prediction in found:
        bars = [bar(prediction.probability, BAR_CELLS)] if output.to_terminal else []
        write_character(output, name, model, characters[prediction.id], prediction, *bars)


def write_character(
    output: Output, name: str, model: Model, character: str, prediction: Prediction | None, *columns: str
) -> None:
    """Write a character with its bits, probability and rank; dashes for one that the model does not know."""
    if output.json:
        output.record(character_record(name, model, character, prediction))
        return
    figures = ["-", "-", "-"]
    if prediction:
        figures = [f"{bits(prediction.nats):.4f}", f"{prediction.probability:.6f}", str(prediction.rank)]
    output.row(*figures, character.translate(ESCAPES | SHOWN_BLANK if output.to_terminal else ESCAPES), *columns)


def character_record(name: str, model: Model, character: str, p: Prediction | None) -> dict[str, Any]:
    """Return the JSON object of a character, with null for what is not known."""
    losses = {"nats": p and p.nats, "bits": p and bits(p.nats)}
    chances = {"probability": p and p.probability, "rank": p and p.rank}
    characters = model.vocab.characters
    expected = {"top": [[characters[i], share] for i, share in p.likeliest]} if p and p.likeliest else {}
    return {"text": name, "model": str(model.path), "char": character, **losses, **chances, **expected}
