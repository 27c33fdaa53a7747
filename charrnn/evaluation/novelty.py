"""The novelty of a text: its longest run that is copied from the training text, and the shares of short runs that are.

Runs are looked up by hash (data/ngrams.py) and then compared symbol by symbol, so the figures are exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.core.ops import Ids
from charrnn.data.ngrams import ngram_hashes, symbol_hashes

LENGTHS = (5, 10, 20, 40)
SIEVE_BITS = 22  # bits of a hash that are looked up first, in 4 MB
MAX_COMPARED = 1 << 22  # symbols compared at a time

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Novelty:
    """How much of a text of `chars` symbols occurs in the training text."""

    chars: int
    longest: int  # length of the longest run that occurs there
    at: int  # its position in the text
    seen: dict[int, float | None]  # length -> share of the text's runs that occur there; None if it has no such run


def novelty(text: Ids, training: Ids, V: int) -> Novelty:
    """Compare a text (N,) with the training text (M,), both over V symbols; an id of -1 is never copied.

    Takes a few passes over the training text, a piece at a time, and memory for the text alone.
    """
    found = {n: find_runs(text, training, n, V) for n in LENGTHS}
    shares = {n: float((at >= 0).mean()) if len(at) else None for n, at in found.items()}
    longest, at = longest_run(text, training, V, found)
    return Novelty(len(text), longest, at, shares)


def find_runs(text: Ids, training: Ids, n: int, V: int) -> Positions:
    """Return where each run of n of the text occurs in the training text, (N-n+1,); -1 if it does not.

    If two different runs have the same hash, all are hashed again with another seed.
    """
    seed = 0
    while True:
        at = look_up(text, training, n, V, seed)
        hits = np.flatnonzero(at >= 0)
        size, steps = MAX_COMPARED // n + 1, np.arange(n)
        parts = (hits[i : i + size, None] for i in range(0, len(hits), size))
        if all((text[part + steps] == training[at[part] + steps]).all() for part in parts):
            return at
        seed += 1


def look_up(text: Ids, training: Ids, n: int, V: int, seed: int, begins: Positions | slice = slice(None)) -> Positions:
    """Return where the training text has runs of n with the hashes of the text's at `begins`, (K,); -1 for nowhere."""
    R = symbol_hashes(V, seed)
    hashes = np.concatenate([np.empty(0, np.uint64), *(hashes for _, hashes in ngram_hashes(text, n, R))])
    wanted, which = np.unique(hashes[begins], return_inverse=True)
    at = np.full(len(wanted), -1)
    sieve = np.zeros(1 << SIEVE_BITS, bool)
    sieve[wanted >> np.uint64(64 - SIEVE_BITS)] = True
    for start, there in ngram_hashes(training, n, R) if len(wanted) else ():
        candidates = np.flatnonzero(sieve[there >> np.uint64(64 - SIEVE_BITS)])
        rank = np.minimum(np.searchsorted(wanted, there[candidates]), len(wanted) - 1)
        hits = wanted[rank] == there[candidates]
        at[rank[hits]] = start + candidates[hits]
    return at[which]


def longest_run(text: Ids, training: Ids, V: int, found: dict[int, Positions]) -> tuple[int, int]:
    """Return the length of the longest run that both texts have, and its position in the text.

    The longest of the runs that were found bounds it: it is at least as long as a series of them that are consecutive
    in both texts, and at most as long as a series in the text. Bisection finds the length between the bounds.
    """
    n = max((n for n, at in found.items() if (at >= 0).any()), default=0)
    most = min([len(text), *(longer - 1 for longer in LENGTHS if longer > n)])
    copied, least, begin = np.ones(len(text) + 1, bool), 0, 0
    if n:
        at = found[n]
        copied = at >= 0
        consecutive, begin = longest_true((at[1:] == at[:-1] + 1) & copied[:-1])
        least, begin = n + consecutive, begin if consecutive else int(copied.argmax())
        most = min(most, n - 1 + longest_true(copied)[0])
    guess = most
    while least < most:
        position = find_any(text, training, V, guess, all_true(copied, guess - n + 1))
        if position is None:
            most = guess - 1
        else:
            least, begin = guess, position
        guess = (least + most + 1) // 2
    return least, begin


def find_any(text: Ids, training: Ids, V: int, n: int, candidates: Positions) -> int | None:
    """Return one of the candidate positions (K,) from which n symbols of the text occur in the training text."""
    seed = 0
    while True:
        at = look_up(text, training, n, V, seed, candidates)
        hits = np.flatnonzero(at >= 0)
        if not len(hits):
            return None
        for i, j in zip(candidates[hits].tolist(), at[hits].tolist(), strict=True):
            if np.array_equal(text[i : i + n], training[j : j + n]):
                return int(i)
        seed += 1


def all_true(flags: NDArray[np.bool_], length: int) -> Positions:
    """Return the positions from which `length` flags in a row are true."""
    unset = np.concatenate([[0], (~flags).cumsum()])
    return np.flatnonzero(unset[length:] == unset[:-length])


def longest_true(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the largest number of flags in a row that are true, and the position of the first such row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    return int(lengths.max()), int(edges[2 * lengths.argmax()])
