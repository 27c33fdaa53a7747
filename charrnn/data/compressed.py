"""Compressed texts, recognised by their first bytes: gzip, bzip2 and xz are decompressed as they are read.

Archives and documents cannot be read, and the error names a command that makes text of them.
"""

import shlex
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from charrnn.core.errors import TextError

BLOCK_BYTES = 1 << 18  # bytes decompressed at a time
COMPRESSED = {  # first bytes -> how they are compressed
    b"\x1f\x8b\x08": "gzip",
    **{b"BZh%d%b" % (level, mark): "bzip2" for level in range(1, 10) for mark in (b"1AY&SY", b"\x17rE8P\x90")},
    b"\xfd7zXZ\0": "xz",
}
ZIP = b"PK\3\4"
UNREADABLE = {  # first bytes -> what the file is, and a command that writes its text to stdout
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", "zstd -dc {}"),
    ZIP: ("is a zip archive", "unzip -p {}"),
    b"%PDF-": ("is a PDF document", "pdftotext {} -"),
}
OFFICE = {  # names within the first block of a zip archive -> the same
    b"word/": ("is a Word document", "pandoc -f docx -t plain {}"),
    b"application/vnd.oasis": ("is an OpenDocument file", "pandoc -f odt -t plain {}"),
}
FIRST_BYTES = (*COMPRESSED, *UNREADABLE)


def uncompressed(raw: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield blocks of bytes, decompressed if they are compressed; raises TextError for damaged and unreadable files.

    Blocks are held back only while they could be the beginning of such a file.
    """
    raw, head = iter(raw), b""
    for block in raw:
        head += block
        if not any(first.startswith(head) for first in FIRST_BYTES):
            break
    check_readable(head, name)
    kind = next((kind for first, kind in COMPRESSED.items() if head.startswith(first)), None)
    blocks = chain([head], raw)
    yield from decompressed(blocks, kind, name) if kind else blocks


def check_readable(head: bytes, name: str) -> None:
    """Raise TextError, with a command that extracts the text, if these first bytes are of no text."""
    found = next((kind for first, kind in UNREADABLE.items() if head.startswith(first)), None)
    if head.startswith(ZIP):
        found = next((kind for mark, kind in OFFICE.items() if mark in head), found)
    if found:
        what, command = found
        command = command.format(shlex.quote(name))
        raise TextError(f"{name}: {what}, not a text: pipe its text in, as with `{command} | charrnn train -`")


def decompressed(blocks: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """Yield the contents of compressed blocks as they arrive."""
    import bz2  # late: few texts are compressed
    import gzip
    import lzma
    import zlib

    source: Any = BlockFile(blocks)
    opened: dict[str, Any] = {"gzip": gzip.GzipFile, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}
    try:
        file = opened[kind](fileobj=source) if kind == "gzip" else opened[kind](source)
        while block := file.read1(BLOCK_BYTES):
            yield block
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise TextError(f"{name}: its {kind} data is damaged or incomplete: {error}") from error


class BlockFile:
    """A file to read, made of blocks of bytes as they arrive."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.blocks, self.held = filter(None, blocks), memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, and at least one before the end; all that has arrived if it is negative."""
        if not self.held:
            self.held = memoryview(next(self.blocks, b""))
        size = len(self.held) if size < 0 else size
        block, self.held = self.held[:size], self.held[size:]
        return bytes(block)

    def seekable(self) -> bool:
        """Return False: it can be read once, from its beginning."""
        return False
