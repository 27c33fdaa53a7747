"""--unique: samples that differ from each other."""

from collections.abc import Iterator

import pytest

from charrnn.core.errors import CharRNNError
from charrnn.sampling import distinct as module
from charrnn.sampling.distinct import distinct
from charrnn.sampling.samples import Piece


def pieces(*texts: str) -> Iterator[Piece]:
    for n, text in enumerate(texts):
        yield Piece(n, text[:1])
        yield Piece(n, text[1:], "length", 2.5)


def test_the_first_of_equal_texts_is_written_as_one_piece() -> None:
    found = list(distinct(pieces("ab", "cd", "ab", "ac", "cd", "xy"), 4))
    assert found == [Piece(n, text, "length", 2.5) for n, text in ((0, "ab"), (1, "cd"), (3, "ac"), (5, "xy"))]


def test_no_more_samples_are_drawn_than_needed() -> None:
    drawn = list[str]()

    def endless() -> Iterator[Piece]:
        try:
            for n in range(99):
                yield Piece(n, str(n), "length")
        finally:
            drawn.append("closed")

    assert [piece.text for piece in distinct(endless(), 2)] == ["0", "1"]
    assert drawn == ["closed"]


def test_none_at_all_are_drawn_for_a_count_of_zero() -> None:
    assert list(distinct((Piece(n, "a", "length") for n in iter(int, 1)), 0)) == []


def test_repeats_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPEATS", 3)
    found = distinct(pieces("a", "b", "a", "b", "c", "c", "a", "b"), 4)
    assert [next(found).text for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(CharRNNError, match="only 3 of 4 samples: the last 3 had all been written before"):
        next(found)
