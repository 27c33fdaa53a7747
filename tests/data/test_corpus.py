import gzip
import hashlib
import os
import re
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.batches import Batches
from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.state import Origin
from charrnn.core.vocab import Vocab
from charrnn.data import corpus, reading
from charrnn.data.corpus import is_text_of, load_corpus
from charrnn.data.reading import Reading
from charrnn.data.sources import STDIN
from tests.data.texts import file_in, give_stdin, text_of

few = settings(deadline=None, max_examples=50, derandomize=True)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("block", range(1, 8))
def test_a_corpus_is_the_same_for_every_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    data = "\ufeffna\u0131ve\r\n😀 e\u0301\r\r\n漢字".encode()
    path = file_in(tmp_path, data)
    read = load_corpus([path], Reading(normalize="nfc"))
    assert text_of(read) == "na\u0131ve\n😀 \u00e9\r\n漢字"
    assert read.remarks == (f"{path}: dropped the byte-order mark", f"{path}: CR LF became LF")
    assert (read.sources, read.sha256) == ((path,), sha256("na\u0131ve\n😀 e\u0301\r\n漢字"))
    assert read.vocab.normalize == "nfc"


def test_several_files_are_read_as_one_text(tmp_path: Path) -> None:
    parts = [b"abc\r\nd", b"", "\u00e9\na".encode()]
    several = load_corpus([file_in(tmp_path, part, f"{i}.txt") for i, part in enumerate(parts)])
    joined = load_corpus([file_in(tmp_path, b"".join(parts))])
    assert several.ids.tolist() == joined.ids.tolist()
    assert (several.vocab, several.sha256) == (joined.vocab, joined.sha256)


@few
@given(st.lists(st.text("ab\xff\u0100漢😀", max_size=7)))
def test_counts_do_not_depend_on_the_blocks(blocks: list[str]) -> None:
    counts = corpus.count_codes(blocks)
    assert {chr(code): counts[code] for code in np.flatnonzero(counts)} == Counter("".join(blocks))


SAVED = {  # the same characters, as editors save them
    "plain": "é\nb\n".encode(),
    "CR LF": "é\r\nb\r\n".encode(),
    "BOM": "\ufeffé\nb\n".encode(),
    "gzip": gzip.compress("é\nb\n".encode()),
}


@pytest.mark.parametrize("how", SAVED)
def test_the_digest_is_of_the_characters(tmp_path: Path, how: str) -> None:
    assert load_corpus([file_in(tmp_path, SAVED[how])]).sha256 == sha256("é\nb\n")
    assert load_corpus([file_in(tmp_path, "é\nb\n".encode("utf-16"))], Reading("utf-16")).sha256 == sha256("é\nb\n")


def test_the_text_of_a_model_is_recognised_by_its_characters_or_by_its_bytes(tmp_path: Path) -> None:
    """Models of version 1 have the digest of the bytes."""
    data = b"\xef\xbb\xbfab\r\n"
    text = load_corpus([file_in(tmp_path, data)])
    for digest, chars in ((sha256("ab\n"), 3), (hashlib.sha256(data).hexdigest(), 3)):
        assert is_text_of(Origin(("x",), digest, chars), text)
    for digest, chars in ((sha256("ac\n"), 3), (hashlib.sha256(data).hexdigest(), 4)):
        assert not is_text_of(Origin(("x",), digest, chars), text)


@pytest.mark.parametrize("lines", [True, False])
def test_the_last_line_of_a_text_ends_before_the_next_text(tmp_path: Path, lines: bool) -> None:
    paths = [file_in(tmp_path, part, f"{i}.txt") for i, part in enumerate([b"eva\nzoe", b"", b"adam", b"bob\n", b"c"])]
    read = load_corpus(paths, Reading(lines=lines))
    assert text_of(read) == ("eva\nzoe\nadam\nbob\nc" if lines else "eva\nzoeadambob\nc")
    assert read.sha256 == sha256(text_of(read))
    ended = [f"{paths[i]}: ended its last line with a newline" for i in (0, 2)]
    assert list(read.remarks) == (ended if lines else [])


def test_rare_characters_become_the_unknown_symbol(tmp_path: Path) -> None:
    assert text_of(load_corpus([file_in(tmp_path, b"aabbc\n\n")], min_count=2)) == "aabb\ufffd\n\n"


def test_known_symbols_stay_in_the_vocabulary_if_the_text_lacks_them(tmp_path: Path) -> None:
    read = load_corpus([file_in(tmp_path, b"cabca\n")], min_count=2, known=Vocab(np.array([98, 122], np.uint32)))
    assert (read.vocab.characters, text_of(read)) == ([*"abcz", "\ufffd"], "cabca\ufffd")


