"""Texts in colours as SVG: every character in its cell, wide ones in two, in light and dark as the reader has it."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from charrnn.pictures.shades import Mark, Scale, Shading, drawable, grounds, ink, rows

CELL, ROW, MARGIN = 8.4, 20, 16  # width of a cell, height of a row, and what is around the text
HEAD, GAP = 3, 2  # rows above a text, of title and key, and between two texts
COLUMNS, LEAST = 100, 64  # of the text at most, and of the picture at least, for titles and keys
FONT = "ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace"
STYLE = (
    f"text{{font:14px {FONT};white-space:pre;unicode-bidi:bidi-override;direction:ltr;fill:#1f2328}}"
    ".page{fill:#fff}.title{font-weight:bold}rect.x{fill:none}"
)
DARK = "text{fill:#d1d7e0}.page{fill:#0d1117}"


def palettes(dark: bool) -> str:
    """Return the style of every level of every palette: of its ground, and of the text on it."""
    return "".join(f".{name}{{fill:{colour}}}text.{name}{{fill:{ink(colour)}}}" for name, colour in grounds(dark))


def text_svg(shadings: Sequence[Shading]) -> str:
    """Return texts in their colours, one below the other, as one SVG; long lines are folded."""
    parts, y, columns = list[str](), MARGIN, LEAST
    for shading in shadings:
        lines = [row for line in shading.lines() for row in rows(line, COLUMNS)]
        columns = max([columns, *(sum(mark.cells for mark in row) for row in lines)])
        parts += heading(shading, y)
        for n, row in enumerate(lines):
            parts += drawn(row, shading.scale, y + (n + HEAD) * ROW)
        y += (HEAD + len(lines) + GAP) * ROW
    style = f"{STYLE}{palettes(dark=False)}@media(prefers-color-scheme:dark){{{DARK}{palettes(dark=True)}}}"
    width, height = round(2 * MARGIN + columns * CELL), y - GAP * ROW + MARGIN
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} xml:space="preserve"><style>{style}</style>'
    return "\n".join([head, '<rect class="page" width="100%" height="100%"/>', *parts, "</svg>"]) + "\n"


def heading(shading: Shading, y: int) -> Iterator[str]:
    """Yield the title of a text, and below it the key of its colours."""
    yield f'<text class="title" x="{MARGIN}" y="{y + 15}">{escape(drawable(shading.title))}</text>'
    yield from drawn(shading.scale.key(), shading.scale, y + ROW)


def drawn(row: Sequence[Mark], scale: Scale, y: int) -> Iterator[str]:
    """Yield a row: the ground of each stretch of a level, and its text, which is as wide in every font."""
    column = 0
    for (level, _alone), group in groupby(row, lambda mark: (mark.level, mark.cells != len(mark.drawn) and mark)):
        text, cells = "", 0
        for mark in group:
            text, cells = text + mark.drawn, cells + mark.cells
        x, wide, style = MARGIN + column * CELL, cells * CELL, scale.style(level)
        yield f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{ROW}"/>'
        if not text.isspace():
            fitted = f' textLength="{wide:.1f}"' if cells > 1 else ""
            yield f'<text class="{style}" x="{x:.1f}" y="{y + 15}"{fitted}>{escape(text)}</text>'
        column += cells
