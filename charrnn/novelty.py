"""How much of a text is copied from the training text: its longest run that stands there, and the share of short ones.

Runs are looked up by number (grams.py) and then compared symbol by symbol, so the figures are exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.grams import Numbers, run_numbers, symbol_numbers
from charrnn.ops import Ids

LENGTHS = (5, 10, 20, 40)
SIEVE = 22  # bits of a number that are looked up first, in 4 MB
COMPARED = 1 << 22  # symbols compared at a time

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Novelty:
    """What of a text of `chars` symbols stands in the training text too."""

    chars: int
    longest: int  # symbols of the longest run that does
    at: int  # where it begins in the text
    seen: dict[int, float | None]  # length -> share of the text's runs of that length that do; None if it has none


def novelty(text: Ids, training: Ids, V: int) -> Novelty:
    """Hold a text (N,) against the training text (M,), both over V symbols; an id of -1 is never copied.

    Takes a few passes over the training text, a piece at a time, and memory for the text alone.
    """
    found = {n: places(text, training, n, V) for n in LENGTHS}
    shares = {n: float((at >= 0).mean()) if len(at) else None for n, at in found.items()}
    longest, at = longest_run(text, training, V, found)
    return Novelty(len(text), longest, at, shares)


def places(text: Ids, training: Ids, n: int, V: int) -> Positions:
    """Return where each run of n of the text stands in the training text, (N-n+1,); -1 if it does not.

    Should two different runs have the same number, all are numbered anew.
    """
    seed = 0
    while True:
        R = symbol_numbers(V, seed)
        at = looked_up(numbers_of(text, n, R), training, n, R)
        hits = np.flatnonzero(at >= 0)
        if all(same(text, training, n, some, at[some]) for some in in_parts(hits, COMPARED // n + 1)):
            return at
        seed += 1


def numbers_of(text: Ids, n: int, R: Numbers) -> Numbers:
    """Return the numbers of all runs of n, (N-n+1,)."""
    return np.concatenate([np.empty(0, np.uint64), *(numbers for _, numbers in run_numbers(text, n, R))])


def looked_up(numbers: Numbers, training: Ids, n: int, R: Numbers) -> Positions:
    """Return where the training text has runs of n with these numbers, (K,); -1 where it has none."""
    wanted, which = np.unique(numbers, return_inverse=True)
    at = np.full(len(wanted), -1)
    sieve = np.zeros(1 << SIEVE, bool)
    sieve[wanted >> np.uint64(64 - SIEVE)] = True
    for start, there in run_numbers(training, n, R) if len(wanted) else ():
        candidates = np.flatnonzero(sieve[there >> np.uint64(64 - SIEVE)])
        rank = np.minimum(np.searchsorted(wanted, there[candidates]), len(wanted) - 1)
        hits = wanted[rank] == there[candidates]
        at[rank[hits]] = start + candidates[hits]
    return at[which]


def same(text: Ids, training: Ids, n: int, i: Positions, j: Positions) -> bool:
    """Tell whether all runs of n from i in the text and from j in the training text, both (K,), are equal."""
    steps = np.arange(n)
    return bool((text[i[:, None] + steps] == training[j[:, None] + steps]).all())


def in_parts(positions: Positions, size: int) -> list[Positions]:
    """Cut positions into parts of a size, the last one shorter."""
    return [positions[i : i + size] for i in range(0, len(positions), size)]


def longest_run(text: Ids, training: Ids, V: int, found: dict[int, Positions]) -> tuple[int, int]:
    """Return the length of the longest run that both have, and where it begins in the text.

    The longest of the runs that were found bound it: it is at least as long as a row of them that follow each other in
    both texts, and at most as long as a row of them in the text. If the bounds differ, the lengths between are halved.
    """
    n = max((n for n, at in found.items() if (at >= 0).any()), default=0)
    most = min([len(text), *(longer - 1 for longer in LENGTHS if longer > n)])
    copied, least, begin = np.ones(len(text) + 1, bool), 0, 0
    if n:
        at = found[n]
        copied = at >= 0
        follow, begin = longest_row((at[1:] == at[:-1] + 1) & copied[:-1])
        least, begin = n + follow, begin if follow else int(copied.argmax())
        most = min(most, n - 1 + longest_row(copied)[0])
    guess = most
    while least < most:
        there = a_place(text, training, V, guess, rows(copied, guess - n + 1))
        if there is None:
            most = guess - 1
        else:
            least, begin = guess, there
        guess = (least + most + 1) // 2
    return least, begin


def a_place(text: Ids, training: Ids, V: int, n: int, candidates: Positions) -> int | None:
    """Return one of the candidates, (K,), where a run of n begins in the text that stands in the training text too."""
    seed = 0
    while True:
        R = symbol_numbers(V, seed)
        at = looked_up(numbers_of(text, n, R)[candidates], training, n, R)
        hits = np.flatnonzero(at >= 0)
        if not len(hits):
            return None
        for i, j in zip(candidates[hits].tolist(), at[hits].tolist(), strict=True):
            if np.array_equal(text[i : i + n], training[j : j + n]):
                return int(i)
        seed += 1


def rows(flags: NDArray[np.bool_], length: int) -> Positions:
    """Return where `length` flags in a row begin to be true."""
    unset = np.concatenate([[0], (~flags).cumsum()])
    return np.flatnonzero(unset[length:] == unset[:-length])


def longest_row(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many flags in a row are true at most, and where the first such row begins."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    return int(lengths.max()), int(edges[2 * lengths.argmax()])
