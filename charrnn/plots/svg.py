"""Coloured texts as SVG, one cell per character, two per wide one; and what all SVG files and HTML pages share."""

import html
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from charrnn.plots.display_width import drawable
from charrnn.plots.heatmap import (
    NO_LEVEL,
    PALETTES,
    SHARES,
    Cluster,
    Heatmap,
    Scale,
    described,
    fold,
    guess_rows,
    text_colour,
)

LIGHT_PAGE, DARK_PAGE = "#fff", "#0d1117"
LIGHT_TEXT, DARK_TEXT = "#1f2328", "#d1d7e0"
XMLNS = 'xmlns="http://www.w3.org/2000/svg"'
CELL_WIDTH, ROW_HEIGHT, MARGIN, BASELINE = 8.4, 20, 16, 15  # pixels; the baseline is measured from a row's top
GUESS_HEIGHT, GUESS_FONT, GUESS_GAP = 15, 11, 5  # pixels: rows of small characters below a text's, and a gap below them
HEAD_GAP_ROWS, GAP_ROWS = 2, 2  # from the last key to a text, and between two texts
MAX_COLUMNS, MIN_COLUMNS = 100, 64  # of a text at most, and of the picture at least, for titles and keys
LIGHT = (
    "text{font:14px ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace;"
    f"white-space:pre;unicode-bidi:bidi-override;direction:ltr;fill:{LIGHT_TEXT}}}"
    f".page{{fill:{LIGHT_PAGE}}}.title{{font-weight:bold}}rect.{NO_LEVEL}{{fill:none}}rect.h{{fill-opacity:0}}"
    f".small text{{font-size:{GUESS_FONT}px}}"
)
DARK = f"text{{fill:{DARK_TEXT}}}.page{{fill:{DARK_PAGE}}}"
LEVEL = ".{name}{{fill:{background}}}text.{name}{{fill:{text}}}"


def escape(text: str) -> str:
    """Return any text as markup that shows it."""
    return html.escape(drawable(text))


def style_sheet(light: str, dark: str, level_rule: str = "") -> str:
    """Return a style sheet of light rules and, in a media query for dark mode, the dark ones.

    Both get a copy of `level_rule` for each level of each palette, with {name}, {background} and {text} filled in.
    """
    for palette in PALETTES:
        for level, (day, night) in enumerate(zip(palette.light, palette.dark, strict=True)):
            name = f"{palette.prefix}{level}"
            light += level_rule.format(name=name, background=day, text=text_colour(day))
            dark += level_rule.format(name=name, background=night, text=text_colour(night))
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


def hover_text(cluster: Cluster, scale: Scale) -> str:
    """Return what is shown where a pointer rests on a character: its value, and what was the likeliest there."""
    return " | ".join(filter(None, [scale.describe(cluster.values), described(cluster.guesses)]))


def svg_document(attributes: str, style: str, parts: Iterable[str]) -> str:
    """Return an SVG file of the given attributes, which include XMLNS, with its parts drawn on the page."""
    page = f'<svg {attributes}><style>{style}</style>\n<rect class="page" width="100%" height="100%"/>'
    return "\n".join([page, *parts, "</svg>\n"])


def text_svg(heatmaps: Sequence[Heatmap]) -> str:
    """Return coloured texts, one below the other, as one SVG; long lines are folded."""
    parts, y, columns = list[str](), MARGIN, MIN_COLUMNS
    for heatmap in heatmaps:
        rows = [row for line in heatmap.lines() for row in fold(line, MAX_COLUMNS)]
        columns = max([columns, *(sum(cluster.cells for cluster in row) for row in rows)])
        parts.append(f'<text class="title" x="{MARGIN}" y="{y + BASELINE}">{escape(heatmap.title)}</text>')
        for scale in heatmap.scales():
            y += ROW_HEIGHT
            parts += row_svg(scale.key(), scale, y)
        y += HEAD_GAP_ROWS * ROW_HEIGHT
        for row in rows:
            parts += [*row_svg(row, heatmap.scale, y), *hover_svg(row, heatmap.scale, y)]
            y += ROW_HEIGHT
            below = guess_rows(row, heatmap.guess_rows)
            parts += guesses_svg(below, y)
            y += len(below) * GUESS_HEIGHT + GUESS_GAP * bool(below)
        y += GAP_ROWS * ROW_HEIGHT
    width, height = round(2 * MARGIN + columns * CELL_WIDTH), y - GAP_ROWS * ROW_HEIGHT + MARGIN
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return svg_document(f'{XMLNS} {size} xml:space="preserve"', style_sheet(LIGHT, DARK, LEVEL), parts)


def guesses_svg(rows: Sequence[Sequence[Cluster]], y: int) -> Iterator[str]:
    """Yield rows of guesses in small characters, in the colours of their probabilities."""
    for rank, row in enumerate(rows):
        yield "".join(['<g class="small">', *row_svg(row, SHARES, y + rank * GUESS_HEIGHT, GUESS_HEIGHT), "</g>"])


def row_svg(row: Sequence[Cluster], scale: Scale, y: int, height: int = ROW_HEIGHT) -> Iterator[str]:
    """Yield a row: for each run of one level its background and its text, fitted to its cells in every font."""
    column, baseline = 0, y + round(BASELINE / ROW_HEIGHT * height)
    for (level, _alone), group in groupby(row, lambda each: (each.level, each.cells != len(each.drawn) and each)):
        run = list(group)
        text, cells = "".join(cluster.drawn for cluster in run), sum(cluster.cells for cluster in run)
        x, width, css_class = MARGIN + column * CELL_WIDTH, cells * CELL_WIDTH, scale.css_class(level)
        yield f'<rect class="{css_class}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}"/>'
        if not text.isspace():
            fitted = f' textLength="{width:.1f}"' if cells > 1 else ""
            yield f'<text class="{css_class}" x="{x:.1f}" y="{baseline}"{fitted}>{escape(text)}</text>'
        column += cells


def hover_svg(row: Sequence[Cluster], scale: Scale, y: int) -> Iterator[str]:
    """Yield an invisible cell over each character of a row that has guesses, with its text for the pointer."""
    column = 0
    for cluster in row:
        if cluster.guesses:
            x, width, title = MARGIN + column * CELL_WIDTH, cluster.cells * CELL_WIDTH, hover_text(cluster, scale)
            cell = f'<rect class="h" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW_HEIGHT}">'
            yield f"{cell}<title>{escape(title)}</title></rect>"
        column += cluster.cells
