"""Texts on their way to the network: bytes -> characters -> ids on disk -> windows of B streams.

A text is never in memory as a whole. It is read twice, to count its characters and to write their ids to a temporary
file that has no name and so is gone with the process, and is memory-mapped from there.
"""

import codecs
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import TextError, UsageError
from charrnn.ops import Ids
from charrnn.vocab import CODE_POINTS, UNKNOWN, Vocab, codes_of, named, normalized

STDIN = "-"
BUNDLED = "plays.txt (bundled)"  # the source name of the corpus that comes with the program
BLOCK = 1 << 20  # bytes read at a time
SAFE_CUT = re.compile(r"[\0-\x7f\u3041-\u3096\u4e00-\u9fff]")  # characters that compose with nothing before them


@dataclass(frozen=True)
class Corpus:
    """A text as ids, and where it came from."""

    ids: Ids  # (N,), memory-mapped
    vocab: Vocab
    sources: tuple[str, ...]  # as they were given
    sha256: str  # of all bytes read, in order: for one file what sha256sum says
    remarks: tuple[str, ...]  # what reading changed, for people


def bundled_corpus() -> Path:
    """Return the path of the corpus that comes with the program: in the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside, beside = package / "corpora" / "plays.txt", package.parent / "corpora" / "plays.txt"
    return inside if inside.exists() else beside


def expand(sources: Iterable[str]) -> list[str]:
    """Replace each folder by its *.txt files, sorted."""
    files: list[str] = []
    for source in sources:
        if source in (STDIN, BUNDLED) or not os.path.isdir(source):
            files.append(source)
            continue
        texts = sorted(str(path) for path in Path(source).glob("*.txt") if path.is_file())
        if not texts:
            raise TextError(f"{source}: no *.txt files in this folder: name the files themselves")
        files += texts
    return files


def open_bytes(source: str) -> AbstractContextManager[IO[bytes]]:
    """Open a source, a path, STDIN or BUNDLED; stdin stays open afterwards."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError("stdin is closed: name a file, or pipe a text in")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(bundled_corpus() if source == BUNDLED else source, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise TextError(f"{source or 'the empty name'}: {getattr(error, 'strerror', None) or error}") from error


