"""--no-copy N: never more than N characters in a row that stand in the training text.

All runs of N and of N + 1 characters of the training text are numbers in a Bloom filter (Bloom 1970), which is small.
It knows every run that is there, so no more is copied. A few others it takes to be there as well, and so forbids a
character that need not be: about one in 5,000, and one in 1,000 with a training text of 100 million.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import UsageError
from charrnn.grams import WORD, B, Numbers, run_numbers, symbol_numbers
from charrnn.ops import Ids
from charrnn.sampling import Rule
from charrnn.sampling.filters import Mask

SPACIOUS = 32  # bits of the filter for each character of the training text, at least, and 2^16
LARGEST = 31  # but 2^31 bits, 256 MB, at most
PROBES = (1, 0xD6E8FEB86659FD93)  # odd factors that make two places of a number


class Copies:
    """All runs of n and of n + 1 ids of a training text (N,) over V symbols, for any number of samples."""

    def __init__(self, training: Ids, V: int, n: int) -> None:
        if n < 1:
            raise UsageError(f"--no-copy {n}: must be 1 or more")
        self.n, self.R = n, symbol_numbers(V, seed=0)
        self.shift = 64 - min(LARGEST, max(16, (SPACIOUS * len(training)).bit_length()))
        self.filter = np.zeros(1 << (64 - self.shift - 3), np.uint8)
        for length in (n, n + 1):
            for _, numbers in run_numbers(training, length, self.R):
                for byte, bit in self.places(numbers):
                    np.bitwise_or.at(self.filter, byte, bit)

    def places(self, numbers: Numbers) -> list[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Return where the filter keeps runs of these numbers: a byte and a bit of it, for each probe."""
        found = [(numbers * np.uint64(probe)) >> np.uint64(self.shift) for probe in PROBES]
        return [
            ((at >> np.uint64(3)).astype(np.int64), np.uint8(1) << (at & np.uint64(7)).astype(np.uint8)) for at in found
        ]

    def holds(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Tell which runs of these numbers (K,) are in the training text; of those that are not, some may pass."""
        there = np.ones(len(numbers), bool)
        for byte, bit in self.places(numbers):
            there &= (self.filter[byte] & bit) != 0
        return there

    def holds_one(self, number: int) -> bool:
        """Tell the same of one run."""
        for probe in PROBES:
            at = (number * probe & WORD) >> self.shift
            if not self.filter.item(at >> 3) >> (at & 7) & 1:
                return False
        return True


class CopyRule:
    """The last n ids of one sample, its prompt among them, which a copy may begin in. It never ends a sample.

    It must hold at any cost, so it knows what else may be written: an alphabet, (V,), and what other rules allow.
    """

    may_end = False

    def __init__(self, copies: Copies, prompt: Ids, alphabet: Mask, others: Sequence[Rule] = ()) -> None:
        self.copies, self.alphabet, self.others = copies, alphabet, others
        self.recent, self.number = deque[int](), 0
        self.leaving = pow(B, copies.n, 1 << 64)
        for id in prompt.tolist():  # noqa: A001
            self.take(id)

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return the symbols (V,) that make no run of n + 1 of the training text; None is all.

        Raises UsageError if there is no such symbol among those that may come.
        """
        copies = self.copies
        if len(self.recent) < copies.n or not copies.holds_one(self.number):
            return None
        allowed = ~copies.holds(np.uint64(self.number * B & WORD) + copies.R[:-1])
        masks = [self.alphabet, *(rule.allowed() for rule in self.others if not rule.may_end)]
        if not np.logical_and.reduce([allowed, *(mask for mask in masks if mask is not None)]).any():
            where = "a sample came to where whatever may follow makes a longer copy"
            raise UsageError(f"--no-copy {copies.n}: {where}: take a larger N")
        return allowed

    def take(self, id: int) -> None:  # noqa: A002  # as every rule calls it
        """Go on by a symbol."""
        R = self.copies.R
        self.recent.append(id)
        self.number = (self.number * B + R.item(id)) & WORD
        if len(self.recent) > self.copies.n:
            self.number = (self.number - R.item(self.recent.popleft()) * self.leaving) & WORD
