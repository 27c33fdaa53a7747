import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from charrnn.core.errors import TextError
from charrnn.data.compressed import FIRST_BYTES, uncompressed
from charrnn.data.corpus import load_corpus
from charrnn.data.sources import STDIN
from tests.data.texts import file_in, give_stdin, text_of

TEXT = "größere Füchse\r\n" * 9000
DATA = TEXT.encode()
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "bzip2 level 1": lambda data: bz2.compress(data, 1),
    "xz": lzma.compress,
}
every_compressor = pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)


def in_blocks(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def read(blocks: Iterable[bytes]) -> bytes:
    return b"".join(uncompressed(blocks, "a.txt"))


@every_compressor
def test_compressed_bytes_are_decompressed_however_they_arrive(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(DATA)
    for size in (1, 7, len(packed)):
        assert read(in_blocks(packed, size)) == DATA
    assert read([b"", packed, b""]) == DATA
    assert read([packed + compress(b"and more")]) == DATA + b"and more"  # as cat writes them
    assert read([compress(b"")]) == b""


@pytest.mark.parametrize("data", [b"", b"a", b"\x1f", b"BZh9", b"BZhang", b"PK", b"\x1f\x8b\x07", DATA])
def test_other_bytes_are_unchanged(data: bytes) -> None:
    for size in (1, 2, 99):
        assert read(in_blocks(data, size)) == data


def test_a_block_is_held_back_only_while_it_may_begin_a_compressed_file() -> None:
    def arriving() -> Iterator[bytes]:
        yield b"BZ"
        yield b"!\n"
        raise AssertionError("waited for more")

    assert next(uncompressed(arriving(), "-")) == b"BZ!\n"


def test_what_is_decompressed_is_passed_on_before_the_rest_arrives() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"first line\n") + packer.flush(zlib.Z_SYNC_FLUSH)

    def arriving() -> Iterator[bytes]:
        yield first
        raise AssertionError("waited for more")

    assert next(uncompressed(arriving(), "-")) == b"first line\n"


@every_compressor
def test_damaged_and_incomplete_files_are_refused(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(DATA)
    for damaged in (packed[: len(packed) // 2], packed[:-1], packed[:20] + b"\xff" * 20 + packed[40:]):
        with pytest.raises(TextError, match=r"^a\.txt: its (gzip|bzip2|xz) data is damaged or incomplete: "):
            read([damaged])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x28\xb5\x2f\xfd\x04\0", "zstd, .* `zstd -dc 'a b' | charrnn train -`"),
        (b"PK\3\4\x14\0\0\0\x08\0mimetype", "zip archive, .* `unzip -p 'a b' |"),
        (b"PK\3\4\x14\0\0\0\x08\0[Content_Types].xml ... word/document.xml", "Word document, .* `pandoc -f docx"),
        (
            b"PK\3\4\x14\0\0\0\0\0mimetypeapplication/vnd.oasis.opendocument.text",
            "OpenDocument file, .* `pandoc -f odt",
        ),
        (b"%PDF-1.7\n", "PDF document, .* `pdftotext 'a b' - | charrnn train -`"),
    ],
)
def test_the_error_of_another_kind_of_file_names_the_command_that_makes_text_of_it(data: bytes, says: str) -> None:
    with pytest.raises(TextError, match="^a b: is .*" + says.replace("|", r"\|")):
        list(uncompressed([data], "a b"))


def test_no_first_bytes_are_those_of_ordinary_text() -> None:
    assert all(first[:4] == b"BZh%d" % int(first[3:4]) for first in FIRST_BYTES if first[:3].isalnum())
    assert not any(first.startswith(other) for first in FIRST_BYTES for other in FIRST_BYTES if first != other)


@every_compressor
@pytest.mark.parametrize("piped", [False, True])
def test_a_corpus_is_the_same_from_a_compressed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes], piped: bool
) -> None:
    give_stdin(monkeypatch, compress(DATA))
    found = load_corpus([STDIN if piped else file_in(tmp_path, compress(DATA), "a.gz")])
    assert text_of(found) == TEXT.replace("\r\n", "\n")
