"""What a person sees: notes, errors, cards, texts in colours, the progress of training; what a stream can show.

Notes and progress go to stderr, so that stdout is data alone. tqdm owns the one moving line, rich prints finished
things; both are imported when they are first used.
"""

import io
import math
import os
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any, Literal, Never, TextIO

from charrnn.curve import BLOCKS, Trace
from charrnn.glyphs import visible

if TYPE_CHECKING:
    from tqdm import tqdm

    from charrnn.chart import Points
    from charrnn.pictures.shades import Mark, Scale, Shading

Color = Literal["auto", "always", "never"]
color: Color = "auto"  # the --color of this process
COLUMNS = 80  # of what is no terminal


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
    room = columns(stream) - indent if is_terminal(stream) else sys.maxsize
    for name, value in rows.items():
        lines = [part for line in visible(value).split("\n") for part in folded(line, room)]
        text = ("\n" + " " * indent).join(lines)
        console.print(Text.assemble((f"{name:<{indent}}", "bold"), text), soft_wrap=True)
    done: str = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    return done


def folded(line: str, room: int) -> list[str]:
    """Cut a line at blanks where it is too long for a terminal; a word that is too long stays whole, to be copied."""
    if len(line) <= room:
        return [line]
    return textwrap.wrap(line, max(20, room), break_long_words=False, break_on_hyphens=False)


def indent_of(names: Iterable[str]) -> int:
    """Return the column at which the values of a card begin."""
    return max(map(len, names)) + 2


# ---- texts in colours ----


def shaded(shading: "Shading", stream: TextIO) -> Iterator[str]:
    """Yield a picture of a text line by line: title, key, text; without colours with a line of marks below each.

    On a terminal lines are folded at its width. What is yielded holds escapes for colours, and no others.
    """
    from charrnn.pictures.shades import rows

    lines = shading.lines()
    first = list(islice(lines, 1))  # a text that cannot be read is found before anything is drawn
    room = columns(stream) if is_terminal(stream) else sys.maxsize
    scale, in_color = shading.scale, has_color(stream)
    draw = partial(colored, looks=looks(scale)) if in_color else partial(marked, marks=scale.palette.marks)
    yield "\n".join(folded(visible(shading.title), room)) + "\n"
    if in_color:
        yield from map(draw, rows(scale.key(), room))
    else:
        yield "\n".join(folded(scale.note, room)) + "\n"
    yield "\n"
    for line in chain(first, lines):
        yield from map(draw, rows(line, room))


def colored(row: "Sequence[Mark]", looks: Sequence[str]) -> str:
    """Return a row of a text in colours; what has no level is underlined."""
    runs = groupby(row, lambda mark: mark.level)
    texts = ((level, "".join(mark.drawn for mark in run)) for level, run in runs)
    return "".join(f"\x1b[{'4' if level is None else looks[level]}m{text}\x1b[0m" for level, text in texts) + "\n"


def marked(row: "Sequence[Mark]", marks: str) -> str:
    """Return a row of a text without colours, and below it a mark for each of its levels."""
    signs = ("?" if mark.level is None else marks[mark.level] for mark in row)
    below = "".join(sign * mark.cells for sign, mark in zip(signs, row, strict=True))
    return "".join(mark.drawn for mark in row).rstrip() + "\n" + below.rstrip() + "\n"


def looks(scale: "Scale") -> list[str]:
    """Return what a terminal is told for each level: the numbers of two colours that every one of 256 has alike.

    Some terminals say in COLORFGBG (foreground;background) that they are light; those that do not are dark.
    """
    from charrnn.pictures.shades import ink

    light = os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    grounds = scale.palette.light if light else scale.palette.dark
    return [f"38;5;{number_of(ink(ground))};48;5;{number_of(ground)}" for ground in grounds]


def number_of(color: str) -> int:
    """Return the number that terminals give to a colour of the cube of 6 x 6 x 6."""
    red, green, blue = (("00", "5f", "87", "af", "d7", "ff").index(color[i : i + 2]) for i in (1, 3, 5))
    return 16 + 36 * red + 6 * green + blue


def line_chart(lines: "Mapping[str, Points]", across: str, stream: TextIO) -> str:
    """Return a chart as wide as a stream: in dots where these can be shown, and colours or a single line tell whose."""
    from charrnn.chart import BRAILLE, chart

    in_color, can_dot = has_color(stream), can_show(sys.stderr, chr(BRAILLE))  # stdout is UTF-8 whatever shows it
    dots = can_dot and os.environ.get("TERM") not in ("dumb", "linux") and (in_color or len(lines) == 1)
    return chart(lines, columns(stream), across, dots, in_color)


# ---- the progress of training ----

