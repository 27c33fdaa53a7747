"""A text with one value per character, independent of how a terminal, an HTML page or an SVG file draws it.

The colours belong to the 6 x 6 x 6 cube that terminals have, so that every picture shows the same ones. Lightness
changes monotonically with the value, and no two levels look alike to the colour-blind.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.plots.display_width import EMOJI_SELECTOR, cells, drawable, joins, padded, width

Guess = tuple[str, float]  # a character, and its probability
Guesses = Sequence[Guess]  # of a code point, the likeliest first
# Part of a text; a value for each of its code points (N,), NaN if unknown; and perhaps the guesses for each of them.
Piece = tuple[str, NDArray[Any]] | tuple[str, NDArray[Any], Sequence[Guesses]]

TAB_STOP = 8  # cells
MAX_CLUSTER = 16  # code points that are drawn as one at most
NEWLINE, NO_BASE = "↵", "◌"  # what is drawn for a newline, and below an accent without a base
SYMBOLS = {"\t": "␉", " ": "␣"}  # of characters that cannot be seen alone
TOO_WIDE = "·"  # for a guess that takes more cells than the character above it
NO_LEVEL = "x"  # the CSS class of a character without a value
BLACK, WHITE = "#000000", "#ffffff"


class Palette(NamedTuple):
    """The levels from lowest to highest: as colours on light and dark pages, and as marks where there is no colour."""

    prefix: str  # of the CSS classes
    light: tuple[str, ...]
    dark: tuple[str, ...]
    marks: str


HEAT = ("#ffffff", "#ffd7af", "#ffaf5f", "#ff8700", "#d75f00", "#af0000", "#5f0000", "#000000")
SEQUENTIAL = Palette("s", HEAT, HEAT[::-1], " 1234567")
DIVERGING = Palette(
    "d",
    ("#005faf", "#5f87d7", "#87afff", "#d7d7ff", "#ffffff", "#ffd7af", "#ffaf5f", "#d78700", "#875f00"),
    ("#87d7ff", "#5f87ff", "#005fd7", "#00005f", "#000000", "#5f0000", "#af5f00", "#ff8700", "#ffd787"),
    " ▁▂▃▄▅▆▇█",
)
PROBABILITY = Palette(
    "p",
    ("#ffffff", "#d7d7ff", "#afafff", "#5f87ff", "#005faf"),
    ("#000000", "#00005f", "#005faf", "#5f87ff", "#afafff"),
    " 1234",
)
PALETTES = (SEQUENTIAL, DIVERGING, PROBABILITY)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour `#rrggbb` as WCAG 2 defines it, 0 to 1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return math.fsum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def text_colour(background: str) -> str:
    """Return black or white, whichever is easier to read on a background."""
    return BLACK if luminance(background) > 0.179 else WHITE  # at 0.179 both have a contrast of 4.58


class Cluster(NamedTuple):
    """A character and all that joins it: the text, what is drawn for it, and the cells that the drawing takes."""

    text: str
    drawn: str
    cells: int
    values: tuple[float, ...]  # of each code point
    level: int | None  # of the value that is farthest from zero; None if there is no value
    guesses: Guesses = ()  # for its first code point


@dataclass(frozen=True)
class Scale:
    """How values become levels: level k > 0 begins at `bounds[k - 1]`."""

    palette: Palette
    bounds: tuple[float, ...]  # ascending
    labels: tuple[str, ...]  # one per level
    digits: str  # format of a value
    note: str  # explains the marks where there are no colours

    def level(self, value: float) -> int | None:
        """Return the level of a value, None for NaN."""
        return None if math.isnan(value) else bisect_right(self.bounds, value)

    def describe(self, values: Iterable[float]) -> str:
        """Return values as text."""
        return " ".join("unknown" if math.isnan(value) else format(value, self.digits) for value in values)

    def css_class(self, level: int | None) -> str:
        """Return the CSS class of a level."""
        return NO_LEVEL if level is None else f"{self.palette.prefix}{level}"

    def key(self) -> list[Cluster]:
        """Return the labels of the levels, to be drawn like a text."""
        return [Cluster(label, f" {label} ", len(label) + 2, (), level) for level, label in enumerate(self.labels)]


BITS = Scale(
    SEQUENTIAL,
    (1, 2, 3, 4, 5, 6, 7),
    (*"0123456", "7+"),
    ".2f",
    "bits below each character: nothing for less than 1, 7 for 7 and more",
)


SHARES = Scale(
    PROBABILITY,
    (0.1, 0.3, 0.6, 0.9),
    ("<10% likely", "10%", "30%", "60%", "90%"),
    ".0%",
    "probability of the likeliest characters, which are below each line",
)

EXPECTED = 0.5  # bits: a character that costs less has the lowest level
QUANTILES = (0.3, 0.56, 0.74, 0.86, 0.94, 0.98)  # of the others, where the levels after the next one begin


def quantile_scale(values: NDArray[Any]) -> Scale:
    """Return the scale of bits (N,), NaN if unknown, in which the levels have the same shares of every text.

    Of the characters that were not EXPECTED, 30 % are in the lowest of the other levels and 2 % in the highest, however
    well a model predicts the text.
    """
    known = values[values >= EXPECTED]  # false for NaN
    bounds = [EXPECTED, *(np.quantile(known, QUANTILES).tolist() if len(known) else map(float, range(1, 7)))]
    labels = (f"<{bounds[0]:.2f}", *(f"{bound:.2f}" for bound in bounds[:-1]), f"{bounds[-1]:.2f}+")
    return Scale(SEQUENTIAL, tuple(bounds), labels, ".2f", "bits, in quantiles of what was unexpected")


def diverging_scale(largest: float) -> Scale:
    """Return the scale of values from -largest to largest, which must be above 0: four levels on each side of zero."""
    step = largest / 4
    labels = tuple(f"{k * step:+.2f}" for k in range(-4, 5))
    note = f"a bar below each character: from nothing at {labels[0]} to █ at {labels[-1]}"
    return Scale(DIVERGING, tuple((k - 3.5) * step for k in range(8)), labels, "+.3f", note)


@dataclass(frozen=True)
class Heatmap:
    """A picture of a text: its title, its scale, and the text with its values, in pieces that may be computed late.

    Below each row of the text are the first `guess_rows` guesses for its characters.
    """

    title: str
    scale: Scale
    pieces: Iterable[Piece]
    guess_rows: int = 0

    def scales(self) -> list[Scale]:
        """Return the scales of the colours in a picture file: that of the text, and that of the guesses below it."""
        return [self.scale, SHARES] if self.guess_rows else [self.scale]

    def lines(self) -> Iterator[list[Cluster]]:
        """Yield the text line by line, each with its newline; the last line may lack one."""
        line, column = list[Cluster](), 0
        for text, values, guesses in clusters(self.pieces):
            drawn, cells = drawing(text, column)
            extreme = max((value for value in values if not math.isnan(value)), key=abs, default=math.nan)
            line.append(Cluster(text, drawn, cells, values, self.scale.level(extreme), guesses))
            column += cells
            if text == "\n":
                yield line
                line, column = [], 0
        if line:
            yield line


def clusters(pieces: Iterable[Piece]) -> Iterator[tuple[str, tuple[float, ...], Guesses]]:
    """Yield what is drawn together, with its values and the guesses for its first code point.

    A newline comes at once, all else when the next cluster begins.
    """
    held, values = "", tuple[float, ...]()
    first: Guesses = ()
    for text, numbers, *more in pieces:
        all_guesses = more[0] if more else repeat((), len(text))
        for character, value, guesses in zip(drawable(text), numbers.tolist(), all_guesses, strict=True):
            if len(held) < MAX_CLUSTER and joins(character, held):
                held, values = held + character, (*values, value)
                continue
            if held:
                yield held, values, first
            held, values, first = character, (value,), guesses
            if held == "\n":
                yield held, values, first
                held = ""
    if held:
        yield held, values, first


def drawing(text: str, column: int) -> tuple[str, int]:
    """Return what is drawn for a cluster at a column, and the cells that it takes."""
    if text == "\n":
        return NEWLINE, 1
    if text == "\t":
        cells = TAB_STOP - column % TAB_STOP
        return " " * cells, cells
    if not width(text[0]):
        return NO_BASE + text, 1
    return text, 2 if EMOJI_SELECTOR in text else min(2, sum(map(width, text)))


def described(guesses: Guesses) -> str:
    """Return guesses as text, such as "e 61%, a 20%"; symbols stand for blanks and control characters."""
    return ", ".join(f"{symbol(character)} {share:.0%}" for character, share in guesses)


def symbol(character: str) -> str:
    """Return what is drawn for a character that stands alone."""
    return SYMBOLS.get(character) or drawing(drawable(character), 0)[0]


def guess_rows(row: Sequence[Cluster], most: int) -> list[list[Cluster]]:
    """Return the rows of guesses below a row of a text, at most `most`, the likeliest first."""
    count = min(most, max((len(cluster.guesses) for cluster in row), default=0))
    return [[guess_below(cluster, rank) for cluster in row] for rank in range(count)]


def guess_below(cluster: Cluster, rank: int) -> Cluster:
    """Return the guess of a rank for a character, as wide as the character; a blank if there is none."""
    if rank >= len(cluster.guesses):
        return Cluster("", " " * cluster.cells, cluster.cells, (), None)
    text, share = cluster.guesses[rank]
    drawn = text if text == " " else symbol(text)
    drawn = padded(drawn if cells(drawn) <= cluster.cells else TOO_WIDE, cluster.cells)
    return Cluster(text, drawn, cluster.cells, (share,), SHARES.level(share))


def fold(line: Iterable[Cluster], columns: int) -> Iterator[list[Cluster]]:
    """Yield the rows of a line, each at most `columns` cells wide; no cluster is cut."""
    row, room = list[Cluster](), columns
    for cluster in line:
        if cluster.cells > room and row:
            yield row
            row, room = [], columns
        row.append(cluster)
        room -= cluster.cells
    if row:
        yield row
