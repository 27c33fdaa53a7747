import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn import grams
from charrnn.grams import B, run_numbers, symbol_numbers

V = 7


def naive_number(run: list[int], seed: int) -> int:
    R, number = symbol_numbers(V, seed).tolist(), 0
    for i in run:
        number = (number * B + R[i]) % 2**64
    return number


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(-1, V - 1), max_size=40), st.integers(1, 12), st.integers(0, 3), st.integers(1, 50))
def test_every_run_has_the_number_of_its_formula(ids: list[int], n: int, seed: int, piece: int) -> None:
    expected = [naive_number(ids[i : i + n], seed) for i in range(len(ids) - n + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grams, "PIECE", piece)
        pieces = list(run_numbers(np.array(ids, np.int32), n, symbol_numbers(V, seed)))
    assert [number for _, numbers in pieces for number in numbers.tolist()] == expected
    assert [start for start, _ in pieces] == list(range(0, len(expected), piece))
