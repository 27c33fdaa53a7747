"""How training goes, while it goes: a bar that moves on a terminal, elsewhere plain `key=value` lines."""

import math
import sys
import time
from typing import TYPE_CHECKING, Never

from charrnn.terminal.curve import BLOCKS, Trace
from charrnn.terminal.notes import NOTES, can_show, columns, has_color, moves, say, visible

if TYPE_CHECKING:
    from tqdm import tqdm

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

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self.bar is not None:
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
