"""From bytes to characters: texts decompressed, decoded and normalized, in blocks."""

import codecs
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING

from charrnn.core.errors import TextError, UsageError
from charrnn.data.compressed import uncompressed
from charrnn.data.ignoring import Ignore, without_ignored
from charrnn.data.normalization import normalized_blocks
from charrnn.data.sources import expand, is_repeatable, open_bytes

if TYPE_CHECKING:
    from concurrent.futures import Executor

BLOCK_BYTES = 1 << 20  # bytes read at a time


def byte_blocks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield bytes as they arrive, at most BLOCK_BYTES at a time."""
    with suppress(OSError, AttributeError):  # Linux: a pipe holds as much, so that it is handled together
        fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, BLOCK_BYTES)
    try:
        while block := file.read1(BLOCK_BYTES):  # type: ignore[attr-defined]  # every file here is buffered and has it
            yield block
    except OSError as error:
        raise TextError(f"{name}: {error.strerror}") from error


def observed(blocks: Iterable[str], observer: Callable[[str], None], thread: "Executor") -> Iterator[str]:
    """Yield blocks while another thread passes them to an observer, in order and at most one block behind.

    Where the system does not let the thread start, this one does it.
    """
    try:
        pending = thread.submit(observer, "")
    except RuntimeError:
        for block in blocks:
            observer(block)
            yield block
        return
    for block in blocks:
        pending.result()
        pending = thread.submit(observer, block)
        yield block
    pending.result()


def decoded(raw: Iterable[bytes], name: str, encoding: str, errors: str = "strict") -> Iterator[str]:
    """Yield the text of blocks of bytes; with `errors` "replace" U+FFFD for what is not of the encoding.

    Otherwise that is a TextError, which names the source, the line and the offset of the byte. In UTF-8 the text up to
    it is yielded first; other encodings may have a state there that cannot be restored.
    """
    decoder, is_utf_8 = codecs.getincrementaldecoder(encoding)(errors), same_encoding(encoding, "utf-8")
    read, lines = 0, 1
    for block in chain(raw, [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeError as error:
            at, bad = read, block  # a position counts from the bytes held over from the previous block
            if isinstance(error, UnicodeDecodeError):
                at, bad = read + len(block) - len(error.object) + error.start, error.object
                if is_utf_8:
                    good = error.object[: error.start].decode()
                    lines += good.count("\n")
                    yield good
            place = f"byte {at}, line {lines}" if is_utf_8 else f"byte {at}"
            raise TextError(f"{name}: not {encoding} text at {place}: {advice(bad, encoding)}") from error
        read, lines = read + len(block), lines + text.count("\n")
        yield text


def advice(data: bytes, encoding: str) -> str:
    """Return what to do with a text, from bytes of it that are not of the encoding: the one that it probably has."""
    likely = "latin-1"
    with suppress(UnicodeError):
        data.decode("cp1252")  # of Western texts on Windows; five bytes mean nothing in it
        likely = "cp1252"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        likely = "utf-16"
    if not same_encoding(encoding, "utf-8"):
        return "convert it to UTF-8, or train with its --encoding"
    return f"it is probably {likely}: convert it with `iconv -f {likely} -t utf-8`, or train with --encoding {likely}"


def same_encoding(one: str, other: str) -> bool:
    """Return whether two names are of the same encoding, as UTF8 and utf-8 are."""
    try:
        return codecs.lookup(one).name == codecs.lookup(other).name
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return one == other


def without_bom(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Yield a text without a byte-order mark at its start; remark on one that is UTF-16 without such a mark."""
    blocks = iter(blocks)
    first = next(filter(None, blocks), "")
    if first.count("\0") > len(first) // 4:
        utf_16 = "utf-16-le" if first.find("\0") % 2 else "utf-16-be"
        remarks.append(
            f"{name}: much of it is U+0000, as if it were UTF-16: train with --encoding {utf_16}, or convert it"
        )
    if first.startswith("\ufeff"):
        remarks.append(f"{name}: dropped the byte-order mark")
    yield first.removeprefix("\ufeff")
    yield from blocks


