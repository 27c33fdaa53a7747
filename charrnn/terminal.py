"""What a person sees: notes, errors, the progress of training, a model's card.

Notes and progress go to stderr, so that stdout is data alone. tqdm owns the one moving line, rich prints finished
things; both are imported when they are first used.
"""

import io
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Never, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

Color = Literal["auto", "always", "never"]
color: Color = "auto"  # the --color of this process
QUIET_SECONDS = 10  # between two progress lines where no bar can move
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
    return forced or (is_terminal(stream) and os.environ.get("TERM") != "dumb")


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


class Progress:
    """How training goes: a bar that moves on a terminal, elsewhere plain `key=value` lines."""

    def __init__(self, step: int, steps: int) -> None:
        self.steps, self.first, self.begun, self.told = steps, step, time.perf_counter(), time.perf_counter()
        self.chars, self.bits = 0, 0.0
        self.bar: tqdm[Never] | None = None
        if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
            self.bar = open_bar(step, steps)

    @property
    def chars_per_second(self) -> float:
        """The speed so far, validations and saves included."""
        return self.chars / max(1e-9, time.perf_counter() - self.begun)

    def step(self, step: int, steps: int, bits: float, chars: int) -> None:
        """Show that a step of so many is done."""
        self.steps = steps
        self.chars += chars
        self.bits = bits if not self.bits else 0.98 * self.bits + 0.02 * bits
        if self.bar is not None:
            self.bar.total = steps
            self.bar.set_postfix_str(self.speed(), refresh=False)
            self.bar.update()
        elif time.perf_counter() - self.told > QUIET_SECONDS:
            self.line(f"step={step} steps={self.steps} train_bits={self.bits:.4f}")

    def validating(self, chars: int) -> None:
        """Show how much of the held-out text is scored."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"validating, {chars:,} characters", refresh=False)
            self.bar.update(0)

    def validated(self, step: int, train_bits: float, bits: float, best: bool) -> None:
        """Show the losses of a validation, in bits a character."""
        if self.bar is not None:
            mark = "  best so far" if best else ""
            self.bar.set_postfix_str(self.speed(), refresh=False)
            losses = f"train {train_bits:.3f}  held out {bits:.3f} bits a character"
            self.bar.write(f"step {step:>7,}  {losses}{mark}", NOTES)
        else:
            losses = f"train_bits={train_bits:.4f} val_bits={bits:.4f}"
            self.line(f"step={step} steps={self.steps} {losses} best={str(best).lower()}")

    def line(self, text: str) -> None:
        """Write a progress line with the speed."""
        self.told = time.perf_counter()
        say(f"{text} chars_per_second={self.chars_per_second:.0f}")

    def speed(self) -> str:
        """Return what stands behind the bar."""
        return f"{self.bits:.2f} bits, {self.chars_per_second / 1000:.0f}k chars/s"

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self.bar is not None:
            self.bar.close()


def open_bar(step: int, steps: int) -> "tqdm[Never]":
    """Open the bar on stderr."""
    from tqdm import tqdm

    shape = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} steps, {remaining} left{postfix}"
    tint = "cyan" if has_color(sys.stderr) else None
    return tqdm(
        total=steps, initial=step, file=NOTES, bar_format=shape, colour=tint, dynamic_ncols=True, mininterval=0.2
    )


def card(title: str, rows: dict[str, str]) -> str:
    """Return a titled list of names and values, coloured if stdout is; nothing in it is markup."""
    from rich.console import Console
    from rich.text import Text

    colored = has_color(sys.stdout)
    console = Console(
        file=io.StringIO(), no_color=not colored, force_terminal=colored, color_system="standard" if colored else None
    )
    console.print(Text(visible(title), style="bold cyan"), soft_wrap=True)
    indent = max(map(len, rows)) + 2
    for name, value in rows.items():
        lines = visible(value).replace("\n", "\n" + " " * indent)
        console.print(Text.assemble((f"{name:<{indent}}", "bold"), lines), soft_wrap=True)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    return text
