import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data import ngrams
from charrnn.data.ngrams import BASE, ngram_hashes, symbol_hashes

V = 7


def naive_hash(ngram: list[int], seed: int) -> int:
    R, code = symbol_hashes(V, seed).tolist(), 0
    for i in ngram:
        code = (code * BASE + R[i]) % 2**64
    return code


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(-1, V - 1), max_size=40), st.integers(1, 12), st.integers(0, 3), st.integers(1, 50))
def test_every_ngram_has_the_hash_of_the_formula(ids: list[int], n: int, seed: int, piece: int) -> None:
    expected = [naive_hash(ids[i : i + n], seed) for i in range(len(ids) - n + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "HASHES_PER_PIECE", piece)
        pieces = list(ngram_hashes(np.array(ids, np.int32), n, symbol_hashes(V, seed)))
    assert [code for _, hashes in pieces for code in hashes.tolist()] == expected
    assert [start for start, _ in pieces] == list(range(0, len(expected), piece))
