import fcntl
import io
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.core.errors import TextError, UsageError
from charrnn.core.vocab import NORMALIZATIONS, normalized
from charrnn.data import reading
from charrnn.data.corpus import load_corpus
from charrnn.data.normalization import SAFE_CUT
from charrnn.data.reading import BLOCK_BYTES, Reading, byte_blocks, characters, decoded, read_text, same_encoding
from charrnn.data.sources import STDIN
from tests.data.texts import file_in, give_stdin, text_of

few = settings(deadline=None, max_examples=50, derandomize=True)

TRICKY = "\r\n\ufeffae\u0301\u0323\u00e9\u1100\u1161\u11a8\uac00か\u3099漢😀\0"  # line ends and combining marks
texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]), max_size=12)


def read_in_blocks(data: bytes, encoding: str, form: str, block: int) -> tuple[str, list[str]]:
    remarks: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block)
        blocks = characters(byte_blocks(io.BytesIO(data), "t"), "t", encoding, form, remarks)
        try:
            text = "".join(blocks)
            return text, [remark for remark in remarks if "U+0000" not in remark and "has CR" not in remark]
        except TextError as error:
            return ": ".join(str(error).split(": ")[:2]), []


def read_whole(data: bytes, encoding: str, form: str) -> tuple[str, list[str]]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        at = len(data) - len(error.object) + error.start
        place = f"byte {at}" + f", line {data[:at].count(10) + 1}" * (encoding == "utf-8")
        return f"t: not {encoding} text at {place}", []
    remarks = ["t: dropped the byte-order mark"] if text.startswith("\ufeff") else []
    text = text.removeprefix("\ufeff")
    remarks += ["t: CR LF became LF"] if "\r\n" in text else []
    return normalized(text.replace("\r\n", "\n"), form), remarks


@few
@example("ab\u20ac", b"\xe2\x82", "c", "utf-8", "none")
@example("\ufeffa\r", b"\n\r\r\n", "b\r", "utf-8", "none")
@example("\ufeff", b"\xff", "", "utf-8-sig", "none")
@example("a\u0323\u0301か\u3099", b"", "\u1100\u1161\u11a8", "utf-8", "nfc")
@given(
    texts,
    st.binary(max_size=3),
    texts,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "gbk"]),
    st.sampled_from(NORMALIZATIONS),
)
def test_reading_in_blocks_equals_reading_whole(begin: str, odd: bytes, end: str, encoding: str, form: str) -> None:
    data = begin.encode(encoding, "ignore") + odd + end.encode(encoding, "ignore")
    for block in range(1, 8):
        assert read_in_blocks(data, encoding, form, block) == read_whole(data, encoding, form)


def test_text_is_cut_only_before_characters_that_compose_with_nothing_before() -> None:
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    composing = {chr(int(pair[1], 16)) for pair in parts if len(pair) == 2 and not pair[0].startswith("<")}
    safe = {chr(code) for code in range(0x10000) if SAFE_CUT.match(chr(code))}
    assert {"\0", "\n", "~", "か", "漢"} <= safe
    assert not safe & composing
    assert not any(unicodedata.combining(normalized(c, "nfd")[0]) for c in safe)


def test_read_text_reads_a_file_in_the_same_way(tmp_path: Path) -> None:
    remarks: list[str] = []
    path = file_in(tmp_path, "\ufeffa\r\nb\rce\u0301".encode())
    assert "".join(read_text(path, "nfc", remarks)) == "a\nb\rc\u00e9"
    assert remarks == [f"{path}: dropped the byte-order mark", f"{path}: CR LF became LF"]


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", "żółw 😀\n"), ("latin-1", "déjà\n"), ("gbk", "漢字ab\n")])
def test_other_encodings_can_be_read(tmp_path: Path, encoding: str, text: str) -> None:
    assert text_of(load_corpus([file_in(tmp_path, text.encode(encoding))], Reading(encoding))) == text


def test_a_folder_means_its_txt_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "10.txt", "c.md", ".txt.swp"):
        file_in(tmp_path, name.encode(), name)
    (tmp_path / "d.txt").mkdir()
    file_in(tmp_path / "d.txt", b"below", "e.txt")
    read = load_corpus([str(tmp_path)])
    assert (text_of(read), read.sources) == ("10.txta.txtb.txt", (str(tmp_path),))
    assert read.remarks == (f"{tmp_path}: 3 texts; left out: 1 hidden, 1 not *.txt, 1 folder",)


def test_stdin_and_pipes_can_be_read_between_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_stdin(monkeypatch, b"from stdin\r\n")
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe\n")
    os.close(writer)
    read = load_corpus([file_in(tmp_path, b"a\n"), STDIN, f"/dev/fd/{reader}", file_in(tmp_path, b"b\n", "b.txt")])
    os.close(reader)
    assert text_of(read) == "a\nfrom stdin\nfrom a pipe\nb\n"
    assert read.remarks == ("-: CR LF became LF",)


