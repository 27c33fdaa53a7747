"""Runs of n symbols as 64-bit numbers, so that whether one stands in a text of any size is a look into a table.

The number of ids i_1 … i_n is Σ_j R[i_j] B^(n-j) mod 2^64, R being a random number for each symbol and B an odd one
(Karp and Rabin 1987). Equal runs have equal numbers; different ones hardly ever do.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charrnn.ops import Ids

B = 0x9E3779B97F4A7C15
PIECE = 1 << 18  # runs numbered at a time
WORD = (1 << 64) - 1

Numbers = NDArray[np.uint64]


def symbol_numbers(V: int, seed: int) -> Numbers:
    """Return R, (V + 1,): the last is that of the id -1, a character that the vocabulary lacks."""
    return np.random.default_rng(seed).integers(1 << 64, size=V + 1, dtype=np.uint64)


def run_numbers(ids: Ids, n: int, R: Numbers) -> Iterator[tuple[int, Numbers]]:
    """Number all runs of n in ids (N,): yield where each piece of them begins, and the numbers of its runs.

    A number is taken from sums over all symbols before: (S[i+n] - S[i]) B^(i+n-1) with S[k] = Σ_{j<k} R[ids[j]] B^-j.
    """
    size = min(PIECE, max(len(ids) - n + 1, 0)) + n
    powers, inverses = (power(base, size) for base in (B, pow(B, -1, 1 << 64)))
    for start in range(0, len(ids) - n + 1, PIECE):
        terms = R[ids[start : start + PIECE + n - 1]]
        terms *= inverses[: len(terms)]
        sums = np.concatenate([np.zeros(1, np.uint64), terms.cumsum(dtype=np.uint64)])
        yield start, (sums[n:] - sums[:-n]) * powers[n - 1 : len(terms)]


def power(base: int, count: int) -> Numbers:
    """Return base^0 … base^(count-1) mod 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return factors.cumprod(dtype=np.uint64)
