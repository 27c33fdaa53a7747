from dataclasses import replace

import numpy as np
import pytest

from charrnn.core.batches import split
from charrnn.core.ops import Ids
from charrnn.data.corpus import Corpus
from charrnn.training import likeness as module
from charrnn.training.likeness import Likeness, likeness, piece_costs, spread, warning
from tests.helpers.files import corpus_of

WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeio" for c in "lmnrst"]


def words(count: int, seed: int, known: list[str] = WORDS) -> str:
    return " ".join(np.random.default_rng(seed).choice(known, count)) + "\n"


def compared(text: str, fraction: float = 0.1) -> Likeness:
    corpus = counted(text)
    return likeness(corpus, *split(corpus.ids, fraction))


def counted(text: str) -> Corpus:
    corpus = corpus_of(text)
    return replace(corpus, counts=np.bincount(corpus.ids, minlength=len(corpus.vocab)))


@pytest.mark.parametrize("count", [200, 5000, 40_000])
def test_a_text_of_one_kind_is_like_itself(count: int) -> None:
    assert not compared(words(count, 0)).unlike


def test_a_tail_with_symbols_of_its_own_is_unlike() -> None:
    found = compared(words(9000, 0) + "ψωξζ" * 1000)
    assert found.new_symbols == tuple(sorted("ψωξζ"))
    assert found.new_share == pytest.approx(1, abs=0.01)
    line = warning(found, "tail", texts=2)
    assert line.startswith("the held-out text is unlike the rest (U+03B6 ζ, U+03BE ξ, U+03C8 ψ and 1 more: only")
    assert line.endswith("--holdout each or more, mixed text")
    assert "\n" not in line
    assert warning(found, "tail", texts=1).endswith("--holdout lines or more, mixed text")


def test_a_tail_of_the_same_letters_in_another_order_is_unlike() -> None:
    found = compared(words(9000, 0) + words(1000, 1, [word[::-1] for word in WORDS]))
    assert (found.new_symbols, found.unlike) == ((), True)
    assert found.harder > 1
    assert f"{found.harder:.2f} bits per character harder to predict" in warning(found, "lines", texts=1)


def test_a_few_new_symbols_are_an_accident() -> None:
    text = words(9000, 0)
    assert not compared(text + "ψωξζ").unlike
    assert warning(compared(text), "tail", texts=1) == ""


@pytest.mark.parametrize("held_out", [0, 1, 5])
def test_a_part_that_is_too_short_to_compare_is_not_unlike(held_out: int) -> None:
    corpus = counted("ab" * 50)
    found = likeness(corpus, corpus.ids[: 100 - held_out], corpus.ids[100 - held_out :])
    assert found == Likeness((), 0.0, 0.0, False)


def naive_cost(piece: Ids, counted: list[list[int]], V: int) -> float:
    """Return the bits per character by dictionaries of contexts."""
    total = 0.0
    for at in range(module.ORDER, len(piece)):
        p = 1 / V
        for order in range(module.ORDER + 1):
            context = piece[at - order : at].tolist()
            same = [
                other[i]
                for other in counted
                for i in range(module.ORDER, len(other))
                if other[i - order : i] == context
            ]
            p = (same.count(int(piece[at])) + module.WEIGHT * p) / (len(same) + module.WEIGHT)
        total -= np.log2(p)
    return total / (len(piece) - module.ORDER)


def test_the_costs_are_those_of_counts_of_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECES", 4)
    ids = corpus_of(words(90, 0)).ids
    to_train, held_out = ids[:300], ids[300:]
    pieces = spread(to_train, 6)
    counted = [pieces[i].tolist() for i in (0, 1, 3, 4)]
    V = int(ids.max()) + 1
    like = [naive_cost(pieces[i], counted, V) for i in (2, 5)]
    there = [naive_cost(piece, counted, V) for piece in spread(held_out, 2)]
    found, error = piece_costs(to_train, held_out, V)
    assert found == pytest.approx(np.mean(there) - np.mean(like), abs=1e-12)
    assert error == pytest.approx(np.sqrt((np.var(like, ddof=1) + np.var(there, ddof=1)) / 2), abs=1e-12)


def test_pieces_come_from_the_whole_text() -> None:
    ids = np.arange(100_000)
    starts = [int(piece[0]) for piece in spread(ids, 5)]
    assert starts == [0, 23976, 47952, 71928, 95904]
    assert {len(piece) for piece in spread(ids, 5)} == {module.PIECE}
    assert [piece.tolist() for piece in spread(ids[:9], 2)] == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert spread(ids[:3], 2) == []
