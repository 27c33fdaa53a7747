import hashlib
import io
import os
import re
import sys
import tempfile
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.corpus import Corpus, Streams, corpus, load_corpus, read_text, reading, split
from charrnn.corpus.reading import SAFE_CUT, STDIN, characters, raw_blocks
from charrnn.errors import TextError, UsageError
from charrnn.ops import Ids
from charrnn.vocab import NORMALIZATIONS, Vocab, normalized

few = settings(deadline=None, max_examples=50, derandomize=True)

TRICKY = "\r\n\ufeffae\u0301\u0323\u00e9\u1100\u1161\u11a8\uac00か\u3099漢😀\0"  # line ends, and marks that compose
texts = st.text(st.sampled_from(TRICKY) | st.characters(exclude_categories=["Cs"]), max_size=12)


def file_in(folder: Path, data: bytes, name: str = "a.txt") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def text_of(corpus: Corpus) -> str:
    return corpus.vocab.decode(corpus.ids)


def give_stdin(patch: pytest.MonkeyPatch, data: bytes) -> None:
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# ---- from bytes to characters ----


def read(data: bytes, encoding: str, form: str, block: int) -> tuple[str, list[str]]:
    remarks: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        blocks = characters(raw_blocks(io.BytesIO(data), "t"), "t", encoding, form, remarks)
        try:
            return "".join(blocks), remarks
        except TextError as error:
            return str(error), []


def read_whole(data: bytes, encoding: str, form: str) -> tuple[str, list[str]]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        hint = "convert it to UTF-8, as iconv does, or train with its --encoding"
        return f"t: not {encoding} text at byte {len(data) - len(error.object) + error.start}: {hint}", []
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
def test_text_read_in_blocks_is_text_read_whole(begin: str, odd: bytes, end: str, encoding: str, form: str) -> None:
    data = begin.encode(encoding, "ignore") + odd + end.encode(encoding, "ignore")
    for block in range(1, 8):
        assert read(data, encoding, form, block) == read_whole(data, encoding, form)


def test_text_is_cut_only_before_characters_that_compose_with_nothing_before() -> None:
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    composing = {chr(int(pair[1], 16)) for pair in parts if len(pair) == 2 and not pair[0].startswith("<")}
    safe = {chr(code) for code in range(0x10000) if SAFE_CUT.match(chr(code))}
    assert {"\0", "\n", "~", "か", "漢"} <= safe
    assert not safe & composing
    assert not any(unicodedata.combining(normalized(c, "nfd")[0]) for c in safe)


def test_the_text_of_a_file_is_read_once_in_the_same_way(tmp_path: Path) -> None:
    remarks: list[str] = []
    path = file_in(tmp_path, "\ufeffa\r\nb\rce\u0301".encode())
    assert "".join(read_text(path, "nfc", remarks)) == "a\nb\rc\u00e9"
    assert remarks == [f"{path}: dropped the byte-order mark", f"{path}: CR LF became LF"]


# ---- from sources to a corpus ----


@pytest.mark.parametrize("block", range(1, 8))
def test_a_corpus_is_the_same_for_every_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(reading, "BLOCK", block)
    data = "\ufeffna\u0131ve\r\n😀 e\u0301\r\r\n漢字".encode()
    path = file_in(tmp_path, data)
    read = load_corpus([path], normalize="nfc")
    assert text_of(read) == "na\u0131ve\n😀 \u00e9\r\n漢字"
    assert read.remarks == (f"{path}: dropped the byte-order mark", f"{path}: CR LF became LF")
    assert (read.sources, read.sha256) == ((path,), hashlib.sha256(data).hexdigest())
    assert read.vocab.normalize == "nfc"


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", "żółw 😀\n"), ("latin-1", "déjà\n"), ("gbk", "漢字ab\n")])
def test_other_encodings_are_read_when_named(tmp_path: Path, encoding: str, text: str) -> None:
    assert text_of(load_corpus([file_in(tmp_path, text.encode(encoding))], encoding)) == text


def test_several_files_are_one_text(tmp_path: Path) -> None:
    parts = [b"abc\r\nd", b"", "\u00e9\na".encode()]
    several = load_corpus([file_in(tmp_path, part, f"{i}.txt") for i, part in enumerate(parts)])
    joined = load_corpus([file_in(tmp_path, b"".join(parts))])
    assert several.ids.tolist() == joined.ids.tolist()
    assert (several.vocab, several.sha256) == (joined.vocab, joined.sha256)


def test_a_folder_stands_for_its_txt_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "10.txt", "c.md", ".txt.swp"):
        file_in(tmp_path, name.encode(), name)
    (tmp_path / "d.txt").mkdir()
    file_in(tmp_path / "d.txt", b"below", "e.txt")
    read = load_corpus([str(tmp_path)])
    assert (text_of(read), read.sources) == ("10.txta.txtb.txt", (str(tmp_path),))


