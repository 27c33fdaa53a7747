"""A plot of lines on logarithmic or linear axes, as SVG: enough for what is shown here, and no library."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import NamedTuple

from charrnn.pictures.shades import drawable

Points = Sequence[tuple[float, float]]  # above 0 where the axis is logarithmic

COLOURS = ("#3b82c4", "#d1495b", "#2e9e5b", "#b8860b", "#8e6bbf", "#0f8f8f")  # each seen on white and on black
STYLE = (
    ".plot text{font:12px sans-serif;fill:#57606a}.page{fill:#fff}.grid{stroke:#8b949e;stroke-opacity:.35}"
    ".line{fill:none;stroke-width:2}.law{fill:none;stroke-dasharray:2 4}"
    "@media(prefers-color-scheme:dark){.plot text{fill:#b1bac4}.page{fill:#0d1117}}"
)
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 260, 60, 30, 80  # of a panel's inside, and what is around it
MOST_TICKS = 16


class Axis(NamedTuple):
    """From where to where an axis goes, in what it measures a value by, and where it has its numbers."""

    measure: Callable[[float], float]  # a value -> itself or its logarithm
    low: float
    high: float
    ticks: list[tuple[float, str]]


def logarithmic(base: int, values: Sequence[float]) -> Axis:
    """Return an axis between powers of a number, two different ones; each is told, or some where they are many."""
    measure = {2: math.log2, 10: math.log10}[base]
    low, high = math.floor(measure(min(values))), math.ceil(measure(max(values)))
    high = max(high, low + 1)
    each = -(-(high - low) // MOST_TICKS)
    return Axis(measure, low, high, [(n, number(base, n)) for n in range(low, high + 1, each)])


def linear(values: Sequence[float]) -> Axis:
    """Return an axis from the least value to the greatest; multiples of 1, 2, 2.5 or 5 of a power of ten are told."""
    least, most = min(values), max(values)
    room = most - least or abs(most) or 1.0
    unit = 10.0 ** math.floor(math.log10(room))
    step = next(unit * part for part in (0.2, 0.25, 0.5, 1, 2) if room <= 6 * unit * part)
    ticks = range(math.ceil(least / step), math.floor((least + room) / step) + 1)
    return Axis(float, least, least + room, [(n * step, f"{n * step:g}") for n in ticks])


AXES: dict[str, Callable[[Sequence[float]], Axis]] = {
    "decades": partial(logarithmic, 10),
    "doublings": partial(logarithmic, 2),
    "linear": linear,
}
DECADES = ("decades", "decades")  # of x and y


def path(points: Points, place: "Scale") -> str:
    """Return the points as a path through the panel."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))


class Scale:
    """Where a point of two axes, named as in AXES, lies in a panel whose left edge is given."""

    def __init__(self, left: float, points: Points, axes: tuple[str, str] = DECADES) -> None:
        self.left = left
        self.x, self.y = (AXES[name](values) for name, values in zip(axes, zip(*points, strict=True), strict=True))

    def __call__(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return the place of a point."""
        return self.across(self.x.measure(point[0])), self.up(self.y.measure(point[1]))

    def across(self, measure: float) -> float:
        """Return where a measure of the axis across lies."""
        return self.left + (measure - self.x.low) / (self.x.high - self.x.low) * WIDTH

    def up(self, measure: float) -> float:
        """Return where a measure of the upright axis lies."""
        return TOP + (self.y.high - measure) / (self.y.high - self.y.low) * HEIGHT

    def grid(self) -> Iterator[str]:
        """Yield a line and its number for every tick."""
        for tick, label in self.x.ticks:
            x = self.across(tick)
            yield f'<path class="grid" d="M{x:.1f},{TOP}v{HEIGHT}"/>'
            yield f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{label}</text>'
        for tick, label in self.y.ticks:
            y = self.up(tick)
            yield f'<path class="grid" d="M{self.left},{y:.1f}h{WIDTH}"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def number(base: int, n: int) -> str:
    """Return base**n as people write it, or as computers do where that is long."""
    if base == 10 and not -4 < n < 10:
        return f"1e{n}"
    return f"{float(base) ** n:,.0f}" if n >= 0 else f"{float(base) ** n:.{-n}f}"


def plot(
    panels: Mapping[str, Mapping[str, tuple[Points, Points]]], across: str, axes: Sequence[tuple[str, str]] = ()
) -> str:
    """Return an SVG of panels side by side, by title; in each a line and its law, if it has points, dashed, by name.

    All panels share the colours of the names, and the label of the axis across. For each there may be the kinds of its
    axes, x and y, of AXES; else both go by decades. A panel without any point stays empty.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    width, height = LEFT + len(panels) * (WIDTH + GAP), TOP + HEIGHT + 64
    parts = [
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>',
        '<rect class="page" width="100%" height="100%"/>',
    ]
    for i, (title, lines) in enumerate(panels.items()):
        left, kinds = LEFT + i * (WIDTH + GAP), axes[i] if axes else DECADES
        parts.append(f'<text x="{left}" y="18">{escape(drawable(title))}</text>')
        parts.append(f'<text x="{left + WIDTH / 2}" y="{height - 32}" text-anchor="middle">{escape(across)}</text>')
        parts += panel([(colour[name], *pair) for name, pair in lines.items()], left, kinds)
    for i, name in enumerate(names):
        x = LEFT + i * (width - LEFT) / len(names)
        parts.append(f'<path class="line" stroke="{colour[name]}" d="M{x:.0f},{height - 12}h18"/>')
        parts.append(f'<text x="{x + 24:.0f}" y="{height - 8}">{escape(drawable(name))}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(lines: Sequence[tuple[str, Points, Points]], left: float, axes: tuple[str, str]) -> Iterator[str]:
    """Yield the grid of a panel, and over it each line with its law, in its colour."""
    points = [point for _, line, law in lines for point in (*line, *law)]
    if not points:
        return
    place = Scale(left, points, axes)
    yield from place.grid()
    for colour, line, law in lines:
        yield from (f'<path class="law" stroke="{colour}" d="{path(law, place)}"/>' for _ in law[:1])
        yield from (f'<path class="line" stroke="{colour}" d="{path(line, place)}"/>' for _ in line[:1])
