"""Pipes, signals and exit codes: how every command starts, writes and ends."""

import atexit
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, Self

import typer
from typer.exceptions import TyperException

from charrnn.cli.standard_streams import STDOUT, open_streams
from charrnn.core.errors import CharRNNError, UsageError
from charrnn.parallel.launcher import has_launcher
from charrnn.plots.display_width import CONTROL_PICTURES, cells, padded, visible
from charrnn.terminal.streams import has_color, is_terminal, say, say_error

FLUSH_SECONDS = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
tracebacks = False  # set by --debug


class Killed(BaseException):
    """A signal that ends the program has arrived."""

    def __init__(self, number: int) -> None:
        self.number = number


def run(command: Callable[[], object]) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, or by the signal that arrived.

    An expected failure is one line on stderr. When the reader of stdout goes away, the program ends quietly with 0.
    Until an Output exists there is nothing to clean up, and a signal ends the program at once: an exception raised
    while numpy is imported would become an ImportError or be ignored.
    """
    sys.unraisablehook = die_if_killed
    atexit.register(gc.freeze)  # a last garbage collection would take a tenth of the time of a short command
    try:
        handle_signals(default_action())
        try:
            code = exit_code(command)
        finally:
            handle_signals(default_action())  # everything is cleaned up
    except Killed as killed:
        die_by_signal(killed.number)
    sys.exit(code)


def exit_code(command: Callable[[], object]) -> int:
    """Run the command line, print an expected failure, and return the exit code."""
    open_streams()
    code = 0
    try:
        try:
            result = command()
            code = result if isinstance(result, int) else 0
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        broken = error if isinstance(error, BrokenPipeError) else error.__context__
        if not (isinstance(broken, BrokenPipeError) and broken.filename == STDOUT):
            raise
        discard_stdout()  # typer turns most broken pipes into SystemExit(1)
    except (CharRNNError, TyperException, typer.Abort, OSError, MemoryError) as error:
        code = print_failure(error)
    return code


def print_failure(error: BaseException) -> int:
    """Print one line about a failure, after its traceback with --debug; return the exit code."""
    if tracebacks:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        if error.filename == STDOUT:
            discard_stdout()
        say_error(f"charrnn: {error.filename or place(error)}: {error.strerror or error}")
        return 1
    if isinstance(error, MemoryError):
        say_error("charrnn: not enough memory: use a smaller network, batch or window")
        return 1
    text = error.format_message() if isinstance(error, TyperException) else str(error)
    say_error(f"charrnn: {text}")
    return 2 if isinstance(error, UsageError) else getattr(error, "exit_code", 1)


def place(error: BaseException) -> str:
    """Return the function that an error without a name of its own comes from, for a report of it."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{frame.f_code.co_name} ({os.path.basename(frame.f_code.co_filename)}:{line})"


def discard_stdout() -> None:
    """Redirect stdout and what it still buffers to the null device, so that the interpreter can flush it on exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def handle_signals(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    """Set the handler of the signals that end the program, except those that the parent process has set to ignore."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def raise_killed(number: int, frame: FrameType | None) -> NoReturn:
    """Raise Killed, so that every `finally` runs; a second signal ends the program at once."""
    handle_signals(die_at_once)
    raise Killed(number)


def default_action() -> Callable[[int, FrameType | None], Any] | signal.Handlers:
    """Return the handler of a signal that ends the program at once.

    This is SIG_DFL, which does not wait for the end of a computation, except for the first process of a container:
    the system does not end that one by a signal.
    """
    return die_at_once if os.getpid() == 1 else signal.SIG_DFL


def die_at_once(number: int, frame: FrameType | None = None) -> NoReturn:
    """Die by a signal; the first process of a container exits with the code that a shell reports for it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def die_if_killed(lost: "sys.UnraisableHookArgs") -> None:
    """Die by a signal that arrived where Python ignores exceptions, such as in a destructor."""
    if isinstance(lost.exc_value, Killed):
        die_at_once(lost.exc_value.number)
    sys.__unraisablehook__(lost)


def die_by_signal(number: int) -> NoReturn:
    """Flush stdout and die by a signal, as a shell that runs a loop expects."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if has_launcher():
        sys.exit(128 + number)  # by a signal it would be a crash to the launcher, and other ranks would be killed
    die_at_once(number)


class Interrupt:
    """A context in which the first signal only sets `number`, to be checked between steps; the second one kills."""

    number: int | None = None

    def __enter__(self) -> Self:
        handle_signals(self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        handle_signals(raise_killed)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        handle_signals(die_at_once)  # not SIG_DFL: Python reports an error if the second signal has already arrived


class Output:
    """The output of a command: text or JSON objects on stdout, notes on stderr unless `quiet`.

    Text is flushed at a newline or after 50 ms, so that a reader sees it arrive. On a terminal, control characters are
    shown as symbols. Once an Output exists, a signal ends the program through every `finally`.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        if sys.stdout is None:
            raise CharRNNError("stdout is closed: there is nowhere to write to")
        handle_signals(raise_killed)
        self.json, self.quiet = json, quiet
        self.to_terminal = is_terminal(sys.stdout)
        self.names: Sequence[str] = ()  # of the columns of a table on a terminal, until they are written
        self.widths: Sequence[int] = ()  # of these columns
        self.flushed = time.monotonic()

    def note(self, *lines: str) -> None:
        """Write lines to stderr, unless the command is quiet."""
        for line in lines:
            if not self.quiet:
                say(line)

    def head(self, *names: str) -> None:
        """Give names to the columns of the next rows: a terminal shows them above the first, and aligns the rows."""
        if self.to_terminal and not self.json:
            self.names, self.widths = names, [cells(name) for name in names]

    def row(self, *columns: str) -> None:
        """Write columns, separated by tabs, or aligned below their names."""
        self.write_names()
        self.write(self.joined(columns) + "\n")

    def write_names(self) -> None:
        """Write the names of the columns, unless this is done."""
        if self.names:
            self.emphasized(self.joined(self.names))
            self.raw("\n")
            self.names = ()

    def joined(self, columns: Sequence[str]) -> str:
        """Return columns as a row."""
        if not self.widths:
            return "\t".join(columns)
        return "  ".join(map(padded, columns, [*self.widths[: len(columns) - 1], 0]))

    def emphasized(self, text: str) -> None:
        """Write text, bold if there are colours."""
        text = visible(text) if self.to_terminal else text
        self.raw(f"\x1b[1m{text}\x1b[0m" if has_color(sys.stdout) else text)

    def write(self, text: str) -> None:
        """Write text."""
        self.raw(visible(text) if self.to_terminal else text)
        if "\n" in text or time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def record(self, values: dict[str, Any]) -> None:
        """Write one JSON object on one line: UTF-8, with null instead of NaN."""
        import json

        line = json.dumps(values, ensure_ascii=False, allow_nan=False)
        escapes = {code: f"\\u{code:04x}" for code in [*CONTROL_PICTURES, *range(0xD800, 0xE000)]}
        self.raw(line.translate(escapes) + "\n")
        self.flush()

    def raw(self, text: str) -> None:
        """Write text without replacing its control characters."""
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        """Write what is buffered."""
        sys.stdout.buffer.flush()
        self.flushed = time.monotonic()