def with_unix_newlines(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Yield a text with each CR LF replaced by LF, even across blocks; a single CR stays, with a remark if all are."""
    held, remarked, single, has_lf = "", False, False, False
    for block in blocks:
        text = held + block
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(held)
        if not remarked and "\r\n" in text:
            remarks.append(f"{name}: CR LF became LF")
            remarked = True
        has_lf = has_lf or "\n" in text
        single = single or (not has_lf and "\r" in text)
        yield text.replace("\r\n", "\n")
    if (single or held) and not has_lf:
        remarks.append(f"{name}: has CR for line ends, which only LF is: convert it with `tr '\\r' '\\n'`")
    yield held


def decoded_text(
    raw: Iterable[bytes], name: str, encoding: str, remarks: list[str], errors: str = "strict"
) -> Iterator[str]:
    """Yield the text of blocks of bytes before normalization; what is changed in it is added to `remarks`."""
    blocks = without_bom(decoded(uncompressed(raw, name), name, encoding, errors), name, remarks)
    return with_unix_newlines(blocks, name, remarks)


def characters(
    raw: Iterable[bytes], name: str, encoding: str, normalize: str, remarks: list[str], errors: str = "strict"
) -> Iterator[str]:
    """Yield the text of blocks of bytes, decoded and normalized; what is changed is added to `remarks`."""
    return normalized_blocks(decoded_text(raw, name, encoding, remarks, errors), normalize)


def read_text(source: str, normalize: str, remarks: list[str], errors: str = "strict") -> Iterator[str]:
    """Yield a UTF-8 text in blocks as it arrives: memory is constant, and a pipe is read without delay."""
    with open_bytes(source) as file:
        yield from characters(byte_blocks(file, source), source, "utf-8", normalize, remarks, errors)


def with_last_line_ended(blocks: Iterable[str], name: str, remarks: list[str]) -> Iterator[str]:
    """Yield a text with a newline at its end."""
    last = "\n"
    for block in blocks:
        yield block
        last = block[-1:] or last
    if last != "\n":
        remarks.append(f"{name}: ended its last line with a newline")
        yield "\n"


def spooled(name: str, stack: ExitStack) -> IO[bytes] | None:
    """Return a temporary copy of a source that can be read only once, such as stdin or a pipe; None for the others."""
    with open_bytes(name) as file:
        if is_repeatable(name):
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


@dataclass(frozen=True)
class Reading:
    """How the texts of a corpus are read."""

    encoding: str = "utf-8"
    errors: str = "strict"
    normalize: str = "none"
    lines: bool = False  # whether each is made of lines, the last of which is ended if another text follows
    ignore: tuple[str, ...] = ()  # patterns of parts of lines, read as one character each

    def __post_init__(self) -> None:
        try:
            b"some bytes".decode(self.encoding, "replace")
        except (LookupError, ValueError) as error:  # a UnicodeError is a ValueError
            raise UsageError(f"--encoding {self.encoding}: not a text encoding that Python knows") from error


class Reader:
    """Reads some sources repeatedly, in order, as if they were one file."""

    def __init__(self, sources: Iterable[str], reading: Reading, stack: ExitStack) -> None:
        self.reading, self.remarks = reading, list[str]()
        self.sources = expand(sources, self.remarks)
        self.lengths: list[int] = []  # characters of each, known once they have been read
        self.spools = {name: copy for name in dict.fromkeys(self.sources) if (copy := spooled(name, stack))}

    def blocks(self, remarks: list[str], observer: Callable[[str], None]) -> Iterator[str]:
        """Yield the text in blocks; `observer` is called with all of it before normalization, in another thread."""
        from concurrent.futures import ThreadPoolExecutor  # late: scoring a text does not need it

        self.lengths = [0] * len(self.sources)
        with ThreadPoolExecutor(1) as thread:
            for i, name in enumerate(self.sources):
                with ExitStack() as stack:
                    file = self.spools.get(name) or stack.enter_context(open_bytes(name))
                    file.seek(0)
                    how = self.reading
                    blocks = decoded_text(byte_blocks(file, name), name, how.encoding, remarks, how.errors)
                    if how.lines and i + 1 < len(self.sources):
                        blocks = with_last_line_ended(blocks, name, remarks)
                    blocks = normalized_blocks(observed(blocks, observer, thread), how.normalize)
                    for block in without_ignored(blocks, Ignore(how.ignore)) if how.ignore else blocks:
                        self.lengths[i] += len(block)
                        yield block
