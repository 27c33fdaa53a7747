"""The course of a loss in characters: as a line of blocks that grows, and as a small plot of two curves."""

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
LARGEST = 60  # columns of a plot
HEIGHT = 8

History = Sequence[tuple[int, float, float]]  # step, loss in training, loss on held-out text


class Trace:
    """The course of a number over any time in constant memory: means of equal stretches, twice as long as needs be."""

    SIZE = 128  # stretches at most

    def __init__(self) -> None:
        self.means: list[float] = []
        self.stretch, self.sum, self.count = 1, 0.0, 0  # the last two of the stretch that is not full yet

    def add(self, value: float) -> None:
        """Enter the next value."""
        self.sum, self.count = self.sum + value, self.count + 1
        if self.count < self.stretch:
            return
        self.means.append(self.sum / self.count)
        self.sum, self.count = 0.0, 0
        if len(self.means) == self.SIZE:
            pairs = zip(self.means[::2], self.means[1::2], strict=True)
            self.means, self.stretch = [(a + b) / 2 for a, b in pairs], 2 * self.stretch

    def sparkline(self, width: int) -> str:
        """Return the course so far in at most so many characters, from the highest mean to the lowest."""
        count = min(width, len(self.means))
        cuts = [round(i * len(self.means) / count) for i in range(count + 1)] if count else []
        parts = [self.means[a:b] for a, b in pairwise(cuts)]
        heights = [sum(part) / len(part) for part in parts]
        return "".join(BLOCKS[level(height, heights, len(BLOCKS))] for height in heights)


def level(value: float, values: Sequence[float], levels: int) -> int:
    """Return which of so many equal levels from the least to the greatest of values a value is on, from 0."""
    low, high = min(values), max(values)
    return min(levels - 1, int((value - low) / (high - low) * levels)) if high > low else 0


def curve(history: History, best: int | None, columns: int) -> str:
    """Plot the losses of two validations or more: `.` in training, `o` on held-out text, `*` the step that is best.

    The greatest loss on held-out text is the top: training, which begins far above it, comes into the picture there.
    ASCII alone, so that it is right in every encoding and font, and without colours.
    """
    steps = [step for step, _, _ in history]
    top = max(loss for _, _, loss in history)
    values = top, min(loss for _, *losses in history for loss in losses)
    labels = [f"{value:.2f}" for value in values]
    margin = max(map(len, labels))
    width = max(10, min(LARGEST, columns - margin - 2))
    rows = [[" "] * width for _ in range(HEIGHT)]

    def mark(character: str, series: int, step: float) -> None:
        value, x = between(history, series, step), round((step - steps[0]) / (steps[-1] - steps[0]) * (width - 1))
        if value <= top:
            rows[HEIGHT - 1 - level(value, values, HEIGHT)][x] = character

    for series, character in ((1, "."), (2, "o")):
        for x in range(width):
            mark(character, series, steps[0] + (steps[-1] - steps[0]) * x / (width - 1))
    if best is not None:
        mark("*", 2, best)
    left = [labels[0], *[""] * (HEIGHT - 2), labels[1]]
    lines = [f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(left, rows, strict=True)]
    first, last, indent = f"{steps[0]:,}", f"{steps[-1]:,}", " " * margin
    scale = f"{first}{'step':^{max(4, width - len(first) - len(last))}}{last}"
    return "\n".join([*lines, f"{indent} +{'-' * width}", f"{indent}  {scale}"])


def between(history: History, series: int, step: float) -> float:
    """Return a loss at a step on the straight lines between validations."""
    for before, after in pairwise(history):
        if step <= after[0]:
            share = (step - before[0]) / (after[0] - before[0])
            return before[series] + share * (after[series] - before[series])
    return history[-1][series]
