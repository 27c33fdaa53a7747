"""The manual pages in docs/man, generated from the help of the program: python -m tests.helpers.man_pages"""

import inspect
from pathlib import Path
from typing import Any

from typer.main import get_command

from charrnn import __version__
from charrnn.cli import app
from charrnn.cli.commands import COMMANDS
from tests.helpers.cli_page import options

FOLDER = Path(__file__).parents[2] / "docs" / "man"
EXIT = {"0": "Done.", "1": "Failed; one line on standard error says why.", "2": "Wrong usage."}
EXIT_OF_EVAL = {"3": "With \\-\\-exit\\-code: a line was passed on."}


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    names = ["", *COMMANDS]
    return {"-".join(filter(None, ["charrnn", name])) + ".1": page(name) for name in names}


def page(name: str) -> str:
    """Return the page of a command, or of the program itself for an empty name, in the man macros of roff."""
    command: Any = get_command(app)
    context = command.make_context("charrnn", [], resilient_parsing=True)
    if name:
        command = command.get_command(context, name)
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    title = f"charrnn {name}".strip()
    summary, *rest = inspect.cleandoc(command.help).split("\n\n")
    records = [
        (option.head, option.meaning + f" Default: {option.default}." * bool(option.default))
        for option in options(name)
    ]
    usage = " ".join(command.collect_usage_pieces(context))
    others = [f"charrnn{'-' * bool(other)}{other}(1)" for other in ["", *COMMANDS] if other != name]
    status = EXIT | (EXIT_OF_EVAL if name == "eval" else {})
    parts = [
        f'.TH "{title.replace(" ", "-").upper()}" 1 "" "charrnn {__version__}" "charrnn"\n',
        section("NAME", f"{plain(title.replace(' ', '-'))} \\- {plain(' '.join(summary.split()))}\n"),
        section("SYNOPSIS", f".B {plain(title)}\n{plain(usage)}\n"),
        section("DESCRIPTION", "\n.PP\n".join(paragraph(text) for text in rest) + "\n") if rest else "",
        section("OPTIONS", "".join(f".TP\n.B {plain(head)}\n{plain(text)}\n" for head, text in records)),
        section("EXIT STATUS", "".join(f".TP\n.B {code}\n{text}\n" for code, text in status.items())),
        section("SEE ALSO", plain(", ".join(others)) + "\n"),
    ]
    return "".join(parts)


def section(title: str, body: str) -> str:
    """Return a section of a page."""
    return f".SH {title}\n{body}"


def paragraph(text: str) -> str:
    """Return a paragraph; the help marks one whose lines are kept with a backspace."""
    if text.startswith("\b"):
        return ".nf\n" + "\n".join(map(plain, text.split("\n")[1:])) + "\n.fi"
    return plain(" ".join(text.split()))


def plain(text: str) -> str:
    """Return text in which nothing is a request or an escape of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
