"""Stdin, stdout and stderr: complete reads and writes, whatever the process at the other end has set them to.

A shell, a terminal or another program that shares a stream can make it non-blocking, and Python's own streams then
lose data: a read returns nothing as if the end were reached, a write writes a part. With PYTHONUNBUFFERED a write to a
full disk writes a part as well. Here a read waits for input, and a write is complete or raises an OSError.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Any

STDOUT = "stdout"  # the file name of its errors


class StandardStream(io.RawIOBase):
    """File descriptor 0, 1 or 2. An error of it has its name, `stdin`, `stdout` or `stderr`, as its file name."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self.number

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self.number)

    def readable(self) -> bool:
        """Return whether it is stdin."""
        return self.number == 0

    def writable(self) -> bool:
        """Return whether it is not stdin."""
        return self.number != 0

    def readinto(self, buffer: Any) -> int:
        """Read some bytes, once there are any; return their number, 0 at the end."""
        while True:
            try:
                return os.readv(self.number, [buffer])
            except BlockingIOError:
                self.wait()
            except OSError as error:
                raise self.named(error) from None

    def write(self, data: Any) -> int:
        """Write some bytes, once there is space; return their number. A BufferedWriter then writes the rest."""
        while True:
            try:
                return os.write(self.number, data)
            except BlockingIOError:
                self.wait()
            except OSError as error:
                raise self.named(error) from None

    def wait(self) -> None:
        """Wait until a non-blocking descriptor has input, or space for output."""
        from select import select  # late: this is rare

        select([self.number] if self.readable() else [], [self.number] if self.writable() else [], [])

    def named(self, error: OSError) -> OSError:
        """Return an error with the stream as its file name."""
        return OSError(error.errno, error.strerror, self.name)


def open_streams() -> None:
    """Replace stdin, stdout and stderr, except those that are closed. In every locale stdout is UTF-8.

    File descriptors 0 to 2 are opened where they are closed, so that no file gets them.
    """
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is not None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(StandardStream(0, "stdin")), "utf-8", "surrogateescape")
    if sys.stdout is not None:
        buffer = io.BufferedWriter(StandardStream(1, STDOUT))
        sys.stdout = io.TextIOWrapper(buffer, "utf-8", "surrogateescape", "\n")
    if sys.stderr is not None:
        buffer, encoding = io.BufferedWriter(StandardStream(2, "stderr")), sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(buffer, encoding, "backslashreplace", "\n", line_buffering=True)
