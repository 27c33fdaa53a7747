"""Progress on stderr: of training a bar that moves, or plain lines; of other long work a line on a terminal alone.

Only this module imports tqdm, when needed.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Never, Self

from charrnn.plots import display_width
from charrnn.plots.display_width import one_line, visible
from charrnn.plots.loss_curve import SPARKS, Trace
from charrnn.terminal.streams import NOTES, can_overwrite, can_show, columns, has_color, say

if TYPE_CHECKING:
    from tqdm import tqdm

QUIET_SECONDS = 10  # between two progress lines where no bar can move
LAYOUTS = {  # of the bar, by the least columns that each needs: time left, speed, loss, and its sparkline
    120: "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} steps, {remaining} left, {postfix.speed}, "
    "loss {postfix.nats:.3f} nats, {postfix.bits:.3f} bits per character {postfix.sparkline}",
    76: "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt}, {remaining} left, {postfix.speed}, "
    "loss {postfix.nats:.2f} ({postfix.bits:.2f} bits) {postfix.sparkline}",
    40: "{percentage:3.0f}% {bar} {remaining} left, {postfix.bits:.2f} bits {postfix.sparkline}",
    0: "{percentage:3.0f}% {remaining} left, {postfix.bits:.2f} bits",
}
PATIENCE_SECONDS = 2.0  # of work without progress
REDRAW_SECONDS = 0.2
KNOWN_END = "{desc}: {percentage:3.0f}% {bar} {remaining} left"
NO_END = "{desc}: {n:,} characters, {elapsed}"
SAMPLE_MARGIN = "  | "  # before each line of a preview


def two_lines(text: str, room: int) -> list[str]:
    """Return the first two lines of a text that are not empty, folded and cut at `room` terminal cells."""
    folded = [line for part in text.split("\n") if part.strip() for line in display_width.folded(part, room)]
    return folded[:2]


def layout(width: int) -> str:
    """Return the bar's format for a terminal of `width` columns."""
    return next(text for least, text in LAYOUTS.items() if width >= least)


