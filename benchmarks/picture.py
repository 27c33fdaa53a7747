"""Draw what a command writes to a terminal, as an SVG that plays it.

    python -m benchmarks.picture docs/training.svg charrnn train --time 15s --force

The command runs in a terminal of its own, 100 columns wide and in colour. A line appears when the command wrote it, and
a bar moves as it did; after the end the picture stands still for a while and starts again. A viewer that does not
animate shows the end. The drawing needs no font, script or network.
"""

import argparse
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

COLUMNS = 100
WIDTH, HEIGHT, MARGIN, TITLE = 12.0, 24.0, 20.0, 44.0  # pixels: of a character, around the screen, above it
PAUSE = 6.0  # seconds between the end and the next start
FEWEST = 0.25  # seconds between two states of a bar that are both drawn
FONT = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'

Chunk = tuple[float, str]  # seconds since the start of the command, and what it wrote then


class Line(NamedTuple):
    """A text in a row of the screen, and when it is there: to the end if `end` is None."""

    row: int
    text: str
    start: float
    end: float | None


def record(command: Sequence[str]) -> list[Chunk]:
    """Run a command in a terminal; return everything it wrote. Raises CalledProcessError if it fails."""
    screen, stream = pty.openpty()
    termios.tcsetwinsize(stream, (50, COLUMNS))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    began = time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**plain, "TERM": "xterm-256color"}
    ) as process:
        os.close(stream)
        chunks = list[Chunk]()
        data = b""
        with suppress(OSError):  # raised when the command has closed its side of the terminal
            while more := os.read(screen, 1 << 16):
                data += more
                whole = data.decode("utf-8", "ignore")  # without a character that is cut at the end
                chunks.append((time.monotonic() - began, whole))
                data = data[len(whole.encode()) :]
    os.close(screen)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return chunks


def lines(chunks: Iterable[Chunk]) -> Iterator[Line]:
    """Yield what the rows of the screen hold, one text after another; a carriage return starts the next text of a row.

    Of texts that follow each other within FEWEST seconds only the last is yielded, and blank ones are left out.
    """
    row, text, start, fresh = 0, "", 0.0, False
    held: Line | None = None  # the last text of the row that is not blank
    for seconds, chunk in chunks:
        for character in chunk:
            if character not in "\r\n":
                text, start = ("", seconds) if fresh else (text, start if text else seconds)
                text, fresh = text + character, False
                continue
            if text.strip() and not fresh:
                if held and start - held.start >= FEWEST:
                    yield held._replace(end=start)
                    held = None
                held = Line(row, text.rstrip(), held.start if held else start, None)
            fresh = True
            if character == "\n":
                if held:
                    yield held
                row, text, held, fresh = row + 1, "", None, False
    if held or text.strip():
        yield held if held and fresh else Line(row, text.rstrip(), start, None)


def drawn(line: Line, console: Console) -> str:
    """Return a line as elements of SVG, each with the time in which it is visible."""
    y, x = TITLE + MARGIN + HEIGHT * (line.row + 0.75), MARGIN
    parts = []
    for text, style, _ in Text.from_ansi(line.text).render(console):
        width = WIDTH * cell_len(text)
        if text.strip():
            attributes = f'x="{x:g}" y="{y:g}" textLength="{width:g}"{look(style or Style())}'
            parts.append(f"<text {attributes}>{escape(text).replace(' ', chr(0xA0))}</text>")
        x += width
    if not parts:
        return ""
    if line.end is None:
        times = f'<set attributeName="visibility" to="hidden" begin="play.begin" dur="{max(line.start, 0.01):.2f}s"/>'
        return f"<g>{times}{''.join(parts)}</g>"
    dur = line.end - line.start
    times = f'<set attributeName="visibility" to="visible" begin="play.begin+{line.start:.2f}s" dur="{dur:.2f}s"/>'
    return f'<g visibility="hidden">{times}{"".join(parts)}</g>'


def look(style: Style) -> str:
    """Return the colour and the weight of a text as attributes."""
    color = (style.color or Color.default()).get_truecolor(DIMMED_MONOKAI)
    return f' fill="{color.hex}"' + (' font-weight="bold"' if style.bold else "")


def terminal_svg(title: str, chunks: Sequence[Chunk]) -> str:
    """Return an SVG of a terminal with a title that plays what was written to it; escapes set colours."""
    found, console = list(lines(chunks)), Console(color_system="truecolor")
    rows, seconds = 1 + max(line.row for line in found), chunks[-1][0] + PAUSE
    width, height = 2 * MARGIN + WIDTH * COLUMNS, TITLE + 2 * MARGIN + HEIGHT * rows
    ground = DIMMED_MONOKAI.background_color.hex
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg" font-size="20"',
            f"  font-family='{FONT}'>",
            f'<rect width="100%" height="100%" rx="10" fill="{ground}">',
            f'<animate id="play" attributeName="rx" to="10" dur="{seconds:.2f}s" begin="0s;play.end"/></rect>',
            *(f'<circle cx="{26 + 24 * k}" cy="24" r="7" fill="#6b6b6b"/>' for k in range(3)),
            f'<text x="50%" y="31" text-anchor="middle" fill="#9a9a9a">{escape(title)}</text>',
            *filter(None, (drawn(line, console) for line in found)),
            "</svg>\n",
        ]
    )


def main() -> None:
    """Run the command, draw it, and write the drawing."""
    parser = argparse.ArgumentParser(description="Draw what a command writes to a terminal.")
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="charrnn and its options")
    asked = parser.parse_args()
    name, *options = asked.command
    written = record([sys.executable, "-m", name, *options])
    asked.file.write_text(terminal_svg(name, [(0.0, f"$ {' '.join(asked.command)}\n"), *written]), "utf-8")


if __name__ == "__main__":
    main()
