"""Cards: a title above a list of names and values. Only this module imports rich, when the first card is drawn."""

import io
import sys
import textwrap
from typing import TextIO

from charrnn.plots.display_width import visible
from charrnn.terminal.streams import columns, has_color, is_terminal


def card(title: str, rows: dict[str, str], stream: TextIO) -> str:
    """Return a titled list of names and values, with colours if the stream has them; no text is read as markup."""
    from rich.console import Console
    from rich.text import Text

    colored, drawn = has_color(stream), io.StringIO()
    console = Console(file=drawn, no_color=not colored, color_system="standard" if colored else None)
    console.print(Text(visible(title), style="bold cyan"), soft_wrap=True)
    indent = max(map(len, rows)) + 2  # the column of the values
    room = columns(stream) - indent if is_terminal(stream) else sys.maxsize
    for name, value in rows.items():
        lines = [part for line in visible(value).split("\n") for part in wrapped(line, room)]
        text = ("\n" + " " * indent).join(lines)
        console.print(Text.assemble((f"{name:<{indent}}", "bold"), text), soft_wrap=True)
    return drawn.getvalue()


def wrapped(line: str, room: int) -> list[str]:
    """Return a line cut at blanks where it is too long; a word that is too long stays whole, so it can be copied."""
    if len(line) <= room:
        return [line]
    return textwrap.wrap(line, max(20, room), break_long_words=False, break_on_hyphens=False)
