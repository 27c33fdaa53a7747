"""Lines over a logarithmic scale, drawn in characters: as fine dots of Braille, or in ASCII with a letter for each."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from string import ascii_lowercase

import numpy as np

Points = Sequence[tuple[float, float]]  # x, rising, and y above 0
Cell = tuple[str, int | None]  # a character, and the line that it belongs to

BRAILLE = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a character, by column and row
LARGEST = 120  # columns of a chart
ROWS = 13  # below the highest
COLORS = (36, 33, 35, 32, 34, 31)  # of lines, by the numbers that terminals have for them


def chart(lines: Mapping[str, Points], columns: int, across: str, dots: bool, colored: bool = False) -> str:
    """Draw lines, each by its name, no wider than so many columns; `across` says what x is.

    In ASCII lines can be told apart without colours; where two share a place stands the letter of the later one.
    """
    paint = in_color if colored else plain
    xs, ys = zip(*(point for points in lines.values() for point in points), strict=True)
    (begin, end), (labels, low, high) = (min(xs), max(xs)), scale(min(ys), max(ys))
    margin = max(map(len, labels))
    width = max(10, min(LARGEST, columns - margin - 2))
    rows = drawn(list(lines.values()), (width, len(labels)), (begin, end, low, high), dots)
    drawing = [f"{label:>{margin}} |{painted(row, paint)}" for label, row in zip(labels, rows, strict=True)]
    first, last, indent = f"{begin:,.0f}", f"{end:,.0f}", " " * margin
    foot = f"{first}{across:^{max(len(across) + 2, width - len(first) - len(last))}}{last}"
    legend = [paint(name if dots else f"{letter(k)} {name}", k) for k, name in enumerate(lines)]
    return "\n".join([*drawing, f"{indent} +{'-' * width}", f"{indent}  {foot}", f"{indent}  {'   '.join(legend)}"])


def plain(text: str, line: int) -> str:
    """Leave text as it is."""
    return text


def in_color(text: str, line: int) -> str:
    """Return text in the colour of a line."""
    return f"\x1b[{COLORS[line % len(COLORS)]}m{text}\x1b[0m"


def letter(line: int) -> str:
    """Return the letter of a line."""
    return ascii_lowercase[line % len(ascii_lowercase)]


def scale(least: float, most: float) -> tuple[list[str], int, int]:
    """Return the label of each row and the powers of ten of the lowest and the highest.

    A decade has as many rows as there are, or where they do not suffice a row has several decades.
    """
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    decades = max(1, high - low)
    each, step = max(1, ROWS // decades), -(-decades // ROWS)
    labels = [power(high - i * step) for i in range(-(-decades // step) + 1)]
    rows = [label if i == 0 else "" for label in labels for i in range(each)][: (len(labels) - 1) * each + 1]
    return rows, high - (len(labels) - 1) * step, high


def power(n: int) -> str:
    """Return 10**n, short."""
    return "1" if n == 0 else f"1e{n}"


def drawn(
    lines: Sequence[Points], size: tuple[int, int], box: tuple[float, float, int, int], dots: bool
) -> list[list[Cell]]:
    """Return what stands where, row by row, in so many columns and rows; the box is from x to x and from y to y."""
    (width, height), (fine, tall) = size, (2, 4) if dots else (1, 1)
    shades = np.zeros((height, width), int)  # the dots of each character
    owners = np.full((height, width), -1)
    for k, points in enumerate(lines):
        for column, row in trail(points, (width * fine, height * tall), box):
            place = row // tall, column // fine
            shades[place] |= DOTS[column % fine][row % tall]
            owners[place] = k
    return [
        [
            (chr(BRAILLE + shade) if dots else letter(k), k) if shade else (" ", None)
            for shade, k in zip(*row, strict=True)
        ]
        for row in zip(shades.tolist(), owners.tolist(), strict=True)
    ]


def trail(points: Points, size: tuple[int, int], box: tuple[float, float, int, int]) -> Iterator[tuple[int, int]]:
    """Yield the places of a grid that a line passes: one in every column, and those between where it is steep."""
    (width, height), (begin, end, low, high) = size, box
    xs, ys = np.array(points).T
    columns = np.arange(width)
    places = begin + (end - begin) * columns / (width - 1)
    inside = (places >= xs[0] - 1e-9) & (places <= xs[-1] + 1e-9)
    values = np.interp(places, xs, np.log10(ys))
    rows = np.rint((high - values) / (high - low) * (height - 1)).astype(int)
    before = None
    for column, row in zip(columns[inside].tolist(), rows[inside].tolist(), strict=True):
        start = row if before is None else before + (row > before) - (row < before)
        yield from ((column, passed) for passed in range(min(start, row), max(start, row) + 1))
        before = row


def painted(row: Sequence[Cell], paint: Callable[[str, int], str]) -> str:
    """Return a row as text, what belongs to one line in one piece; no blanks at its end."""
    runs = ((k, "".join(character for character, _ in run)) for k, run in groupby(row, key=lambda cell: cell[1]))
    return "".join(text if k is None else paint(text, k) for k, text in runs).rstrip()
