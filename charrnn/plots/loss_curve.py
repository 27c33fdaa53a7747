"""A series of losses of any length, drawn as a sparkline that grows with training."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import add

SPARKS = "▁▂▃▄▅▆▇█"


class Trace:
    """A series of any length in constant memory: means of equally many values, of twice as many when it is full."""

    MAX_MEANS = 128

    def __init__(self) -> None:
        self.means: list[float] = []
        self.values_per_mean = 1
        self.sum, self.count = 0.0, 0  # of the values since the last mean

    def add(self, value: float) -> None:
        """Append the next value."""
        self.sum, self.count = self.sum + value, self.count + 1
        if self.count < self.values_per_mean:
            return
        self.means.append(self.sum / self.count)
        self.sum, self.count = 0.0, 0
        if len(self.means) == self.MAX_MEANS:
            pairs = zip(self.means[::2], self.means[1::2], strict=True)
            self.means, self.values_per_mean = [(a + b) / 2 for a, b in pairs], 2 * self.values_per_mean

    def sparkline(self, width: int) -> str:
        """Return the series so far in at most `width` characters, scaled from its lowest to its highest mean."""
        count = min(width, len(self.means))
        cuts = [round(i * len(self.means) / count) for i in range(count + 1)] if count else []
        heights = [reduce(add, self.means[a:b]) / (b - a) for a, b in pairwise(cuts)]
        return "".join(SPARKS[level(height, heights, len(SPARKS))] for height in heights)


def level(value: float, values: Sequence[float], levels: int) -> int:
    """Return the level of a value, from 0, among equal levels between the least and the greatest of `values`."""
    low, high = min(values), max(values)
    return min(levels - 1, int((value - low) / (high - low) * levels)) if high > low else 0
