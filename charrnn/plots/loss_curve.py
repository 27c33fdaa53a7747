"""Losses over time, drawn in characters: a sparkline that grows with training, and a plot of two curves."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import add

from charrnn.plots.terminal_chart import Points, plot_width, with_axes

SPARKS = "▁▂▃▄▅▆▇█"
MAX_COLUMNS = 60  # of a plot
PLOT_ROWS = 8


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


def curve(history: Sequence[tuple[int, float, float]], best: int | None, columns: int) -> str:
    """Plot the losses of two or more validations: `.` for training, `o` for held-out text, `*` for the best step.

    The history has a step, its training loss and its held-out loss per entry. The greatest held-out loss is the top:
    the training loss, which begins far above it, enters the plot later. Only ASCII and no colours, so that it is right
    in every encoding and font.
    """
    training, held_out = [(step, loss) for step, loss, _ in history], [(step, loss) for step, _, loss in history]
    top, bottom = max(loss for _, loss in held_out), min(loss for _, loss in training + held_out)
    labels = [f"{top:.2f}", *[""] * (PLOT_ROWS - 2), f"{bottom:.2f}"]
    width = plot_width(columns, labels, MAX_COLUMNS)
    start, end = history[0][0], history[-1][0]
    rows = [[" "] * width for _ in range(PLOT_ROWS)]
    steps = [start + (end - start) * x / (width - 1) for x in range(width)]
    marks = [(".", training, step) for step in steps] + [("o", held_out, step) for step in steps]
    for character, points, step in marks if best is None else [*marks, ("*", held_out, best)]:
        value, x = between(points, step), round((step - start) / (end - start) * (width - 1))
        if value <= top:
            rows[PLOT_ROWS - 1 - level(value, (bottom, top), PLOT_ROWS)][x] = character
    return "\n".join(with_axes(["".join(row) for row in rows], labels, width, start, end, "step"))


def between(points: Points, x: float) -> float:
    """Return y at x on the straight lines between points."""
    for (x1, y1), (x2, y2) in pairwise(points):
        if x <= x2:
            share = (x - x1) / (x2 - x1)
            return min(max(y1, y2), y1 + share * (y2 - y1))  # rounding must not exceed the top of the plot
    return points[-1][1]
