"""Charts drawn in characters: their axes, and lines in Braille dots or in ASCII letters."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from string import ascii_lowercase

Points = Sequence[tuple[float, float]]  # x, y of a line; above 0 where the axis is logarithmic
Measure = Callable[[float], float]  # of y: its logarithm, or y itself
Box = tuple[float, float, float, float, Measure]  # x of the left and right edge, measures of the lower and upper edge

BRAILLE = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a Braille character, by column and row
MAX_COLUMNS = 120  # of a chart
DECADE_ROWS = 13  # at most, below the highest
LINEAR_ROWS = 10
LINE_COLOURS = (36, 33, 35, 32, 34, 31)  # ANSI codes


def plot_width(columns: int, labels: Sequence[str], most: int) -> int:
    """Return how many of the columns remain beside the labels: at least 10 and at most `most`."""
    return max(10, min(most, columns - max(map(len, labels)) - 2))


def with_axes(rows: Sequence[str], labels: Sequence[str], width: int, start: float, end: float, name: str) -> list[str]:
    """Return the lines of a chart: its rows with their labels, and below them the axis with its ends and its name."""
    margin = max(map(len, labels))
    first, last, indent = f"{start:,.0f}", f"{end:,.0f}", " " * margin
    lines = [f"{label:>{margin}} |{row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    scale = f"{first}{name:^{max(len(name), width - len(first) - len(last))}}{last}"
    return [*lines, f"{indent} +{'-' * width}", f"{indent}  {scale}"]


def chart(
    lines: Mapping[str, Points],
    columns: int,
    across: str,
    dots: bool,
    colored: bool = False,
    linear: bool = False,
    most: int = MAX_COLUMNS,
) -> str:
    """Draw lines, by name, in at most `columns` columns and `most` beside the labels; `across` names the x axis.

    The y axis is logarithmic, for values above 0, or `linear`. In ASCII the lines differ by their letters, without
    colours; where two share a cell, the later one is drawn.
    """
    xs, ys = zip(*(point for points in lines.values() for point in points), strict=True)
    start, end = min(xs), max(xs)
    labels, low, high = heights(min(ys), max(ys)) if linear else decades(min(ys), max(ys))
    width = plot_width(columns, labels, most)
    box = start, end, low, high, float if linear else math.log10
    rows = list(drawn(list(lines.values()), (width, len(labels)), box, dots, colored))
    names = [painted(name if dots else f"{letter(k)} {name}", k, colored) for k, name in enumerate(lines)]
    key = f"{' ' * max(map(len, labels))}  {'   '.join(names)}"
    return "\n".join([*with_axes(rows, labels, width, start, end, f" {across} "), key])


def painted(text: str, line: int | None, colored: bool) -> str:
    """Return text in the colour of a line; as it is if it belongs to none, or without colours."""
    return text if line is None or not colored else f"\x1b[{LINE_COLOURS[line % len(LINE_COLOURS)]}m{text}\x1b[0m"


def letter(line: int) -> str:
    """Return the letter of a line."""
    return ascii_lowercase[line % len(ascii_lowercase)]


def decades(least: float, most: float) -> tuple[list[str], int, int]:
    """Return the label of each row, and the powers of ten of the lowest and the highest row.

    Each decade has equally many rows, or where DECADE_ROWS does not suffice, each row has several decades.
    """
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    count = max(1, high - low)
    rows_each, step = max(1, DECADE_ROWS // count), -(-count // DECADE_ROWS)
    powers = [high - i * step for i in range(-(-count // step) + 1)]
    rows = [""] * ((len(powers) - 1) * rows_each + 1)
    rows[::rows_each] = ["1" if n == 0 else f"1e{n}" for n in powers]
    return rows, powers[-1], high


def heights(least: float, most: float) -> tuple[list[str], float, float]:
    """Return the label of each row of a linear axis, and its least and greatest value, which differ."""
    if most - least < 0.02:  # the labels have two digits
        least, most = least - 0.01, most + 0.01
    labels = [""] * LINEAR_ROWS
    for row in (0, LINEAR_ROWS // 2, LINEAR_ROWS - 1):
        labels[row] = f"{most - (most - least) * row / (LINEAR_ROWS - 1):.2f}"
    return labels, least, most


def drawn(lines: Sequence[Points], size: tuple[int, int], box: Box, dots: bool, colored: bool) -> Iterator[str]:
    """Yield the rows of a drawing of (width, height), without blanks at their ends."""
    (width, height), (dots_across, dots_down) = size, (2, 4) if dots else (1, 1)
    cells = dict[tuple[int, int], tuple[int, int]]()  # row, column -> dots, line
    for k, points in enumerate(lines):
        for column, row in trail(points, (width * dots_across, height * dots_down), box):
            cell = row // dots_down, column // dots_across
            cells[cell] = cells.get(cell, (0, 0))[0] | DOTS[column % dots_across][row % dots_down], k
    shown = {cell: (chr(BRAILLE + pattern) if dots else letter(k), k) for cell, (pattern, k) in cells.items()}
    for row in range(height):
        runs = groupby((shown.get((row, column), (" ", None)) for column in range(width)), lambda cell: cell[1])
        yield "".join(painted("".join(character for character, _ in run), k, colored) for k, run in runs).rstrip()


def trail(points: Points, size: tuple[int, int], box: Box) -> Iterator[tuple[int, int]]:
    """Yield the grid positions (column, row) of a line: one in every column, and those between where it is steep."""
    import numpy as np  # late: the command line imports this module at its start

    (width, height), (start, end, low, high, measure) = size, box
    xs, ys = np.array(points).T
    columns = np.arange(width)
    positions = start + (end - start) * columns / (width - 1)
    inside = (positions >= xs[0] - 1e-9) & (positions <= xs[-1] + 1e-9)
    values = np.interp(positions, xs, [measure(y) for y in ys])
    rows = np.rint((high - values) / (high - low) * (height - 1)).astype(int)
    before = None
    for column, row in zip(columns[inside].tolist(), rows[inside].tolist(), strict=True):
        first = row if before is None else before + (row > before) - (row < before)
        yield from ((column, between) for between in range(min(first, row), max(first, row) + 1))
        before = row
