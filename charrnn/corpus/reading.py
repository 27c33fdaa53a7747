"""From bytes to characters: files, folders and pipes, decoded and brought to one form, in blocks."""

import codecs
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from charrnn.errors import TextError, UsageError
from charrnn.vocab import normalized

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

STDIN = "-"
BUNDLED = "plays.txt (bundled)"  # the source name of the corpus that comes with the program
BLOCK = 1 << 20  # bytes read at a time
SAFE_CUT = re.compile(r"[\0-\x7f\u3041-\u3096\u4e00-\u9fff]")  # characters that compose with nothing before them


def bundled_corpus() -> Path:
    """Return the path of the corpus that comes with the program: in the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
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


def raw_blocks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Read bytes as they come, at most BLOCK at a time."""
    try:
        while block := file.read1(BLOCK):  # type: ignore[attr-defined]  # every file here is buffered and has it
            yield block
    except OSError as error:
        raise TextError(f"{name}: {error.strerror}") from error


def shown(raw: Iterable[bytes], use: Callable[[bytes], None], helper: "Executor") -> Iterator[bytes]:
    """Pass blocks on while a helper shows them to `use`, one after the other: it is one block behind at most."""
    using: Future[None] | None = None
    for block in raw:
        if using:
            using.result()
        using = helper.submit(use, block)
        yield block
    if using:
        using.result()


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

    def blocks(self, remarks: list[str], use: Callable[[bytes], None]) -> Iterator[str]:
        """Yield the text in blocks; `use` is called with all bytes as they are read, in another thread."""
        from concurrent.futures import ThreadPoolExecutor  # late: who scores a text does not come here

        with ThreadPoolExecutor(1) as helper:
            for name in self.sources:
                with ExitStack() as stack:
                    file = self.spools.get(name) or stack.enter_context(open_bytes(name))
                    file.seek(0)
                    raw = shown(raw_blocks(file, name), use, helper)
                    yield from characters(raw, name, self.encoding, self.normalize, remarks)
