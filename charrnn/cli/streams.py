"""Pipes, signals and exit codes: how every command begins, writes and ends."""

import atexit
import gc
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, Self

import typer
from typer.exceptions import TyperException

from charrnn.errors import CharRNNError, UsageError
from charrnn.glyphs import SYMBOLS, visible
from charrnn.terminal import is_terminal, say_error

FLUSH_SECONDS = 0.05
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
tracebacks = False  # set by --debug


class Killed(BaseException):
    """A signal came that ends the program."""

    def __init__(self, number: int) -> None:
        self.number = number


def run(command: Callable[[], object]) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, or by the signal that came.

    An expected failure is one line on stderr. A reader that went away ends the program quietly with 0. A signal ends it
    at once until there is something to clear away, which begins with an Output: numpy, being imported, would make
    an ImportError of a Killed, or pass it over.
    """
    sys.unraisablehook = heed_killed
    atexit.register(gc.freeze)  # Python would look through all that is left for cycles: a tenth of a short run's time
    try:
        handle_signals(signal.SIG_DFL)
        try:
            code = exit_code(command)
        finally:
            handle_signals(signal.SIG_DFL)  # there is nothing left to clear away
    except Killed as killed:
        die_by(killed.number)
    sys.exit(code)


def exit_code(command: Callable[[], object]) -> int:
    """Run the command line; return its exit code when what went wrong has been told."""
    prepare_streams()
    code = 0
    try:
        try:
            result = command()
            code = result if isinstance(result, int) else 0
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        forget_stdout()  # typer has made a SystemExit(1) of most broken pipes
    except (CharRNNError, TyperException, typer.Abort, OSError, MemoryError) as error:
        code = fail(error)
    return code


def prepare_streams() -> None:
    """Speak UTF-8 whatever the locale says, and keep the numbers 0 to 2 from any other file where they are closed."""
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def fail(error: BaseException) -> int:
    """Say what went wrong in one line, the traceback before it with --debug; return the exit code."""
    if tracebacks:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        forget_stdout()
        say_error(f"charrnn: {error.filename or 'stdout'}: {error.strerror or error}")
        return 1
    if isinstance(error, MemoryError):
        say_error("charrnn: not enough memory: use a smaller network, batch or window")
        return 1
    text = error.format_message() if isinstance(error, TyperException) else str(error)
    say_error(f"charrnn: {text}")
    return 2 if isinstance(error, UsageError) else getattr(error, "exit_code", 1)


def forget_stdout() -> None:
    """Send what is still buffered for stdout nowhere, so that the interpreter does not fail on it at the end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def handle_signals(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    """Set the handler of the signals that end the program, but for those that whoever started us has switched off."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def raise_killed(number: int, frame: FrameType | None) -> NoReturn:
    """End the program from wherever it is, through every `finally`; the next signal does so at once."""
    handle_signals(die_at_once)
    raise Killed(number)


def die_at_once(number: int, frame: FrameType | None = None) -> None:
    """Die by a signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def heed_killed(lost: "sys.UnraisableHookArgs") -> None:
    """Die by a signal that came where Python passes exceptions over, in the middle of clearing something away."""
    if isinstance(lost.exc_value, Killed):
        die_at_once(lost.exc_value.number)
    sys.__unraisablehook__(lost)


def die_by(number: int) -> NoReturn:
    """Die by a signal, as a shell that runs a loop expects; flush first what was written."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    die_at_once(number)
    raise SystemExit(128 + number)  # not reached but where signals are only imitated


class Interrupt:
    """While it lasts the first signal only leaves its number, to be asked for between steps; the second kills."""

    number: int | None = None

    def __enter__(self) -> Self:
        handle_signals(self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        handle_signals(raise_killed)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        handle_signals(die_at_once)  # and not SIG_DFL, which Python complains of if the second one is here already


class Output:
    """Stdout for text, flushed at a newline or after 50 ms, so that it is seen to come.

    On a terminal control characters are shown as symbols. From its making on a signal ends the program in order.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise CharRNNError("stdout is closed: there is nowhere to write to")
        handle_signals(raise_killed)
        self.watched = is_terminal(sys.stdout)
        self.flushed = time.monotonic()

    def write(self, text: str) -> None:
        """Write text as it is."""
        self.raw(visible(text) if self.watched else text)
        if "\n" in text or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def record(self, values: dict[str, Any]) -> None:
        """Write a JSON object on a line of its own: UTF-8, null and never NaN."""
        import json

        line = json.dumps(values, ensure_ascii=False, allow_nan=False)
        escapes = {code: f"\\u{code:04x}" for code in [*SYMBOLS, *range(0xD800, 0xE000)]}
        self.raw(line.translate(escapes) + "\n")
        self.flush()

    def raw(self, text: str) -> None:
        """Write text, escapes for the terminal and all."""
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        """Hand on what is buffered."""
        sys.stdout.buffer.flush()
        self.flushed = time.monotonic()