class Progress:
    """The progress of training. The training loss shown is a moving average, in bits and nats per character."""

    def __init__(self, step: int, steps: int) -> None:
        self.steps, self.start_time = steps, time.perf_counter()
        self.line_time = self.start_time  # of the last progress line
        self.chars, self.bits, self.nats, self.scored = 0, 0.0, 0.0, 0
        self.losses = Trace()
        self.has_sparks = can_show(sys.stderr, SPARKS)
        self.bar: tqdm[Never] | None = None
        if can_overwrite(sys.stderr):
            from tqdm import tqdm as new_bar

            self.bar = new_bar(  # type: ignore[call-overload]  # the type of postfix is narrower than tqdm is
                total=steps,
                initial=step,
                file=NOTES,
                ncols=columns(sys.stderr),
                bar_format=layout(columns(sys.stderr)),
                colour="cyan" if has_color(sys.stderr) else None,
                mininterval=0.2,
                postfix=self,  # read for the values beside the bar whenever it is drawn
            )

    @property
    def chars_per_second(self) -> float:
        """The speed so far, validations and saves included."""
        return self.chars / max(1e-9, time.perf_counter() - self.start_time)

    @property
    def speed(self) -> str:
        """The speed, or during a validation how many characters are scored."""
        if self.scored:
            return f"validating {self.scored:,}"
        speed = self.chars_per_second
        return f"{speed / 1000:.0f}k chars/s" if speed >= 1000 else f"{speed:.0f} chars/s"

    @property
    def sparkline(self) -> str:
        """The loss since this process began, as wide as there is room; empty if stderr cannot show it."""
        return self.losses.sparkline(max(8, columns(sys.stderr) // 8)) if self.has_sparks else ""

    def step(self, step: int, steps: int, bits: float, chars: int) -> None:
        """Show a finished training step, its loss and how many characters it read."""
        self.steps, self.scored = steps, 0
        self.chars += chars
        self.bits = bits if not self.bits else 0.98 * self.bits + 0.02 * bits
        self.nats = self.bits * math.log(2)
        self.losses.add(bits)
        if self.bar is not None:
            self.bar.total = steps
            self.bar.ncols = columns(sys.stderr)
            self.bar.bar_format = layout(self.bar.ncols)
            self.bar.update()
        elif time.perf_counter() - self.line_time > QUIET_SECONDS:
            self.line(f"step={step} steps={self.steps} train_bits={self.bits:.4f}")

    def validating(self, chars: int) -> None:
        """Show how many characters of the held-out text are scored."""
        self.scored = chars
        if self.bar is not None:
            self.bar.update(0)

    def validated(self, step: int, train_bits: float, bits: float, best: bool) -> None:
        """Show the losses of a validation, in bits per character."""
        self.scored = 0
        if self.bar is not None:
            mark = "  best so far" if best else ""
            losses = f"train {train_bits:.3f}  held out {bits:.3f} bits per character"
            self.bar.write(f"step {step:>7,}  {losses}{mark}", NOTES)
        else:
            losses = f"train_bits={train_bits:.4f} val_bits={bits:.4f}"
            self.line(f"step={step} steps={self.steps} {losses} best={str(best).lower()}")

    def preview(self, step: int, text: str, brief: bool = False) -> None:
        """Show a sample of what the network writes at a step; `brief`, as two lines of the terminal."""
        if self.bar is not None:
            lines = two_lines(text, columns(sys.stderr) - len(SAMPLE_MARGIN)) if brief else text.split("\n")
            lines = [SAMPLE_MARGIN + visible(line) for line in lines]
            self.bar.write("\n".join([f"step {step:>7,}  writes", *lines]), NOTES)
        else:
            say(f"step={step} steps={self.steps} sample={json.dumps(text, ensure_ascii=False)}")

    def line(self, text: str) -> None:
        """Write a progress line with the speed."""
        self.line_time = time.perf_counter()
        say(f"{text} chars_per_second={self.chars_per_second:.0f}")

    def close(self, steps: int) -> None:
        """Leave the bar on the screen, complete at `steps`, which a time budget may have reduced."""
        if self.bar is not None:
            self.bar.total = steps
            self.bar.close()


class Wait:
    """A line on a terminal about work that takes more than PATIENCE_SECONDS, erased at its end.

    It is a context, and called with each number of characters that are done, of `total` if that is known. What a
    file has is known only while it is read: then `total` is a function.
    """

    def __init__(self, what: str, total: int | Callable[[], int | None] | None = None, quiet: bool = False) -> None:
        self.what, self.total, self.done = what, total, 0
        self.is_shown = not quiet and can_overwrite(sys.stderr)
        self.started = time.monotonic()
        self.next_line = self.started + PATIENCE_SECONDS  # the time of it
        self.has_line = False

    def __enter__(self) -> Self:
        return self

    def __call__(self, chars: int) -> None:
        """Count characters that are done; show all of them from time to time."""
        self.done += chars
        now = time.monotonic()
        if self.is_shown and now >= self.next_line:
            NOTES.write(f"\r{self.line(now - self.started)}\x1b[K")
            self.next_line, self.has_line = now + REDRAW_SECONDS, True

    def line(self, seconds: float) -> str:
        """Return the line after a number of seconds, one column narrower than the terminal."""
        from tqdm import tqdm

        total = self.total() if callable(self.total) else self.total
        is_known = total is not None and self.done <= total
        return tqdm.format_meter(
            self.done,
            total if is_known else None,  # type: ignore[arg-type]  # tqdm's own default
            seconds,
            ncols=columns(sys.stderr) - 1,
            prefix=one_line(self.what),
            bar_format=KNOWN_END if is_known else NO_END,
        )

    def __exit__(self, *exception: object) -> None:
        if self.has_line:
            NOTES.write("\r\x1b[K")