QUIET_SECONDS = 10  # between two progress lines where no bar can move
LAYOUTS = {  # of the bar, by the columns that each needs: time left, speed, loss, and how it has fallen
    120: "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} steps, {remaining} left, {postfix.speed}, "
    "loss {postfix.nats:.3f} nats, {postfix.bits:.3f} bits a character {postfix.spark}",
    76: "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt}, {remaining} left, {postfix.speed}, "
    "loss {postfix.nats:.2f} ({postfix.bits:.2f} bits) {postfix.spark}",
    40: "{percentage:3.0f}% {bar} {remaining} left, {postfix.bits:.2f} bits {postfix.spark}",
    0: "{percentage:3.0f}% {remaining} left, {postfix.bits:.2f} bits",
}
MARGIN = "  | "  # before each line of a preview


def layout(width: int) -> str:
    """Return the bar's format for a terminal so wide."""
    return next(text for least, text in LAYOUTS.items() if width >= least)


class Progress:
    """How training goes. Losses are in nats a character; what is shown of training is a moving average."""

    def __init__(self, step: int, steps: int) -> None:
        self.steps, self.begun, self.told = steps, time.perf_counter(), time.perf_counter()
        self.chars, self.bits, self.scored = 0, 0.0, 0
        self.losses = Trace()
        self.blocks = can_show(sys.stderr, BLOCKS)
        self.bar: tqdm[Never] | None = None
        if moves(sys.stderr):
            self.bar = open_bar(step, steps, self)

    @property
    def seconds(self) -> float:
        """How long it has gone on."""
        return time.perf_counter() - self.begun

    @property
    def chars_per_second(self) -> float:
        """The speed so far, validations and saves included."""
        return self.chars / max(1e-9, self.seconds)

    @property
    def nats(self) -> float:
        """The moving average in nats a character."""
        return self.bits * math.log(2)

    @property
    def speed(self) -> str:
        """The speed, or what keeps it from being one."""
        return f"validating {self.scored:,}" if self.scored else f"{thousands(self.chars_per_second)} chars/s"

    @property
    def spark(self) -> str:
        """The course of the loss since this process began, as far as there is room and the blocks can be shown."""
        return self.losses.sparkline(max(8, columns(sys.stderr) // 8)) if self.blocks else ""

    def step(self, step: int, steps: int, bits: float, chars: int) -> None:
        """Show that a step of so many is done."""
        self.steps, self.scored = steps, 0
        self.chars += chars
        self.bits = bits if not self.bits else 0.98 * self.bits + 0.02 * bits
        self.losses.add(bits)
        if self.bar is not None:
            self.bar.total = steps
            self.bar.ncols = columns(sys.stderr)
            self.bar.bar_format = layout(self.bar.ncols)
            self.bar.update()
        elif time.perf_counter() - self.told > QUIET_SECONDS:
            self.line(f"step={step} steps={self.steps} train_bits={self.bits:.4f}")

    def validating(self, chars: int) -> None:
        """Show how much of the held-out text is scored."""
        self.scored = chars
        if self.bar is not None:
            self.bar.update(0)

    def validated(self, step: int, train_bits: float, bits: float, best: bool) -> None:
        """Show the losses of a validation, in bits a character."""
        self.scored = 0
        if self.bar is not None:
            mark = "  best so far" if best else ""
            self.above(f"step {step:>7,}  train {train_bits:.3f}  held out {bits:.3f} bits a character{mark}")
        else:
            losses = f"train_bits={train_bits:.4f} val_bits={bits:.4f}"
            self.line(f"step={step} steps={self.steps} {losses} best={str(best).lower()}")

    def preview(self, step: int, text: str) -> None:
        """Show what the network writes by now."""
        if self.bar is not None:
            lines = [MARGIN + visible(line) for line in text.split("\n")]
            self.above("\n".join([f"step {step:>7,}  writes", *lines]))
        else:
            import json  # late: the help of the program needs none

            say(f"step={step} steps={self.steps} sample={json.dumps(text, ensure_ascii=False)}")

    def above(self, text: str) -> None:
        """Write text above the bar."""
        if self.bar is not None:
            self.bar.write(text, NOTES)

    def line(self, text: str) -> None:
        """Write a progress line with the speed."""
        self.told = time.perf_counter()
        say(f"{text} chars_per_second={self.chars_per_second:.0f}")

    def close(self, steps: int) -> None:
        """Leave the bar on the screen as it is after the last of so many steps: a budget of time may have cut them."""
        if self.bar is not None:
            self.bar.total = steps
            self.bar.close()


def thousands(number: float) -> str:
    """Return a number in thousands, or as it is where that would be nothing."""
    return f"{number / 1000:.0f}k" if number >= 1000 else f"{number:.0f}"


def open_bar(step: int, steps: int, progress: Progress) -> "tqdm[Never]":
    """Open the bar on stderr; what stands beside it is asked of `progress` whenever it is drawn."""
    from tqdm import tqdm

    bar: tqdm[Never] = tqdm(  # type: ignore[call-overload]  # the type of postfix is narrower than tqdm is
        total=steps,
        initial=step,
        file=NOTES,
        ncols=columns(sys.stderr),
        bar_format=layout(columns(sys.stderr)),
        colour="cyan" if has_color(sys.stderr) else None,
        mininterval=0.2,
        postfix=progress,
    )
    return bar
