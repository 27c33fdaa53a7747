"""What a stream can show, and the notes and errors on stderr, which leave stdout to the data."""

import os
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO

from charrnn.plots.display_width import one_line

Color = Literal["auto", "always", "never"]
color: Color = "auto"  # the --color of this process
DEFAULT_COLUMNS = 80  # where there is no terminal


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal."""
    return stream is not None and stream.isatty()


def can_overwrite(stream: TextIO | None) -> bool:
    """Return whether a stream can show a line that moves: a terminal, unless it is dumb."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO | None) -> bool:
    """Return whether to colour a stream: --color decides, then NO_COLOR, then FORCE_COLOR, then the terminal."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    return forced or can_overwrite(stream)


def columns(stream: TextIO | None) -> int:
    """Return the width of a stream's terminal, DEFAULT_COLUMNS where there is none or its width is unknown."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_COLUMNS if stream else DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def can_show(stream: TextIO | None, text: str) -> bool:
    """Return whether a stream's encoding has all characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Notes:
    """Stderr as a stream that never fails: where it is closed, full or gone, what is written to it is lost."""

    def write(self, text: str) -> None:
        """Write text; if that fails, replace stderr by the null device."""
        if sys.stderr is None:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


NOTES = Notes()


def say(text: str) -> None:
    """Write a line to stderr: one line, without control characters, whatever names it contains."""
    NOTES.write(f"{one_line(text)}\n")


def say_warning(text: str) -> None:
    """Write a warning to stderr, as `say` does."""
    say(f"warning: {text}")


def say_error(text: str) -> None:
    """Write an error to stderr as one line, red if stderr has colour."""
    line = one_line(" ".join(text.splitlines()))
    NOTES.write(f"\x1b[31m{line}\x1b[0m\n" if has_color(sys.stderr) else f"{line}\n")
