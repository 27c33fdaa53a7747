import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.data import ngrams
from charrnn.data.ngrams import Hashes, symbol_hashes
from charrnn.evaluation import novelty as module
from charrnn.evaluation.novelty import LENGTHS, Novelty, novelty

V = 4
SHORT = st.lists(st.integers(-1, V - 1), max_size=30)


def naive_novelty(text: list[int], training: list[int]) -> Novelty:
    def copied(i: int, n: int) -> bool:
        return any(text[i : i + n] == training[j : j + n] for j in range(len(training) - n + 1))

    def begins(n: int) -> list[bool]:
        return [copied(i, n) for i in range(len(text) - n + 1)]

    longest = max((n for n in range(1, len(text) + 1) if any(begins(n))), default=0)
    seen = {n: float(np.mean(begins(n))) if len(text) >= n else None for n in LENGTHS}
    return Novelty(len(text), longest, begins(longest).index(True) if longest else 0, seen)


@st.composite
def patchworks(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """A training text, and a text made of its parts and of other symbols."""
    training = draw(st.lists(st.integers(0, V - 1), max_size=90))
    cuts = draw(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 70)), max_size=4))
    return [
        i
        for start, size in cuts
        for i in [*training[start : start + size], *draw(st.lists(st.integers(-1, V - 1), max_size=9))]
    ], training


def check(text: list[int], training: list[int]) -> None:
    found, expected = novelty(np.array(text, np.int32), np.array(training, np.uint8), V), naive_novelty(text, training)
    assert (found.chars, found.longest, found.seen) == (expected.chars, expected.longest, expected.seen)
    run = text[found.at : found.at + found.longest]
    assert any(training[j : j + len(run)] == run for j in range(len(training) + 1))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(patchworks())
@example(([1] * 60, [1] * 59))
@example(([0, 1] * 50, [0, 1] * 30 + [2] + [0, 1] * 45))
@example(([], [1, 2]))
def test_figures_are_those_of_a_naive_search(case: tuple[list[int], list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "HASHES_PER_PIECE", 13)
        patch.setattr(module, "MAX_COMPARED", 50)
        check(*case)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(patchworks())
def test_different_runs_with_the_same_hash_are_distinguished(case: tuple[list[int], list[int]]) -> None:
    def colliding(V: int, seed: int) -> Hashes:
        return symbol_hashes(V, seed) if seed > 1 else np.arange(V + 1, dtype=np.uint64) // np.uint64(2 - seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "symbol_hashes", colliding)
        check(*case)


def test_a_copied_text_has_no_novelty() -> None:
    training = np.random.default_rng(3).integers(0, V, 5000).astype(np.uint8)
    assert novelty(training[700:4000], training, V) == Novelty(3300, 3300, 0, dict.fromkeys(LENGTHS, 1.0))