def test_stdin_and_pipes_are_read_between_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(("different", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_are_a_read_only_map_of_the_smallest_type(tmp_path: Path, different: int, dtype: type) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + different)))
    read = load_corpus([file_in(tmp_path, text.encode())])
    assert isinstance(read.ids, np.memmap)
    assert (read.ids.dtype, read.ids.flags.writeable) == (dtype, False)
    assert read.ids.tolist() == list(range(different))


@few
@given(st.lists(st.text("ab\xff\u0100漢😀", max_size=7)))
def test_characters_are_counted_whatever_blocks_they_come_in(blocks: list[str]) -> None:
    counts = corpus.count_codes(blocks)
    assert {chr(code): counts[code] for code in np.flatnonzero(counts)} == Counter("".join(blocks))


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs to see its own memory")
def test_what_is_read_of_a_map_does_not_stay_in_memory(tmp_path: Path) -> None:
    def mapped() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGESIZE")

    def read(ids: Ids) -> Iterator[int]:
        # as training does, and then as validation does; how much is in memory after each reading
        streams = Streams(ids, 3, 1000, start_id=1)
        for step in range(0, streams.steps_per_epoch, 200):
            x, y = streams.batch(step)
            assert (x[1:] == y[:-1]).all()
            assert type(x) is np.ndarray is type(y)
            yield mapped()
        for piece in (ids[i : i + 1_000_000] for i in range(0, len(ids), 1_000_000)):
            assert np.count_nonzero(piece) == len(piece) // 2
            yield mapped()

    ids, before = load_corpus([file_in(tmp_path, b"ab" * 25_000_000)]).ids, mapped()
    assert max(read(ids)) - before < len(ids) / 3  # the system maps a megabyte or two around what is read


def test_rare_characters_become_the_unknown_symbol(tmp_path: Path) -> None:
    assert text_of(load_corpus([file_in(tmp_path, b"aabbc\n\n")], min_count=2)) == "aabb\ufffd\n\n"


def test_symbols_that_are_known_stay_though_the_text_lacks_them(tmp_path: Path) -> None:
    read = load_corpus([file_in(tmp_path, b"cabca\n")], min_count=2, known=Vocab(np.array([98, 122], np.uint32)))
    assert (read.vocab.characters, text_of(read)) == ([*"abcz", "\ufffd"], "cabca\ufffd")


@pytest.mark.parametrize("piped", [False, True])
def test_no_temporary_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    give_stdin(monkeypatch, b"abc")
    read = load_corpus([STDIN if piped else file_in(tmp_path, b"abc")])
    assert list(place.iterdir()) == []
    assert text_of(read) == "abc"


def peak_memory(path: str) -> int:
    tracemalloc.start()
    load_corpus([path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    line = "Ünïcödé ".encode() * 10_000
    small, large = (file_in(tmp_path, line * times, f"{times}.txt") for times in (30, 160))
    grown = os.path.getsize(large) - os.path.getsize(small)
    assert grown > 15e6
    assert peak_memory(large) - peak_memory(small) < 0.05 * grown


# ---- what is refused ----


@pytest.mark.parametrize(
    ("data", "encoding", "says"),
    [
        (None, "utf-8", "No such file"),
        (b"", "utf-8", "text is empty"),
        (b"\xef\xbb\xbf", "utf-8", "text is empty"),
        (b"aaaa", "utf-8", "one character only, U.0061 a:"),
        (b"\r\n\r\n", "utf-8", "one character only, U.000A:"),
        ("caf\u00e9 noir".encode("latin-1"), "utf-8", "not utf-8 text at byte 3: .* --encoding"),
        (b"ab\xe2\x82", "utf-8", "not utf-8 text at byte 2:"),
        (b"no mark", "utf-16", "not utf-16 text at byte 0:"),
        (b"a+2AA-", "utf-7", "lone surrogates .* --encoding"),
    ],
)
def test_a_text_that_cannot_be_learnt_from_is_refused(
    tmp_path: Path, data: bytes | None, encoding: str, says: str
) -> None:
    path = str(tmp_path / "missing.txt") if data is None else file_in(tmp_path, data)
    with pytest.raises(TextError, match=f"^{re.escape(path)}: .*{says}"):
        load_corpus([path], encoding)


def test_a_min_count_that_leaves_one_symbol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"--min-count 4 .*one symbol"):
        load_corpus([file_in(tmp_path, b"abcabcabc")], min_count=4)


@pytest.mark.parametrize("source", ["nul\0.txt", "long" * 100])
def test_a_name_that_no_file_can_have_is_refused(source: str) -> None:
    with pytest.raises(TextError):
        load_corpus([source])
    with pytest.raises(TextError):
        list(read_text(source, "none", []))


@pytest.mark.parametrize("encoding", ["nonsense", "", "rot13", "hex", "undefined", "nul\0"])
def test_an_encoding_that_is_none_of_text_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UsageError, match=f"^--encoding {encoding}: "):
        load_corpus([file_in(tmp_path, b"abc")], encoding)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    file_in(tmp_path, b"abc", "a.md")
    with pytest.raises(TextError, match=r"no \*\.txt files"):
        load_corpus([str(tmp_path)])


