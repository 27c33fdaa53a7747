"""Notes and errors, and what a stream can show: colours, so many columns, only harmless characters."""

import os
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO

Color = Literal["auto", "always", "never"]
color: Color = "auto"  # the --color of this process
COLUMNS = 80  # of what is no terminal
SYMBOLS = {
    **{code: 0x2400 + code for code in range(0x20) if code not in b"\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}  # control characters, C0, C1 and bidirectional, and what is shown for them


def visible(text: str) -> str:
    """Return text with control characters as symbols, so that none can command a terminal."""
    return text.translate(SYMBOLS)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person watches a stream."""
    return stream is not None and stream.isatty()


def moves(stream: TextIO | None) -> bool:
    """Tell whether a line of a stream can be written over."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def use_color(choice: Color) -> None:
    """Obey --color from now on."""
    global color
    color = choice


def has_color(stream: TextIO | None) -> bool:
    """Tell whether to colour a stream: --color decides, then NO_COLOR, then FORCE_COLOR, then the terminal."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    return forced or moves(stream)


def columns(stream: TextIO | None) -> int:
    """Return how wide the terminal of a stream is; what is no terminal, or does not tell, has COLUMNS."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS if stream is not None else COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def can_show(stream: TextIO | None, text: str) -> bool:
    """Tell whether a stream's encoding has the characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Notes:
    """Stderr, which stops nothing: where it is closed, full or gone, what would be written there is lost."""

    def write(self, text: str) -> None:
        """Write text, or forget stderr where that fails."""
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
    """Write a line to stderr."""
    NOTES.write((visible(text) if is_terminal(sys.stderr) else text) + "\n")


def say_error(text: str) -> None:
    """Write an error as one line, red where there is colour."""
    line = visible(" ".join(text.splitlines()))
    NOTES.write(f"\x1b[31m{line}\x1b[0m\n" if has_color(sys.stderr) else f"{line}\n")
