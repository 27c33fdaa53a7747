"""Tables: aligned on a terminal, with tabs between the columns elsewhere, for programs that read them."""

from collections.abc import Sequence
from typing import TextIO

from charrnn.plots.display_width import cells, padded, visible
from charrnn.terminal.streams import has_color, is_terminal


def table(head: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> str:
    """Return a table as text: with its head and aligned columns on a terminal, otherwise the rows alone, with tabs."""
    if not is_terminal(stream):
        return "".join("\t".join(row) + "\n" for row in rows)
    shown = [[visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(cells, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(map(padded, row, widths)).rstrip() for row in shown]
    first = f"\x1b[1m{lines[0]}\x1b[0m" if has_color(stream) else lines[0]
    return "\n".join([first, *lines[1:]]) + "\n"
