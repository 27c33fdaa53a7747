"""A plot of lines on logarithmic axes, as SVG: enough for what is shown here, and no library."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]  # both above 0

COLOURS = ("#3b82c4", "#d1495b", "#2e9e5b", "#b8860b", "#8e6bbf", "#0f8f8f")  # each seen on white and on black
STYLE = (
    ".plot text{font:12px sans-serif;fill:#57606a}.grid{stroke:#8b949e;stroke-opacity:.35}"
    ".line{fill:none;stroke-width:2}.law{fill:none;stroke-dasharray:2 4}"
    "@media(prefers-color-scheme:dark){.plot text{fill:#b1bac4}}"
)
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 260, 60, 30, 80  # of a panel's inside, and what is around it


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten between which all values lie, two different ones."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def path(points: Points, place: "Scale") -> str:
    """Return the points as a path through the panel."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))


class Scale:
    """Where a point of two logarithmic axes lies in a panel whose left edge is given."""

    def __init__(self, left: float, points: Points) -> None:
        self.left = left
        self.x, self.y = (decades(values) for values in zip(*points, strict=True))

    def __call__(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return the place of a point."""
        across, up = (
            (math.log10(value) - low) / (high - low) for value, (low, high) in zip(point, (self.x, self.y), strict=True)
        )
        return self.left + across * WIDTH, TOP + (1 - up) * HEIGHT

    def grid(self) -> Iterator[str]:
        """Yield a line and its number for every power of ten."""
        for n in range(self.x[0], self.x[1] + 1):
            x, _ = self((10.0**n, 10.0 ** self.y[0]))
            yield f'<path class="grid" d="M{x:.1f},{TOP}v{HEIGHT}"/>'
            yield f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{number(n)}</text>'
        for n in range(self.y[0], self.y[1] + 1):
            _, y = self((10.0 ** self.x[0], 10.0**n))
            yield f'<path class="grid" d="M{self.left},{y:.1f}h{WIDTH}"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{number(n)}</text>'


def number(n: int) -> str:
    """Return 10**n as people write it."""
    return f"{10.0**n:,.0f}" if n >= 0 else f"{10.0**n:.{-n}f}"


def plot(panels: Mapping[str, Mapping[str, tuple[Points, Points]]], across: str) -> str:
    """Return an SVG of panels side by side, by title; in each a line and its law, dashed, by name.

    All panels share the colours of the names, and the label of the axis across.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    width, height = LEFT + len(panels) * (WIDTH + GAP), TOP + HEIGHT + 64
    parts = [
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
    ]
    for i, (title, lines) in enumerate(panels.items()):
        place = Scale(LEFT + i * (WIDTH + GAP), [point for pair in lines.values() for part in pair for point in part])
        parts += [f'<text x="{place.left}" y="18">{escape(title)}</text>', *place.grid()]
        for name, (points, law) in lines.items():
            parts.append(f'<path class="law" stroke="{colour[name]}" d="{path(law, place)}"/>')
            parts.append(f'<path class="line" stroke="{colour[name]}" d="{path(points, place)}"/>')
        parts.append(
            f'<text x="{place.left + WIDTH / 2}" y="{height - 32}" text-anchor="middle">{escape(across)}</text>'
        )
    for i, name in enumerate(names):
        x = LEFT + i * (width - LEFT) / len(names)
        parts.append(f'<path class="line" stroke="{colour[name]}" d="M{x:.0f},{height - 12}h18"/>')
        parts.append(f'<text x="{x + 24:.0f}" y="{height - 8}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
