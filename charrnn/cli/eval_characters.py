"""charrnn eval --per-char and --next: how each character was expected, and which ones would come next."""

from collections.abc import Sequence
from itertools import chain, tee
from typing import Any

from charrnn.cli.streams import Output
from charrnn.cli.texts import Encoded, Scorer, in_form, tell_unknown, texts_to_score
from charrnn.evaluate import Expectation, bits, expectations, likeliest

ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}  # what a row cannot hold


def score_characters(names: Sequence[str], scorer: Scorer, output: Output, json: bool, quiet: bool) -> None:
    """Write a row a character of each text, read as one stream."""
    vocab, model = scorer.vocab, scorer.trained.model
    for name, blocks in texts_to_score(names, scorer.trained, quiet):
        to_score, to_write = tee(in_form(blocks, vocab))
        text = Encoded(to_score, vocab)
        found = expectations(model, text, vocab.start_id)
        for expected, character in zip(found, chain.from_iterable(to_write), strict=True):
            write(output, name, scorer, character, expected, json)
        tell_unknown(name, [text.unknown], [scorer], quiet)


def tell_next(names: Sequence[str], scorer: Scorer, output: Output, json: bool, count: int, quiet: bool) -> None:
    """Write a row for each of the characters that are likeliest after each text."""
    vocab, model = scorer.vocab, scorer.trained.model
    for name, blocks in texts_to_score(names, scorer.trained, quiet):
        text = Encoded(blocks, vocab)
        found = likeliest(model, text, vocab.start_id, count)
        tell_unknown(name, [text.unknown], [scorer], quiet)
        for expected in found:
            write(output, name, scorer, vocab.characters[expected.id], expected, json)


def write(output: Output, name: str, scorer: Scorer, character: str, expected: Expectation | None, json: bool) -> None:
    """Write a character and how it was expected: bits, probability, rank; nothing of one that the model lacks."""
    if json:
        output.record(record(name, scorer, character, expected))
        return
    figures = ["-", "-", "-"]
    if expected:
        figures = [f"{bits(expected.nats):.4f}", f"{expected.probability:.6f}", str(expected.rank)]
    output.write("\t".join([*figures, character.translate(ESCAPES)]) + "\n")


def record(name: str, scorer: Scorer, character: str, expected: Expectation | None) -> dict[str, Any]:
    """Return the JSON object of a character."""
    figures = (expected.nats, bits(expected.nats), expected.probability, expected.rank) if expected else (None,) * 4
    keys = ("nats", "bits", "probability", "rank")
    return {"text": name, "model": str(scorer.path), "char": character, **dict(zip(keys, figures, strict=True))}
