"""The tables of options in docs/cli.md, generated from the help of the program: python -m tests.helpers.cli_page

A section with the title of a command has a table of the options of that command, and "Options on all commands" one of
the shared options. Everything between the tables is written by hand and kept.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from charrnn.cli import app
from charrnn.cli.commands import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAD = "| option | meaning | default |\n|---|---|---|\n"
SHARED = "Options on all commands"


class Option(NamedTuple):
    """An option in the help: its names and value, its meaning, and its default, empty if it has none."""

    head: str
    meaning: str
    default: str

    @property
    def row(self) -> str:
        """The option as a row of a table."""
        names = re.sub(r"(?<=\w), ", "`, `", self.head).replace("|", r"\|")
        meaning = re.sub(r"--[a-z][\w-]*", r"`\g<0>`", self.meaning).replace("|", r"\|")
        return f"| `{names}` | {meaning} | {f'`{self.default}`' if self.default else ''} |\n"


def options(name: str = "") -> list[Option]:
    """Return the options of a command, or of the program itself, in the order of the help."""
    command: Any = get_command(app)
    context = command.make_context("charrnn", [], resilient_parsing=True)
    if name:
        command = command.get_command(context, name)
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    parameters = command.get_params(context)
    if name:
        order = [each for names in command.groups.values() for each in names]
        parameters.sort(key=lambda parameter: order.index(parameter.name) if parameter.name in order else len(order))
    records = [parameter.get_help_record(context) for parameter in parameters]
    return [option(*record) for record in records if record[0].startswith("-")]


def option(head: str, text: str) -> Option:
    """Parse a record of the help."""
    meaning, default, limit = re.fullmatch(r"(.*?)(?: Default: (.+)\.)?(?:  (\[.*\]))?", text, re.S).groups()  # type: ignore[union-attr]
    return Option(re.sub("[<>]", "", head), f"{meaning} {limit}" if limit else meaning, default or "")


def tables() -> dict[str, str]:
    """Return the table of each section, by the start of its title."""
    options_of = {name: options(name) for name in COMMANDS}
    shared = [row for row in options_of["info"] if all(row in rows for rows in options_of.values())]
    own = {f"charrnn {name}": [row for row in rows if row not in shared] for name, rows in options_of.items()}
    return {title: HEAD + "".join(row.row for row in rows) for title, rows in ({SHARED: shared} | own).items() if rows}


def page(text: str) -> str:
    """Return the page with its tables generated again."""
    for title, table in tables().items():
        before = rf"(?m)^## {title}\b.*\n(?:(?!## ).*\n)*?(?={re.escape(HEAD)})"
        section = re.search(before, text)
        assert section, f"{PAGE}: no table of options below the title {title}"
        text = text[: section.end()] + table + re.sub(r"(?:\|.*\n)*", "", text[section.end() :], count=1)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
