"""Which part of a text is held out, and how it is put last on disk, so that everything after is a slice.

A validation scores only the first VALIDATION_CHARS of the held-out part. So of a larger one these come from all of it:
from each text's tail its share, or lines chosen at random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.core.config import VALIDATION_CHARS, Purpose
from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.vocab import Vocab

TRAINED, SCORED, REST = range(3)  # levels: where a character goes
LINES_AT_A_TIME = 1 << 16  # chosen

Levels = NDArray[np.uint8]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Holdout:
    """How a text is divided: its kind, the fraction to hold out, the seed of a choice, and whether lines stay whole."""

    kind: str = "tail"
    fraction: float = 0.0
    seed: int = 0
    lines: bool = False

    @property
    def reorders(self) -> bool:
        """Whether the held-out part has to be moved to the end."""
        return self.kind != "tail" and self.fraction > 0


TAIL = Holdout()


class Tails:
    """Divides several texts: the end of each is held out, and the beginnings of these ends are scored."""

    def __init__(self, lengths: Sequence[int], fraction: float) -> None:
        ends = np.cumsum(lengths, dtype=np.int64)
        sizes = np.array(lengths, np.int64)
        held_out = sizes - (sizes * (1 - fraction)).astype(np.int64)
        share = min(1.0, VALIDATION_CHARS / max(1, int(held_out.sum())))
        self.starts, self.cuts = ends - sizes, ends - held_out
        self.scored = self.cuts + np.ceil(held_out * share).astype(np.int64)

    def levels(self, at: Positions) -> Levels:
        """Return the levels of the characters at these positions."""
        text = np.searchsorted(self.starts, at, "right") - 1
        levels: Levels = (at >= self.cuts[text]).astype(np.uint8)
        levels += at >= self.scored[text]
        return levels


class ChosenLines:
    """Divides a text of lines: of each of M runs of lines, equal in length, one line is held out at random."""

    def __init__(self, lines: int, chars: int, fraction: float, seed: int) -> None:
        self.lines, self.count = lines, min(max(1, round(fraction * lines)), lines - 1)
        self.share = min(1.0, VALIDATION_CHARS / max(1.0, fraction * chars))
        self.rng = np.random.default_rng([seed, 0, Purpose.HOLDOUT])
        self.choices = self.chosen()
        self.numbers, self.held = np.zeros(0, np.int64), np.zeros(0, np.uint8)

    def chosen(self) -> Iterator[tuple[Positions, Levels]]:
        """Yield the numbers of the lines held out, ascending, and their levels."""
        for first in range(0, self.count, LINES_AT_A_TIME):
            runs = np.arange(first, min(first + LINES_AT_A_TIME, self.count) + 1)
            bounds = runs * self.lines // self.count
            place, scored = self.rng.random((len(runs) - 1, 2)).T
            numbers = bounds[:-1] + (place * np.diff(bounds)).astype(np.int64)
            yield numbers, np.where(scored < self.share, SCORED, REST).astype(np.uint8)

    def levels(self, line: int, count: int) -> Levels:
        """Return the levels of some lines from a number on; the numbers of successive calls must ascend."""
        while not len(self.numbers) or self.numbers[-1] < line + count:
            numbers, held = next(self.choices, (np.array([2**62]), np.zeros(1, np.uint8)))
            self.numbers, self.held = np.append(self.numbers, numbers), np.append(self.held, held)
        first, end = np.searchsorted(self.numbers, [line, line + count])
        levels = np.zeros(count, np.uint8)
        levels[self.numbers[first:end] - line] = self.held[first:end]
        self.numbers, self.held = self.numbers[end:], self.held[end:]
        return levels


class Divider:
    """Gives each character of a text, read block by block, its level. With a line_end, lines stay whole."""

    def __init__(self, parts: Tails | ChosenLines, line_end: int | None) -> None:
        self.parts, self.line_end = parts, line_end
        self.chars = self.line = 0
        self.level = self.of_lines(np.zeros(1, np.int64))[0]

    def levels(self, ids: Ids) -> Levels:
        """Return the levels of the next ids (N,), (N,)."""
        at, self.chars = self.chars, self.chars + len(ids)
        if self.line_end is None and isinstance(self.parts, Tails):
            return self.parts.levels(np.arange(at, self.chars))
        starts = np.flatnonzero(ids == self.line_end) + 1
        of_lines = np.append(self.level, self.of_lines(at + starts))
        self.level = of_lines[-1]
        return np.repeat(of_lines, np.diff(starts, prepend=0, append=len(ids)))

    def of_lines(self, starts: Positions) -> Levels:
        """Return the levels of the next lines, which start at these positions of the text."""
        if isinstance(self.parts, Tails):
            return self.parts.levels(starts)
        line, self.line = self.line, self.line + len(starts)
        return self.parts.levels(line, len(starts))


def divider(holdout: Holdout, name: str, lengths: Sequence[int], lines: int, vocab: Vocab) -> Divider:
    """Return the divider of texts with these lengths in characters and this number of newlines in all.

    Raises TextError, with the name of the texts, for a choice of lines if there are fewer than two.
    """
    line_end = vocab.newline_id
    if holdout.kind == "each":
        return Divider(Tails(lengths, holdout.fraction), line_end if holdout.lines else None)
    if line_end is None:
        rare = ", or fewer than --min-count," if vocab.unknown else ""
        advice = "leave out --lines" if holdout.lines else "use --holdout tail"
        raise TextError(f"{name}: has no newlines{rare}, so it has no lines: {advice}")
    if lines < 2:
        raise TextError(f"{name}: one line leaves no whole line to hold out: use --val-fraction 0 or more text")
    return Divider(ChosenLines(lines, sum(lengths), holdout.fraction, holdout.seed), line_end)