def test_a_source_named_twice_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_stdin(monkeypatch, b"in")
    path = file_in(tmp_path, b"file")
    assert text_of(load_corpus([path, STDIN, path, STDIN])) == "fileinfilein"


@pytest.mark.parametrize("source", ["nul\0.txt", "long" * 100])
def test_an_impossible_file_name_is_refused(source: str) -> None:
    with pytest.raises(TextError):
        load_corpus([source])
    with pytest.raises(TextError):
        list(read_text(source, "none", []))


@pytest.mark.parametrize("encoding", ["nonsense", "", "rot13", "hex", "undefined", "nul\0"])
def test_an_encoding_that_is_not_of_text_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UsageError, match=f"^--encoding {encoding}: "):
        load_corpus([file_in(tmp_path, b"abc")], Reading(encoding))


def test_the_text_before_a_wrong_byte_is_passed_on() -> None:
    blocks = decoded([b"ab\nc\xc3", b"\xa9d\n\xe2", b"\x82e\n"], "t", "UTF8")
    assert [next(blocks), next(blocks), next(blocks)] == ["ab\nc", "éd\n", ""]
    with pytest.raises(TextError, match=r"^t: not UTF8 text at byte 8, line 3: "):
        next(blocks)


@few
@given(st.binary(max_size=12), st.integers(1, 5))
def test_wrong_bytes_are_replaced_as_python_does(data: bytes, size: int) -> None:
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    assert "".join(decoded(blocks, "t", "utf-8", "replace")) == data.decode(errors="replace")


@pytest.mark.parametrize(
    ("data", "likely"),
    [("déjà".encode("latin-1"), "cp1252"), (b"a\x81", "latin-1"), ("déjà".encode("utf-16"), "utf-16")],
)
def test_the_error_of_a_wrong_byte_names_the_likely_encoding(data: bytes, likely: str) -> None:
    with pytest.raises(
        TextError, match=f"it is probably {likely}: .* `iconv -f {likely} -t utf-8`.* --encoding {likely}$"
    ):
        list(decoded([data], "t", "utf-8"))
    assert data.decode(likely)


def test_an_encoding_has_several_names() -> None:
    assert same_encoding("UTF8", "utf-8")
    assert same_encoding("latin-1", "ISO-8859-1")
    assert not same_encoding("utf-16", "utf-16-le")
    assert same_encoding("nul\0", "nul\0")
    assert not same_encoding("nonsense", "utf-8")


@pytest.mark.parametrize(("encoding", "remarked"), [("utf-16-le", True), ("utf-16-be", True), ("utf-8", False)])
def test_utf_16_without_a_mark_is_remarked(encoding: str, remarked: bool) -> None:
    remarks: list[str] = []
    "".join(characters([b"", "some text\0\n".encode(encoding)], "t", "utf-8", "none", remarks))
    assert [f"--encoding {encoding}" in remark for remark in remarks] == [True] * remarked


@pytest.mark.parametrize("size", [1, 2, 99])
@pytest.mark.parametrize(("data", "remarked"), [(b"a\rb\r", True), (b"a\rb", True), (b"a\rb\n", False), (b"ab", False)])
def test_lines_that_end_with_cr_alone_are_remarked(data: bytes, remarked: bool, size: int) -> None:
    remarks: list[str] = []
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    assert "".join(characters(blocks, "t", "utf-8", "none", remarks)) == data.decode()
    assert [r"tr '\r' '\n'" in remark for remark in remarks] == [True] * remarked


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    file_in(tmp_path, b"abc", "a.md")
    with pytest.raises(TextError, match=r"no \*\.txt files in this folder \(1 not \*\.txt\)"):
        load_corpus([str(tmp_path)])


def test_a_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextError, match="stdin is closed"):
        load_corpus([STDIN])


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have a size that can be set on Linux alone")
def test_a_pipe_is_made_as_large_as_a_block_where_the_system_allows_it() -> None:
    (read, write), (other, other_end) = os.pipe(), os.pipe()
    allowed = BLOCK_BYTES
    try:
        fcntl.fcntl(other, fcntl.F_SETPIPE_SZ, BLOCK_BYTES)
    except OSError:
        allowed = fcntl.fcntl(read, fcntl.F_GETPIPE_SZ)
    with open(read, "rb") as file, open(write, "wb", buffering=0) as end:
        blocks = byte_blocks(file, "-")
        end.write(b"one\n")
        assert next(blocks) == b"one\n"
        assert fcntl.fcntl(file, fcntl.F_GETPIPE_SZ) == allowed
        data = bytes(allowed)
        assert end.write(data) == len(data)
        assert next(blocks) == data
    os.close(other)
    os.close(other_end)
