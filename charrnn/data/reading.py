"""From bytes to characters: files, folders and pipes, decoded and normalized, in blocks."""

import codecs
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from charrnn.core.errors import TextError, UsageError
from charrnn.core.vocab import normalized_blocks

if TYPE_CHECKING:
    from concurrent.futures import Executor

STDIN = "-"
BUNDLED = "plays.txt (bundled)"  # the source name of the corpus that comes with the program
BLOCK_BYTES = 1 << 20  # bytes read at a time


def bundled_corpus() -> Path:
    """Return the path of the corpus that comes with the program: in the package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside, beside = package / "corpora" / "plays.txt", package.parent / "corpora" / "plays.txt"
    return inside if inside.exists() else beside


def expand(sources: Iterable[str]) -> list[str]:
    """Return the sources with each folder replaced by its *.txt files, sorted."""
    files: list[str] = []
    for source in sources:
        texts = [source]
        if source not in (STDIN, BUNDLED) and os.path.isdir(source):
            texts = sorted(str(path) for path in Path(source).glob("*.txt") if path.is_file())
        if not texts:
            raise TextError(f"{source}: no *.txt files in this folder: give the names of the files")
        files += texts
    return files


def open_bytes(source: str) -> AbstractContextManager[IO[bytes]]:
    """Return the open file of a source: a path, STDIN or BUNDLED. Stdin stays open afterwards."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError("stdin is closed: give the name of a file, or pipe in a text")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(bundled_corpus() if source == BUNDLED else source, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise TextError(f"{source or 'the empty name'}: {getattr(error, 'strerror', None) or error}") from error


def byte_blocks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield bytes as they arrive, at most BLOCK_BYTES at a time."""
    try:
        while block := file.read1(BLOCK_BYTES):  # type: ignore[attr-defined]  # every file here is buffered and has it
            yield block
    except OSError as error:
        raise TextError(f"{name}: {error.strerror}") from error


def observed(raw: Iterable[bytes], observer: Callable[[bytes], None], thread: "Executor") -> Iterator[bytes]:
    """Yield blocks while another thread passes them to an observer, in order and at most one block behind.

    Where the system does not let the thread start, this one does it.
    """
    try:
        pending = thread.submit(observer, b"")
    except RuntimeError:
        for block in raw:
            observer(block)
            yield block
        return
    for block in raw:
        pending.result()
        pending = thread.submit(observer, block)
        yield block
    pending.result()


def decoded(raw: Iterable[bytes], name: str, encoding: str) -> Iterator[str]:
    """Yield the text of blocks of bytes, decoded strictly; an error names the source and the offset of the byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    for block in chain(raw, [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeError as error:
            at = read  # if the error has a position, it counts from the bytes held over from the previous block
            if isinstance(error, UnicodeDecodeError):
                at += len(block) - len(error.object) + error.start
            hint = "convert it to UTF-8, as iconv does, or train with its --encoding"
            raise TextError(f"{name}: not {encoding} text at byte {at}: {hint}") from error
        read += len(block)
        yield text


def without_bom(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Yield a text without a byte-order mark at its start."""
    blocks = iter(blocks)
    first = next(filter(None, blocks), "")
    if first.startswith("\ufeff"):
        remarks.append(f"{name}: dropped the byte-order mark")
    yield first.removeprefix("\ufeff")
    yield from blocks


def with_unix_newlines(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Yield a text with each CR LF replaced by LF, even across blocks; a single CR stays."""
    held, remarked = "", False
    for block in blocks:
        text = held + block
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(held)
        if not remarked and "\r\n" in text:
            remarks.append(f"{name}: CR LF became LF")
            remarked = True
        yield text.replace("\r\n", "\n")
    yield held


def characters(raw: Iterable[bytes], name: str, encoding: str, normalize: str, remarks: list[str]) -> Iterator[str]:
    """Yield the text of blocks of bytes, decoded and normalized; what is changed is added to `remarks`."""
    blocks = with_unix_newlines(without_bom(decoded(raw, name, encoding), name, remarks), name, remarks)
    return normalized_blocks(blocks, normalize)


def read_text(source: str, normalize: str, remarks: list[str]) -> Iterator[str]:
    """Yield a UTF-8 text in blocks as it arrives: memory is constant, and a pipe is read without delay."""
    with open_bytes(source) as file:
        yield from characters(byte_blocks(file, source), source, "utf-8", normalize, remarks)


def spooled(name: str, stack: ExitStack) -> IO[bytes] | None:
    """Return a temporary copy of a source that can be read only once, stdin or a pipe; None for ordinary files."""
    with open_bytes(name) as file:
        if name != STDIN and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        try:
            copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # the caller closes the stack
            shutil.copyfileobj(file, copy, BLOCK_BYTES)
        except OSError as error:
            raise temporary_file_error(error) from error
        return copy


def temporary_file_error(error: OSError) -> TextError:
    """Return the error for a temporary file that cannot be written; it names the folder."""
    advice = "the text's ids are stored there while it is in use; set TMPDIR to another folder"
    try:
        return TextError(f"{tempfile.gettempdir()}: {error.strerror}: {advice}")
    except FileNotFoundError:
        return TextError(f"no usable temporary folder: {advice}")


class Reader:
    """Reads some sources repeatedly, in order, as if they were one file."""

    def __init__(self, sources: Iterable[str], encoding: str, normalize: str, stack: ExitStack) -> None:
        try:
            b"some bytes".decode(encoding, "replace")
        except (LookupError, ValueError) as error:  # a UnicodeError is a ValueError
            raise UsageError(f"--encoding {encoding}: not a text encoding that Python knows") from error
        self.encoding, self.normalize = encoding, normalize
        self.sources = expand(sources)
        self.spools = {name: copy for name in dict.fromkeys(self.sources) if (copy := spooled(name, stack))}

    def blocks(self, remarks: list[str], observer: Callable[[bytes], None]) -> Iterator[str]:
        """Yield the text in blocks; `observer` is called with all bytes as they are read, in another thread."""
        from concurrent.futures import ThreadPoolExecutor  # late: scoring a text does not need it

        with ThreadPoolExecutor(1) as thread:
            for name in self.sources:
                with ExitStack() as stack:
                    file = self.spools.get(name) or stack.enter_context(open_bytes(name))
                    file.seek(0)
                    raw = observed(byte_blocks(file, name), observer, thread)
                    yield from characters(raw, name, self.encoding, self.normalize, remarks)