def test_a_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextError, match="stdin is closed"):
        load_corpus([STDIN])


@pytest.mark.parametrize("later", [b"abcabd", b"abcabcabc", b"ab", b""])
def test_a_text_that_changes_between_its_two_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bytes
) -> None:
    path = file_in(tmp_path, b"abcabc")
    monkeypatch.setattr(corpus, "check_variety", lambda *_: Path(path).write_bytes(later))  # called between the two
    with pytest.raises(TextError, match="changed while it was read"):
        load_corpus([path])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("piped", [False, True])
def test_a_full_disk_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool) -> None:
    give_stdin(monkeypatch, b"abc" * 10_000)
    path = STDIN if piped else file_in(tmp_path, b"abc" * 10_000)
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b"))
    with pytest.raises(TextError, match=f"^{re.escape(tempfile.gettempdir())}: No space left.* TMPDIR"):
        load_corpus([path])


# ---- from a corpus to windows ----


@pytest.mark.parametrize(
    ("chars", "fraction", "sizes"),
    [(1_115_394, 0.1, (1_003_854, 111_540)), (20, 0.25, (15, 5)), (3, 0, (3, 0)), (1, 0, (1, 0)), (3, 0.6, (1, 2))],
)
def test_the_end_of_a_text_is_held_out(chars: int, fraction: float, sizes: tuple[int, int]) -> None:
    ids = np.arange(chars)
    to_learn, held_out = split(ids, fraction)
    assert (len(to_learn), len(held_out)) == sizes
    np.testing.assert_array_equal(np.concatenate([to_learn, held_out]), ids)


@pytest.mark.parametrize(("chars", "fraction"), [(1, 0.1), (3, 0.9), (10, 1e-20)])
def test_a_split_without_one_of_its_parts_is_refused(chars: int, fraction: float) -> None:
    with pytest.raises(TextError, match=f"^{chars} characters .*--val-fraction 0 "):
        split(np.arange(chars), fraction)


streams_and_steps = st.tuples(st.integers(1, 7), st.integers(1, 6))  # B, T
long_enough = streams_and_steps.flatmap(lambda BT: st.tuples(st.integers(BT[0] * BT[1], 90), st.just(BT)))
too_short = streams_and_steps.filter(lambda BT: BT != (1, 1)).flatmap(
    lambda BT: st.tuples(st.integers(1, BT[0] * BT[1] - 1), st.just(BT))
)


@few
@example((35, (7, 5)))
@example((41, (7, 5)))
@given(long_enough)
def test_streams_predict_each_character_once_an_epoch_and_go_on(size: tuple[int, tuple[int, int]]) -> None:
    N, (B, T) = size
    streams = Streams(np.arange(1, N + 1, dtype=np.uint8), B, T, start_id=0)  # so the character before k is k - 1
    steps = streams.steps_per_epoch
    batches = [streams.batch(step) for step in range(B * steps)]
    read: list[list[int]] = [[] for _ in range(B)]
    for step, (x, y) in enumerate(batches):
        last = (step + 1) % steps == 0
        assert x.shape == y.shape == (len(x), B)
        assert x.dtype == y.dtype == np.dtype(np.int64)
        assert len(x) == T or (last and len(x) < T)
        assert np.all((y >= 0)[: len(y) - last])  # only an epoch's last step may lack a target
        assert np.all((x == y - 1) | (y < 0))
        for stream, targets in zip(read, y.T.tolist(), strict=True):
            stream += [target for target in targets if target >= 0]
    for epoch in range(B):
        targets = np.concatenate([y.ravel() for _, y in batches[epoch * steps : (epoch + 1) * steps]])
        assert sorted(targets[targets >= 0]) == list(range(1, N + 1))
    for stream in read:  # one contiguous text, the next part after each, from the last to the first
        assert [i % N for i in stream] == [(stream[0] + i) % N for i in range(N)]


def test_a_batch_depends_on_the_step_alone() -> None:
    ids = np.random.default_rng(2).integers(0, 9, 43)
    streams = Streams(ids, 4, 3, start_id=5)
    for step in (7, 0, 30, 7, 2):
        for again, fresh in zip(streams.batch(step), Streams(ids, 4, 3, start_id=5).batch(step), strict=True):
            np.testing.assert_array_equal(again, fresh)


@few
@given(too_short)
def test_a_text_too_short_for_its_windows_is_refused_with_what_would_work(size: tuple[int, tuple[int, int]]) -> None:
    N, (B, T) = size
    with pytest.raises(TextError, match=f"^{N} characters .* --batch-size {B} --seq-len {T}") as caught:
        Streams(np.arange(N), B, T, start_id=0)
    advice = re.search(r": --batch-size (\d+) --seq-len (\d+) would do$", str(caught.value))
    assert advice
    Streams(np.arange(N), int(advice[1]), int(advice[2]), start_id=0)
