"""Line plots on logarithmic or linear axes, as SVG, without a plotting library."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from charrnn.plots.svg import DARK_PAGE, LIGHT_PAGE, XMLNS, escape, style_sheet, svg_document
from charrnn.plots.terminal_chart import Points

LINE_COLOURS = ("#3b82c4", "#d1495b", "#2e9e5b", "#b8860b", "#8e6bbf", "#0f8f8f")  # visible on white and on black
LIGHT = (
    f".plot text{{font:12px sans-serif;fill:#57606a}}.page{{fill:{LIGHT_PAGE}}}"
    ".grid{stroke:#8b949e;stroke-opacity:.35}.line{fill:none;stroke-width:2}.law{fill:none;stroke-dasharray:2 4}"
)
DARK = f".plot text{{fill:#b1bac4}}.page{{fill:{DARK_PAGE}}}"
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 260, 60, 30, 80  # of a panel's inside, and of what surrounds it
MAX_TICKS = 16


class Axis(NamedTuple):
    """The range of an axis, the measure that values are placed by, and its ticks with their labels."""

    measure: Callable[[float], float]  # the value itself or its logarithm
    low: float
    high: float
    ticks: list[tuple[float, str]]


def logarithmic(base: int, values: Sequence[float]) -> Axis:
    """Return an axis between two different powers of a base, with at most MAX_TICKS + 1 ticks at powers."""
    measure = {2: math.log2, 10: math.log10}[base]
    low, high = math.floor(measure(min(values))), math.ceil(measure(max(values)))
    high = max(high, low + 1)
    step = -(-(high - low) // MAX_TICKS)
    return Axis(measure, low, high, [(n, power(base, n)) for n in range(low, high + 1, step)])


def linear(values: Sequence[float]) -> Axis:
    """Return an axis from the least to the greatest value, with ticks at multiples of 1, 2, 2.5 or 5 times 10**n."""
    least, most = min(values), max(values)
    span = most - least or abs(most) or 1.0
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(unit * part for part in (0.2, 0.25, 0.5, 1, 2) if span <= 6 * unit * part)
    ticks = range(math.ceil(least / step), math.floor((least + span) / step) + 1)
    return Axis(float, least, least + span, [(n * step, f"{n * step:g}") for n in ticks])


def power(base: int, n: int) -> str:
    """Return base**n as a decimal number, or in scientific notation where that would be long."""
    if base == 10 and not -4 < n < 10:
        return f"1e{n}"
    return f"{float(base) ** n:,.0f}" if n >= 0 else f"{float(base) ** n:.{-n}f}"


AXES: dict[str, Callable[[Sequence[float]], Axis]] = {
    "decades": partial(logarithmic, 10),
    "doublings": partial(logarithmic, 2),
    "linear": linear,
}
DECADES = ("decades", "decades")  # of x and y


def line_plot(
    panels: Mapping[str, Mapping[str, tuple[Points, Points]]], across: str, axes: Sequence[tuple[str, str]] = ()
) -> str:
    """Return an SVG of titled panels side by side; each has lines by name, with a dashed expectation if it has points.

    A name has the same colour in all panels, and `across` labels every x axis. `axes` names the axes of x and y of each
    panel, as in AXES; by default both are logarithmic. A panel without points stays empty.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = {name: LINE_COLOURS[i % len(LINE_COLOURS)] for i, name in enumerate(names)}
    width, height = LEFT + len(panels) * (WIDTH + GAP), TOP + HEIGHT + 64
    parts = list[str]()
    for i, (title, lines) in enumerate(panels.items()):
        left = LEFT + i * (WIDTH + GAP)
        parts.append(f'<text x="{left}" y="18">{escape(title)}</text>')
        parts.append(f'<text x="{left + WIDTH / 2}" y="{height - 32}" text-anchor="middle">{escape(across)}</text>')
        parts += panel_svg([(colours[name], *pair) for name, pair in lines.items()], left, axes[i] if axes else DECADES)
    for i, name in enumerate(names):
        x = LEFT + i * (width - LEFT) / len(names)
        parts.append(f'<path class="line" stroke="{colours[name]}" d="M{x:.0f},{height - 12}h18"/>')
        parts.append(f'<text x="{x + 24:.0f}" y="{height - 8}">{escape(name)}</text>')
    return svg_document(f'class="plot" {XMLNS} viewBox="0 0 {width} {height}"', style_sheet(LIGHT, DARK), parts)


def panel_svg(lines: Sequence[tuple[str, Points, Points]], left: float, axes: tuple[str, str]) -> Iterator[str]:
    """Yield the grid of a panel, and over it each line and its dashed expectation, in its colour."""
    points = [point for _, *both in lines for line in both for point in line]
    if not points:
        return
    x_axis, y_axis = (AXES[name](values) for name, values in zip(axes, zip(*points, strict=True), strict=True))

    def across(measure: float) -> float:
        return left + (measure - x_axis.low) / (x_axis.high - x_axis.low) * WIDTH

    def down(measure: float) -> float:
        return TOP + (y_axis.high - measure) / (y_axis.high - y_axis.low) * HEIGHT

    for tick, label in x_axis.ticks:
        yield f'<path class="grid" d="M{across(tick):.1f},{TOP}v{HEIGHT}"/>'
        yield f'<text x="{across(tick):.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{label}</text>'
    for tick, label in y_axis.ticks:
        yield f'<path class="grid" d="M{left},{down(tick):.1f}h{WIDTH}"/>'
        yield f'<text x="{left - 6}" y="{down(tick) + 4:.1f}" text-anchor="end">{label}</text>'
    for colour, line, expected in lines:
        for css_class, drawn in (("law", expected), ("line", line)):
            places = (f"{across(x_axis.measure(x)):.1f},{down(y_axis.measure(y)):.1f}" for x, y in drawn)
            if drawn:
                yield f'<path class="{css_class}" stroke="{colour}" d="M{"L".join(places)}"/>'
