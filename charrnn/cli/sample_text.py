"""The texts of charrnn sample: the prompt, the stops and the samples."""

from collections.abc import Iterable

from charrnn.api.sampling import Piece
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.core.vocab import UNKNOWN, Vocab, named
from charrnn.data.reading import read_text

RULE = "─" * 20  # between samples on a terminal


def prompt_text(prompt: str | None, prompt_file: str | None, output: Output) -> str:
    """Return the text to continue."""
    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file: give one of them")
    if prompt_file is None:
        return (prompt or "").removeprefix("\ufeff").replace("\r\n", "\n")  # as in a file that is read
    remarks = list[str]()
    text = "".join(read_text(prompt_file, "none", remarks))
    output.note(*remarks)
    return text


def pattern_text(regex: str | None, regex_file: str | None, output: Output) -> str | None:
    """Return the pattern of the samples, without the newline that ends its file; None if there is none."""
    if regex is not None and regex_file is not None:
        raise UsageError("--regex and --regex-file: give one of them")
    if regex_file is None:
        return regex
    remarks = list[str]()
    text = "".join(read_text(regex_file, "none", remarks))
    output.note(*remarks)
    return text.removesuffix("\n")


def known_text(vocab: Vocab, text: str, unknown: str, output: Output) -> str:
    """Return a prompt in the model's normal form; with `unknown` "skip" without the characters that it does not know.

    Raises UnknownCharacterError for such characters if `unknown` is "error".
    """
    text = vocab.normalized(text)
    if unknown == "error":
        vocab.encode_known(text)
        return text
    strange = {c for c, i in zip(text, vocab.encode(text), strict=True) if i == UNKNOWN}
    if strange:
        output.note(f"left out of the prompt: {named(sorted(strange))}")
    return "".join(c for c in text if c not in strange)


def write_pieces(pieces: Iterable[Piece], echo: str, output: Output, seed: int, model: str) -> None:
    """Write samples, each after the prompt: text as it comes, ended by a newline, or one JSON object per sample.

    On a terminal, a rule is between a sample of several lines and the next one.
    """
    parts, lines, has_rule = [echo], 0, False
    for piece in pieces:
        parts.append(piece.text)
        if not output.json:
            if has_rule:
                output.write(f"{RULE}\n")
            lines += "".join(parts).count("\n")
            has_rule = output.to_terminal and piece.finish is not None and lines > 0
            output.write("".join(parts) + "\n" * (piece.finish is not None))
            parts = []
        elif piece.finish is not None:
            sample = {"index": piece.sample, "seed": seed, "text": "".join(parts)}
            output.record(sample | {"nats_per_char": piece.nats_per_char, "finish": piece.finish, "model": model})
        if piece.finish is not None:
            parts, lines = [echo], 0
