"""Draw what a command writes to a terminal, as SVG.

    python -m benchmarks.picture docs/training.svg charrnn train --steps 300 --sample-every 150 --force

The command runs in a terminal of its own, 100 columns wide and in colour. The drawing needs no font, script or network.
"""

import argparse
import io
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"><style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}</style><defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def record(command: Sequence[str]) -> str:
    """Run a command in a terminal; return everything it wrote. Raises CalledProcessError if it fails."""
    screen, stream = pty.openpty()
    termios.tcsetwinsize(stream, (50, COLUMNS))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**plain, "TERM": "xterm-256color"}
    ) as process:
        os.close(stream)
        chunks = []
        with suppress(OSError):  # raised when the command has closed its side of the terminal
            while chunk := os.read(screen, 1 << 16):
                chunks.append(chunk)
    os.close(screen)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return b"".join(chunks).decode()


def final_text(written: str) -> str:
    """Return the text that remains on the screen: the last version of each line that was overwritten, like a bar."""
    lines = [line.rstrip("\r").split("\r") for line in written.rstrip("\r\n").split("\n")]
    return "\n".join(next((part for part in reversed(parts) if part.strip()), "") for parts in lines)


def terminal_svg(title: str, text: str) -> str:
    """Return an SVG of a terminal with a title and a text, in which escapes set colours."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title, code_format=FORMAT, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", svg, flags=re.M)


def main() -> None:
    """Run the command, draw it, and write the drawing."""
    parser = argparse.ArgumentParser(description="Draw what a command writes to a terminal.")
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="charrnn and its options")
    asked = parser.parse_args()
    name, *options = asked.command
    text = final_text(record([sys.executable, "-m", name, *options]))
    line = " ".join(asked.command)
    asked.file.write_text(terminal_svg("charrnn", f"$ {line}\n{text}"), "utf-8")


if __name__ == "__main__":
    main()
