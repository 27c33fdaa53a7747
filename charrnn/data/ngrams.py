"""The n-grams of a text as 64-bit hashes, to look them up in a text of any size (Karp & Rabin 1987).

The hash of ids i_1 … i_n is Σ_j R[i_j] BASE^(n-j) mod 2^64, with a random number R for each symbol and an odd BASE.
Equal n-grams have equal hashes; different ones hardly ever do.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charrnn.core.ops import Ids

BASE = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
HASHES_PER_PIECE = 1 << 18

Hashes = NDArray[np.uint64]


def symbol_hashes(V: int, seed: int) -> Hashes:
    """Return R, (V + 1,): the last is for the id -1, a character that the vocabulary lacks."""
    return np.random.default_rng(seed).integers(1 << 64, size=V + 1, dtype=np.uint64)


def ngram_hashes(ids: Ids, n: int, R: Hashes) -> Iterator[tuple[int, Hashes]]:
    """Yield the hashes of all n-grams of ids (N,) piece by piece, each with the position of its first n-gram.

    A hash comes from prefix sums: (S[i+n] - S[i]) BASE^(i+n-1) with S[k] = Σ_{j<k} R[ids[j]] BASE^-j.
    """
    if n > len(ids):
        return
    size = min(HASHES_PER_PIECE, len(ids) - n + 1) + n
    powers, inverses = (power(base, size) for base in (BASE, pow(BASE, -1, 1 << 64)))
    for start in range(0, len(ids) - n + 1, HASHES_PER_PIECE):
        terms = R[ids[start : start + HASHES_PER_PIECE + n - 1]]
        terms *= inverses[: len(terms)]
        sums = np.concatenate([np.zeros(1, np.uint64), terms.cumsum(dtype=np.uint64)])
        yield start, (sums[n:] - sums[:-n]) * powers[n - 1 : len(terms)]


def power(base: int, count: int) -> Hashes:
    """Return base^0 … base^(count-1) mod 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return factors.cumprod(dtype=np.uint64)