def raw_blocks(file: IO[bytes], name: str, use: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
    """Read bytes as they come, at most BLOCK at a time, and show each block to `use`."""
    try:
        while block := file.read1(BLOCK):  # type: ignore[attr-defined]  # every file here is buffered and has it
            if use:
                use(block)
            yield block
    except OSError as error:
        raise TextError(f"{name}: {error.strerror}") from error


def decoded(raw: Iterable[bytes], name: str, encoding: str) -> Iterator[str]:
    """Decode blocks of bytes strictly; the error names the source and the offset of the byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    for block in chain(raw, [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeError as error:
            at = read  # or, in the bytes held over from the block before and in this one:
            if isinstance(error, UnicodeDecodeError):
                at += len(block) - len(error.object) + error.start
            hint = "convert it to UTF-8, as iconv does, or train with its --encoding"
            raise TextError(f"{name}: not {encoding} text at byte {at}: {hint}") from error
        read += len(block)
        yield text


def without_bom(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Drop a byte-order mark at the beginning."""
    begun = False
    for block in blocks:
        if block and not begun:
            begun = True
            if block[0] == "\ufeff":
                remarks.append(f"{name}: dropped the byte-order mark")
                block = block[1:]
        yield block


def with_unix_newlines(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Turn each CR LF into LF, also where a block ends between the two; a CR alone stays."""
    held, told = "", False
    for block in blocks:
        text = held + block
        held = "\r" if text.endswith("\r") else ""
        text = text[: len(text) - len(held)]
        if "\r\n" in text:
            if not told:
                remarks.append(f"{name}: CR LF became LF")
                told = True
            text = text.replace("\r\n", "\n")
        yield text
    yield held


def in_normal_form(blocks: Iterable[str], form: str) -> Iterator[str]:
    """Bring blocks to a Unicode normal form, cutting only where no character composes with the one before."""
    held = ""
    for block in blocks:
        text = held + block
        cut = next((m.start() for i in range(len(text) - 1, -1, -1) if (m := SAFE_CUT.match(text, i))), 0)
        held = text[cut:]
        yield normalized(text[:cut], form)
    yield normalized(held, form)


def characters(raw: Iterable[bytes], name: str, encoding: str, normalize: str, remarks: list[str]) -> Iterator[str]:
    """Read a text from its bytes in blocks; what it had to change is added to remarks."""
    blocks = with_unix_newlines(without_bom(decoded(raw, name, encoding), name, remarks), name, remarks)
    return blocks if normalize == "none" else in_normal_form(blocks, normalize)


def read_text(source: str, normalize: str, remarks: list[str]) -> Iterator[str]:
    """Read a UTF-8 text once, in blocks, as it comes: constant memory, and right behind a pipe."""
    with open_bytes(source) as file:
        yield from characters(raw_blocks(file, source), source, "utf-8", normalize, remarks)


def check_encoding(encoding: str) -> None:
    """Raise UsageError unless Python knows the encoding and it is one of text."""
    try:
        b"some bytes".decode(encoding, "replace")
    except (LookupError, ValueError) as error:  # a UnicodeError is a ValueError
        raise UsageError(f"--encoding {encoding}: not a text encoding that Python knows") from error


def spooled(name: str) -> IO[bytes] | None:
    """Copy a source that can be read only once, stdin or a pipe, to a file without a name; None for ordinary files."""
    with open_bytes(name) as file:
        if name != STDIN and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        with ExitStack() as stack:
            try:
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, copy, BLOCK)
            except OSError as error:
                raise no_space(error) from error
            stack.pop_all()  # it lives as long as its reader
            return copy


def no_space(error: OSError) -> TextError:
    """Say that the temporary file could not be written, and where it would be."""
    place = tempfile.gettempdir()
    return TextError(
        f"{place}: {error.strerror}: a text's ids are kept there while it is used; set TMPDIR to another place"
    )


class Reader:
    """Reads the same sources as often as wanted, in order, as if they were one file."""

    def __init__(self, sources: Iterable[str], encoding: str, normalize: str, stack: ExitStack) -> None:
        check_encoding(encoding)
        self.encoding, self.normalize = encoding, normalize
        self.sources = expand(sources)
        self.spools = {
            name: stack.enter_context(copy) for name in dict.fromkeys(self.sources) if (copy := spooled(name))
        }

    def blocks(self, remarks: list[str], use: Callable[[bytes], None] | None = None) -> Iterator[str]:
        """Yield the text in blocks; `use` is called with all bytes as they are read."""
        for name in self.sources:
            with ExitStack() as stack:
                file = self.spools.get(name) or stack.enter_context(open_bytes(name))
                file.seek(0)
                raw = raw_blocks(file, name, use)
                yield from characters(raw, name, self.encoding, self.normalize, remarks)


def load_corpus(
    sources: Iterable[str],
    encoding: str = "utf-8",
    normalize: str = "none",
    min_count: int = 1,
    known: Vocab | None = None,
) -> Corpus:
    """Read texts, build their vocabulary, of which some may be known, and write their ids to disk.

    Raises TextError for a source that cannot be read or decoded, or holds fewer than two different characters.
    """
    sources = tuple(sources)
    remarks: list[str] = []
    digest = hashlib.sha256()
    with ExitStack() as stack:
        reader = Reader(sources, encoding, normalize, stack)
        counts = count_codes(reader.blocks(remarks, digest.update))
        check_variety(counts, " ".join(sources))
        vocab = Vocab.build(counts, min_count, normalize, known)
        if len(vocab) < 2:
            raise TextError(f"{' '.join(sources)}: --min-count {min_count} leaves one symbol only: take a smaller one")
        again = hashlib.sha256()
        ids = ids_on_disk(reader.blocks([], again.update), vocab)
        if again.digest() != digest.digest():
            raise changed()
    return Corpus(ids, vocab, sources, digest.hexdigest(), tuple(remarks))


def count_codes(blocks: Iterable[str]) -> NDArray[np.int64]:
    """Count how often each code point occurs, (0x110000,)."""
    counts = np.zeros(CODE_POINTS, np.int64)
    for block in blocks:
        some = np.bincount(codes_of(block))
        counts[: len(some)] += some
    return counts


def check_variety(counts: NDArray[np.int64], name: str) -> None:
    """Raise TextError for a text that nothing can be learnt from."""
    different = np.count_nonzero(counts)
    if counts[0xD800:0xE000].any():
        raise TextError(f"{name}: lone surrogates are not characters: name another --encoding")
    if different == 0:
        raise TextError(f"{name}: the text is empty: there is nothing to learn from")
    if different == 1:
        only = named([chr(np.flatnonzero(counts)[0])])
        raise TextError(f"{name}: holds one character only, {only}: a text needs two different ones at least")


def ids_on_disk(blocks: Iterable[str], vocab: Vocab) -> Ids:
    """Write the ids of a text to a temporary file without a name, and map it into memory, read-only."""
    try:
        with tempfile.TemporaryFile() as file:  # the map outlives it
            for block in blocks:
                ids = vocab.encode(block)
                if (ids == UNKNOWN).any():
                    raise changed()
                file.write(ids.astype(vocab.id_dtype).tobytes())
            file.flush()
            if not file.tell():
                raise changed()
            return np.memmap(file, vocab.id_dtype, "r")
    except OSError as error:
        raise no_space(error) from error


def changed() -> TextError:
    """Say that the two readings of a text differed."""
    return TextError("the text changed while it was read: start again when it is finished")


def split(ids: Ids, val_fraction: float, line_end: int | None = None) -> tuple[Ids, Ids]:
    """Cut a text in two: what to train on, and the last part, held out; with a line_end, before the next whole line.

    Raises TextError if a part would be empty, naming a fraction that works.
    """
    cut = int(len(ids) * (1 - val_fraction))
    if line_end is not None and 0 < cut < len(ids):
        cut = next_line(ids, cut, line_end)
    if cut < 1 or (val_fraction and cut == len(ids)):
        nothing = "nothing" if line_end is None else "no whole line"
        raise TextError(
            f"{len(ids)} characters leave {nothing} to train on or to hold out: use --val-fraction 0 or more text"
        )
    return ids[:cut], ids[cut:]


def next_line(ids: Ids, at: int, line_end: int) -> int:
    """Return where the first line begins that begins at a place above 0 or after it; with none the text's length."""
    for begin in range(at - 1, len(ids), BLOCK):
        ends = np.flatnonzero(ids[begin : begin + BLOCK] == line_end)
        if len(ends):
            return begin + int(ends[0]) + 1
    return len(ids)


class Streams:
    """The training text as B streams side by side, each a contiguous part of it, read in windows of T characters.

    In an epoch every character is predicted once. Then each stream goes on with the next part, so that the state it
    carries belongs to the text before; only at the end of the text does it not.

    A part may begin inside a line, so that parts are equally long and nothing is padded: in the first epoch the rest of
    that line is read from an empty state, after the character before it; in later ones from its own beginning.
    """

    def __init__(self, ids: Ids, B: int, T: int, start_id: int) -> None:
        if len(ids) < B * T:
            raise TextError(
                f"{len(ids)} characters to train on are too few for --batch-size {B} --seq-len {T}, "
                f"which read {B * T} at a step: {smaller_window(len(ids), T)}"
            )
        self.ids, self.B, self.T, self.start_id = ids, B, T, start_id
        self.bounds = np.arange(B + 1) * len(ids) // B  # parts differ by one character at most
        self.longest = -(-len(ids) // B)
        self.steps_per_epoch = -(-self.longest // T)

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs x and targets y of a step, each (T, B), int64; the last window of an epoch is shorter.

        Input t is the character before target t; before the first character of the text stands the start id. Where
        a part is one character shorter than the longest, its last target is -1, which is none.
        """
        epoch, window = divmod(step, self.steps_per_epoch)
        parts = (np.arange(self.B) + epoch) % self.B
        begin, end = self.bounds[parts], self.bounds[parts + 1]  # (B,)
        offsets = np.arange(window * self.T, min((window + 1) * self.T, self.longest))
        at = begin + offsets[:, None]  # (T, B)
        x = np.where(at > 0, self.ids[np.maximum(at - 1, 0)], self.start_id).astype(np.int64)
        y = np.where(at < end, self.ids[np.minimum(at, len(self.ids) - 1)].astype(np.int64), UNKNOWN)
        return x, y


def smaller_window(chars: int, T: int) -> str:
    """Say which window would do for so few characters."""
    return f"--batch-size {max(1, chars // T)} --seq-len {min(T, chars)} would do"