@pytest.mark.parametrize("unknown", [False, True])
def test_symbols_can_be_added_after_a_text_was_read(tmp_path: Path, unknown: bool) -> None:
    path, known = file_in(tmp_path, b"cabca\n"), Vocab(np.array([98, 122], np.uint32), unknown)
    added, read = load_corpus([path]).with_symbols(known), load_corpus([path], known=known)
    assert added.vocab == read.vocab
    assert added.ids.dtype == read.ids.dtype
    np.testing.assert_array_equal(added.ids, read.ids)
    np.testing.assert_array_equal(added.counts, read.counts)
    assert (added.sha256, added.sources, added.remarks) == (read.sha256, read.sources, read.remarks)
    assert replace(load_corpus([path]), counts=None).with_symbols(known).counts is None


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


@pytest.mark.parametrize("later", [b"abcabd", b"abcabcabc", b"ab", b""])
def test_a_text_that_changes_between_its_two_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bytes
) -> None:
    path = file_in(tmp_path, b"abcabc")
    monkeypatch.setattr(corpus, "check_variety", lambda *_: Path(path).write_bytes(later))  # called between the two
    with pytest.raises(TextError, match="changed while it was read"):
        load_corpus([path])


@pytest.mark.parametrize(
    ("data", "encoding", "says"),
    [
        (None, "utf-8", "No such file"),
        (b"", "utf-8", "text is empty"),
        (b"\xef\xbb\xbf", "utf-8", "text is empty"),
        (b"aaaa", "utf-8", "only one character, U.0061 a:"),
        (b"\r\n\r\n", "utf-8", "only one character, U.000A:"),
        (
            "caf\u00e9 noir".encode("latin-1"),
            "utf-8",
            "not utf-8 text at byte 3, line 1: it is probably cp1252: .* --encoding cp1252",
        ),
        (b"ab\xe2\x82", "utf-8", "not utf-8 text at byte 2, line 1:"),
        (b"no mark", "utf-16", "not utf-16 text at byte 0:"),
        (b"a+2AA-", "utf-7", "lone surrogates .* --encoding"),
    ],
)
def test_a_text_that_cannot_be_trained_on_is_refused(
    tmp_path: Path, data: bytes | None, encoding: str, says: str
) -> None:
    path = str(tmp_path / "missing.txt") if data is None else file_in(tmp_path, data)
    with pytest.raises(TextError, match=f"^{re.escape(path)}: .*{says}"):
        load_corpus([path], Reading(encoding))


def test_a_min_count_that_leaves_one_symbol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"--min-count 4 .*only one symbol"):
        load_corpus([file_in(tmp_path, b"abcabcabc")], min_count=4)


# ---- ids on disk ----


@pytest.mark.parametrize(("different", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_ids_are_a_read_only_map_with_the_smallest_type(tmp_path: Path, different: int, dtype: type) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + different)))
    read = load_corpus([file_in(tmp_path, text.encode())])
    assert isinstance(read.ids, np.memmap)
    assert (read.ids.dtype, read.ids.flags.writeable) == (dtype, False)
    assert read.ids.tolist() == list(range(different))


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_what_was_read_of_a_map_does_not_stay_in_memory(tmp_path: Path) -> None:
    def mapped() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGESIZE")

    def read(ids: Ids) -> Iterator[int]:
        """Read as training does, and then as validation does; yield the mapped memory after each access."""
        for streams in (3, 32):
            batches = Batches(ids, streams, 1000, start_id=1)
            for step in range(0, batches.steps_per_epoch, 200):
                x, y = batches.batch(step)
                assert (x[1:] == y[:-1]).all()
                assert type(x) is np.ndarray is type(y)
                yield mapped()
        for piece in (ids[i : i + 1_000_000] for i in range(0, len(ids), 1_000_000)):
            assert np.count_nonzero(piece) == len(piece) // 2
            yield mapped()

    ids, before = load_corpus([file_in(tmp_path, b"ab" * 25_000_000)]).ids, mapped()
    assert max(read(ids)) - before < len(ids) / 3  # the system maps a megabyte or two around each access


@pytest.mark.parametrize("streams", [1, 8, 9, 20])
def test_windows_of_any_number_of_streams_are_read_from_a_map(tmp_path: Path, streams: int) -> None:
    text = "".join(map(chr, np.random.default_rng(1).integers(97, 117, 5000)))
    ids = load_corpus([file_in(tmp_path, text.encode())]).ids
    at = np.random.default_rng(2).integers(0, 5000, (7, streams))
    np.testing.assert_array_equal(ids[at], np.asarray(ids)[at])


@pytest.mark.parametrize("piped", [False, True])
def test_no_temporary_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    give_stdin(monkeypatch, b"abc")
    read = load_corpus([STDIN if piped else file_in(tmp_path, b"abc")])
    assert list(place.iterdir()) == []
    assert text_of(read) == "abc"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("piped", [False, True])
def test_an_error_of_a_full_disk_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool) -> None:
    give_stdin(monkeypatch, b"abc" * 10_000)
    path = STDIN if piped else file_in(tmp_path, b"abc" * 10_000)
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b"))
    with pytest.raises(TextError, match=f"^{re.escape(tempfile.gettempdir())}: No space left.* TMPDIR"):
        load_corpus([path])
