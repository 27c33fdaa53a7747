"""A card: a title, and names with their values."""

import io
from collections.abc import Iterable
from typing import TextIO

from charrnn.terminal.notes import has_color, visible


def card(title: str, rows: dict[str, str], stream: TextIO) -> str:
    """Return a titled list of names and values, coloured if the stream is; nothing in it is markup."""
    from rich.console import Console
    from rich.text import Text

    colored = has_color(stream)
    console = Console(
        file=io.StringIO(), no_color=not colored, force_terminal=colored, color_system="standard" if colored else None
    )
    console.print(Text(visible(title), style="bold cyan"), soft_wrap=True)
    indent = indent_of(rows)
    for name, value in rows.items():
        lines = visible(value).replace("\n", "\n" + " " * indent)
        console.print(Text.assemble((f"{name:<{indent}}", "bold"), lines), soft_wrap=True)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    return text


def indent_of(names: Iterable[str]) -> int:
    """Return the column at which the values of a card begin."""
    return max(map(len, names)) + 2
