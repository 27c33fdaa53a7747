"""--no-copy N: a sample never repeats more than N consecutive characters of the training text.

The n-grams of the training text, for n = N and N + 1, are stored as hashes in a Bloom filter (Bloom 1970), which is
small. It contains every one of them, so nothing longer is copied. It also seems to contain a few others, and so
forbids a character without need: about one in 5,000, or one in 1,000 with a training text of 100 million characters.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.core.ops import Ids
from charrnn.core.sample import Mask
from charrnn.data.ngrams import BASE, MASK, Hashes, ngram_hashes, symbol_hashes

BITS_PER_CHAR = 32  # size of the filter for each character of the training text, at least, ...
MIN_BITS_LOG2 = 16
MAX_BITS_LOG2 = 31  # ... but at most 2^31 bits, 256 MB
PROBES = (1, 0xD6E8FEB86659FD93)  # odd factors: each gives one bit of the filter for a hash


class NGramFilter:
    """A Bloom filter of all n-grams and (n+1)-grams of a training text (N,) over V symbols, shared by all samples."""

    def __init__(self, training: Ids, V: int, n: int) -> None:
        if n < 1:
            raise UsageError(f"--no-copy {n}: must be 1 or more")
        self.n, self.R = n, symbol_hashes(V, seed=0)
        self.shift = 64 - min(MAX_BITS_LOG2, max(MIN_BITS_LOG2, (BITS_PER_CHAR * len(training)).bit_length()))
        self.filter = np.zeros(1 << (64 - self.shift - 3), np.uint8)
        for length in (n, n + 1):
            for _, hashes in ngram_hashes(training, length, self.R):
                for byte, bit in self.positions(hashes):
                    np.bitwise_or.at(self.filter, byte, bit)

    def positions(self, hashes: Hashes) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Yield the bits of the filter for n-grams of these hashes (K,): for each probe the bytes and their bits."""
        for probe in PROBES:
            at = hashes * np.uint64(probe) >> np.uint64(self.shift)
            yield (at >> np.uint64(3)).astype(np.int64), np.uint8(1) << (at & np.uint64(7)).astype(np.uint8)

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Return which n-grams of these hashes (K,) are in the training text; a few others seem to be."""
        found = np.ones(len(hashes), bool)
        for byte, bit in self.positions(hashes):
            found &= (self.filter[byte] & bit) != 0
        return found

    def contains_one(self, value: int) -> bool:
        """Return whether the n-gram of one hash is in the training text, as `contains` does."""
        for probe in PROBES:
            at = (value * probe & MASK) >> self.shift
            if not self.filter.item(at >> 3) >> (at & 7) & 1:
                return False
        return True


class NoCopyConstraint:
    """The last n ids of one sample, prompt included, where a copy may have begun. It never ends a sample."""

    may_end, finish = False, None

    def __init__(self, ngrams: NGramFilter, prompt: Ids) -> None:
        self.ngrams, self.recent, self.hash = ngrams, deque[int](), 0
        self.leaving = pow(BASE, ngrams.n, 1 << 64)
        for id in prompt.tolist():  # noqa: A001
            self.advance(id)

    def allowed(self, drawable: Mask) -> Mask | None:
        """Return the symbols (V,) that do not complete an (n+1)-gram of the training text; None for all.

        Raises UsageError if none of them is drawable, since this constraint must never be ignored.
        """
        ngrams = self.ngrams
        if len(self.recent) < ngrams.n or not ngrams.contains_one(self.hash):
            return None
        allowed = ~ngrams.contains(np.uint64(self.hash * BASE & MASK) + ngrams.R[:-1])
        if not (allowed & drawable).any():
            problem = "a sample has reached a point where every allowed character makes a longer copy"
            raise UsageError(f"--no-copy {ngrams.n}: {problem}: use a larger N")
        return allowed

    def advance(self, id: int) -> None:  # noqa: A002  # as in Constraint
        """Add an id to the text."""
        R = self.ngrams.R
        self.recent.append(id)
        self.hash = (self.hash * BASE + R.item(id)) & MASK
        if len(self.recent) > self.ngrams.n:
            self.hash = (self.hash - R.item(self.recent.popleft()) * self.leaving) & MASK
