"""A text with a value a character: what the terminal, a page and an SVG each draw in their own way.

The colours are of the cube of 6 x 6 x 6 that terminals have, so that all of them show the same. Their lightness goes
one way with what they stand for, which every eye can tell, and no two are alike to the colour-blind.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from charrnn.glyphs import SYMBOLS, joins, width

Piece = tuple[str, NDArray[Any]]  # a part of a text, and a value for each of its code points (N,); NaN is none

TAB, JOINED = 8, 16  # cells to the next tab stop; code points that are drawn as one at most
NEWLINE, NO_BASE = "↵", "◌"  # what is drawn for a newline, and below an accent that stands alone
DRAWN = {**SYMBOLS, **dict.fromkeys([0x2028, 0x2029, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)}


class Palette(NamedTuple):
    """The levels from the lowest to the highest: as colours on light and on dark, and as marks where there are none."""

    name: str
    light: tuple[str, ...]
    dark: tuple[str, ...]
    marks: str


HEAT = ("#ffffff", "#ffd7af", "#ffaf5f", "#ff8700", "#d75f00", "#af0000", "#5f0000", "#000000")
ONE_WAY = Palette("s", HEAT, HEAT[::-1], " 1234567")
TWO_WAYS = Palette(
    "d",
    ("#005faf", "#5f87d7", "#87afff", "#d7d7ff", "#ffffff", "#ffd7af", "#ffaf5f", "#d78700", "#875f00"),
    ("#87d7ff", "#5f87ff", "#005fd7", "#00005f", "#000000", "#5f0000", "#af5f00", "#ff8700", "#ffd787"),
    " ▁▂▃▄▅▆▇█",
)
PALETTES = (ONE_WAY, TWO_WAYS)
UNKNOWN = "x"  # the class of what has no level
BLACK, WHITE = "#000000", "#ffffff"


def drawable(text: str) -> str:
    """Return text in which nothing commands, reorders or cannot stand in a file."""
    return text.translate(DRAWN)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour `#rrggbb` as WCAG 2 defines it, 0 to 1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def grounds(dark: bool) -> Iterator[tuple[str, str]]:
    """Yield the style of every level of every palette, and its colour."""
    for palette in PALETTES:
        for level, colour in enumerate(palette.dark if dark else palette.light):
            yield f"{palette.name}{level}", colour


def ink(colour: str) -> str:
    """Return black or white, whichever is read better on a colour."""
    return BLACK if luminance(colour) > 0.179 else WHITE  # where both have the contrast 4.58


class Mark(NamedTuple):
    """A character and all that joins it: what is in the text, what is drawn for it, and the cells that this takes."""

    text: str
    drawn: str
    cells: int
    values: tuple[float, ...]  # of each code point
    level: int | None  # of the value that is farthest from zero; None where there is no value


@dataclass(frozen=True)
class Scale:
    """How values become levels: level k of the palette begins at `start + k * step`; the ends take what is beyond."""

    palette: Palette
    start: float
    step: float
    labels: tuple[str, ...]  # of the levels
    digits: str  # the format of a value
    note: str  # what the marks say where there are no colours

    def level(self, value: float) -> int | None:
        """Return the level of a value, None for NaN."""
        if math.isnan(value):
            return None
        return max(0, min(len(self.labels) - 1, math.floor((value - self.start) / self.step)))

    def told(self, mark: Mark) -> str:
        """Return the values of a mark in words."""
        return " ".join("unknown" if math.isnan(value) else format(value, self.digits) for value in mark.values)

    def style(self, level: int | None) -> str:
        """Return the class of a level in a style sheet."""
        return UNKNOWN if level is None else f"{self.palette.name}{level}"

    def key(self) -> list[Mark]:
        """Return the labels of the levels, to be drawn as a text is."""
        return [Mark(label, f" {label} ", len(label) + 2, (), level) for level, label in enumerate(self.labels)]


BITS = Scale(
    ONE_WAY, 0, 1, (*"0123456", "7+"), ".2f", "bits below each character: nothing for less than 1, 7 for 7 and more"
)


def both_ways(largest: float) -> Scale:
    """Return the scale of values from -largest to largest, which must be above 0: four levels each way from zero."""
    step = largest / 4
    labels = tuple(f"{k * step:+.2f}" for k in range(-4, 5))
    note = f"a bar below each character: from nothing at {labels[0]} to █ at {labels[-1]}"
    return Scale(TWO_WAYS, -4.5 * step, step, labels, "+.3f", note)


@dataclass(frozen=True)
class Shading:
    """A picture of a text: its title, its scale, and the text with its values, in pieces that may come late."""

    title: str
    scale: Scale
    pieces: Iterable[Piece]

    def kept(self) -> "Shading":
        """Return it with all its pieces at hand, to be drawn more than once."""
        return replace(self, pieces=list(self.pieces))

    def lines(self) -> Iterator[list[Mark]]:
        """Yield the text line by line, each with its newline; one without an end is the last."""
        line, column = list[Mark](), 0
        for text, values in clusters(self.pieces):
            drawn, cells = shape(text, column)
            extreme = max((value for value in values if not math.isnan(value)), key=abs, default=math.nan)
            line.append(Mark(text, drawn, cells, values, self.scale.level(extreme)))
            column += cells
            if text == "\n":
                yield line
                line, column = [], 0
        if line:
            yield line


def clusters(pieces: Iterable[Piece]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield what is drawn together, with its values; a newline at once, all else when the next one begins."""
    held, values = "", tuple[float, ...]()
    for text, numbers in pieces:
        for character, value in zip(drawable(text), numbers.tolist(), strict=True):
            if len(held) < JOINED and joins(character, held):
                held, values = held + character, (*values, value)
                continue
            if held:
                yield held, values
            held, values = character, (value,)
            if held == "\n":
                yield held, values
                held = ""
    if held:
        yield held, values


def shape(text: str, column: int) -> tuple[str, int]:
    """Return how a cluster is drawn at a column, and the cells that it takes."""
    if text == "\n":
        return NEWLINE, 1
    if text == "\t":
        cells = TAB - column % TAB
        return " " * cells, cells
    if not width(text[0]):
        return NO_BASE + text, 1
    return text, min(2, sum(map(width, text)))


def rows(line: Iterable[Mark], columns: int) -> Iterator[list[Mark]]:
    """Cut a line into rows of so many cells at most; no mark is cut."""
    row, room = list[Mark](), columns
    for mark in line:
        if mark.cells > room and row:
            yield row
            row, room = [], columns
        row.append(mark)
        room -= mark.cells
    if row:
        yield row
