"""The file operations of Python code, which can be recorded, made to fail, or made the last one before a kill.

They are intercepted where Python calls the system: the writes of a file below its buffer, and functions of `os`.
"""

import errno
import fcntl
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

WATCHED = (  # of os
    *("open", "close", "fsync", "replace", "unlink", "stat", "fstat"),
    *("fchmod", "fchown", "ftruncate", "pwrite", "listdir"),
)
BUFFERS = {"r": io.BufferedReader, "x": io.BufferedWriter, "w": io.BufferedWriter, "a+": io.BufferedRandom}
Do = Callable[[], Any]


class Calls:
    """Records calls in `made`, each with its name and arguments; subclasses can change what a call does."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def intercept(self, do: Do, name: str, *args: Any) -> Any:
        """Make a call, or do something else instead."""
        self.made.append((name, *args))
        return do()


class Faulty(Calls):
    """Makes one call, given by its number, fail in one of the ways in FAULTS."""

    def __init__(self, number: int, fault: str) -> None:
        super().__init__()
        self.number, self.fault = number, fault

    def intercept(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, unless it is the one that fails."""
        if len(self.made) != self.number:
            return super().intercept(do, name, *args)
        self.made.append((name, *args))
        return FAULTS[self.fault](do, name, *args)


def killed(do: Do, name: str, *args: Any) -> None:
    """Kill the process before the call."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(code: int) -> Callable[..., None]:
    """Return a fault that raises the error with that number; half of a write is done before."""

    def fail(do: Do, name: str, *args: Any) -> None:
        if name == "write":
            io.FileIO.write(args[0], args[1][: len(args[1]) // 2])
        raise OSError(code, os.strerror(code), *[str(arg) for arg in args if isinstance(arg, Path)])

    return fail


def corrupted(do: Do, name: str, *args: Any) -> Any:
    """Write with one bit changed, and report success."""
    if name != "write":
        return do()
    data = bytearray(args[1])
    data[len(data) // 2] ^= 1
    return io.FileIO.write(args[0], data)


FAULTS: dict[str, Callable[..., Any]] = {
    "ENOSPC": failing(errno.ENOSPC),
    "EIO": failing(errno.EIO),
    "EACCES": failing(errno.EACCES),
    "SIGKILL": killed,
    "a flipped bit": corrupted,
}


@contextmanager
def interposed(calls: Calls) -> Iterator[None]:
    """Intercept the calls of the code within the context."""

    class File(io.FileIO):
        """A file with intercepted writes."""

        def write(self, data: Any) -> int:
            return int(calls.intercept(lambda: super(File, self).write(data), "write", self, bytes(data)))

    def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        return calls.intercept(lambda: wrapped(path, mode, *args, **options), "opened", path, mode)

    def wrapped(path: Path, mode: str, buffering: int = -1, *args: Any, **options: Any) -> Any:
        plain = mode.replace("b", "")
        file = BUFFERS[plain](File(path, plain))
        return file if "b" in mode else io.TextIOWrapper(file, *args, **options)

    def intercepted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: calls.intercept(lambda: real(*args, **options), name, *args)

    patches = [mock.patch.object(os, name, intercepted(name, getattr(os, name))) for name in WATCHED]
    patches += [
        mock.patch.object(fcntl, "flock", intercepted("flock", fcntl.flock)),
        mock.patch.object(io, "open", opened),
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
