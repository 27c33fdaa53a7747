"""The texts that charrnn eval reads."""

import fcntl
import os
import stat
import termios
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np

from charrnn.api.model import Model
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.core.ops import Ids
from charrnn.core.vocab import UNKNOWN, Vocab, text_of
from charrnn.data.compressed import COMPRESSED
from charrnn.data.normalization import normalized_blocks
from charrnn.data.reading import byte_blocks, characters
from charrnn.data.sources import STDIN, open_bytes, shown
from charrnn.evaluation.lines import count_replaced
from charrnn.plots.display_width import one_line

encoding_errors = "strict"  # set by --encoding-errors: what to do with bytes that are not UTF-8

CHARS_PER_BLOCK = 1 << 16  # of a held-out text, whose ids are turned back into characters


class Blocks:
    """The blocks of a text, which can be read once, and how many characters it has."""

    def __init__(self, blocks: Iterable[str], chars: int) -> None:
        self.blocks, self.chars = blocks, chars

    def __iter__(self) -> Iterator[str]:
        return iter(self.blocks)

    def expected(self) -> int | None:
        """Return how many characters the text will have, None as long as that cannot be known."""
        return self.chars


class FileBlocks(Blocks):
    """The blocks of a file or of stdin as they arrive; at the end it notes what was changed in the text."""

    def __init__(self, name: str, output: Output) -> None:
        super().__init__((), 0)  # characters so far
        self.name, self.output = name, output
        self.size = self.read = 0  # bytes of the text, 0 if they are unknown, and those that have been read

    def __iter__(self) -> Iterator[str]:
        remarks = list[str]()
        with open_bytes(self.name) as file:
            self.size = file_size(file)
            raw = self.counted(byte_blocks(file, self.name))
            for block in characters(raw, self.name, "utf-8", "none", remarks, encoding_errors):
                self.chars += len(block)
                yield block
        self.output.note(*remarks)

    def counted(self, raw: Iterable[bytes]) -> Iterator[bytes]:
        """Yield blocks of bytes, and count the bytes; those of a compressed text tell nothing of its characters."""
        for block in raw:
            if not self.read and block.startswith(tuple(COMPRESSED)):
                self.size = 0
            self.read += len(block)
            yield block

    def expected(self) -> int | None:
        """Return an estimate from the characters per byte so far, which is exact at the end."""
        return round(self.chars * self.size / self.read) if self.size and self.read else None


Text = tuple[str, Blocks]  # a name, and what can be read once


class EncodedText:
    """The ids of a text, which can be read once, block by block; counts the characters that the vocabulary lacks."""

    def __init__(self, blocks: Iterable[str], vocab: Vocab) -> None:
        self.blocks, self.vocab = normalized_blocks(blocks, vocab.normalize), vocab
        self.unknown = self.replaced = 0  # characters without an id; characters replaced by the unknown symbol

    def __iter__(self) -> Iterator[Ids]:
        for block in self.blocks:
            ids = self.vocab.encode(block)
            self.unknown += int(np.count_nonzero(ids == UNKNOWN))
            self.replaced += count_replaced(self.vocab, ids)
            yield ids


def open_texts(names: Sequence[str], model: Model, output: Output) -> list[Text]:
    """Return the named texts, or without names the held-out part of the model's corpus."""
    if names:
        return named_texts(names, output)
    return [held_out_text(model, model.own_text(True, None, output.note)[1])]


def named_texts(names: Sequence[str], output: Output) -> list[Text]:
    """Return files by name, - for stdin; each is opened when its first block is read."""
    return [(name, FileBlocks(name, output)) for name in names]


def file_size(file: IO[bytes]) -> int:
    """Return the bytes that are left in a file, 0 if it has no end yet, as a pipe."""
    try:
        status = os.fstat(file.fileno())
        return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else 0
    except OSError:  # a file of this process alone
        return 0


def held_out_text(model: Model, held_out: Ids) -> Text:
    """Return the held-out part of a model's corpus, with U+FFFD for each unknown symbol."""
    symbols = np.append(model.vocab.symbols, 0xFFFD)
    starts = range(0, len(held_out), CHARS_PER_BLOCK)
    blocks = (text_of(symbols[held_out[i : i + CHARS_PER_BLOCK]]) for i in starts)
    return f"{one_line(shown(model.origin.sources))} (held out)", Blocks(blocks, len(held_out))


def prepare(names: Sequence[str], errors: str, output: Output) -> None:
    """Set what to do with bytes that are not UTF-8; without names note that stdin is not read, if it has something."""
    if [*names].count(STDIN) > 1:
        raise UsageError("-: stdin can be read once: name it once")
    global encoding_errors  # the one place where it is set
    encoding_errors = errors
    if not names and stdin_has_text():
        output.note("stdin is not read: name it as - to score it")


def stdin_has_text() -> bool:
    """Return whether a pipe or a file is waiting to be read on stdin."""
    try:
        mode, waiting = os.fstat(0).st_mode, array("i", [0])
        if stat.S_ISREG(mode):
            waiting[0] = os.fstat(0).st_size > os.lseek(0, 0, os.SEEK_CUR)
        elif stat.S_ISFIFO(mode):
            fcntl.ioctl(0, termios.FIONREAD, waiting)
    except OSError:  # a closed stdin
        return False
    return bool(waiting[0])


def note_unknown(output: Output, text: str, unknown: Sequence[int], models: Sequence[Model]) -> None:
    """Note how many characters of a text each model left out, if any."""
    names = ["the model"] if len(models) == 1 else [model.name for model in models]
    for name, count in zip(names, unknown, strict=True):
        if count:
            output.note(f"{text}: left out {count} characters that {name} does not know")
