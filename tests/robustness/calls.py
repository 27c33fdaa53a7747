"""The file operations of Python code, each of which may be watched, made to fail, or be the last one.

They are met where Python hands them to the system: a file's own writes below its buffer, and the functions of `os`.
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

WATCHED = ("open", "close", "fsync", "replace", "chmod", "unlink", "stat")  # of os
BUFFERS = {"r": io.BufferedReader, "x": io.BufferedWriter, "w": io.BufferedWriter, "a+": io.BufferedRandom}
Do = Callable[[], Any]


class Calls:
    """Watches calls: `made` has the name and the arguments of each; what to do about one, a subclass may say."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def meet(self, do: Do, name: str, *args: Any) -> Any:
        """Make a call, or do something else in its place."""
        self.made.append((name, *args))
        return do()


class Faulty(Calls):
    """Lets one call, by its number, go wrong in a way of FAULTS."""

    def __init__(self, number: int, fault: str) -> None:
        super().__init__()
        self.number, self.fault = number, fault

    def meet(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, unless it is the one."""
        if len(self.made) != self.number:
            return super().meet(do, name, *args)
        self.made.append((name, *args))
        return FAULTS[self.fault](do, name, *args)


def killed(do: Do, name: str, *args: Any) -> None:
    """Be killed before the call."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(code: int) -> Callable[..., None]:
    """Return a fault: the error with that number, where half of a write has been done already."""

    def fail(do: Do, name: str, *args: Any) -> None:
        if name == "write":
            io.FileIO.write(args[0], args[1][: len(args[1]) // 2])
        raise OSError(code, os.strerror(code), *[str(arg) for arg in args if isinstance(arg, Path)])

    return fail


def corrupted(do: Do, name: str, *args: Any) -> Any:
    """Write another byte than was given, and say nothing of it."""
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
    """Stand between the code that runs meanwhile and the system."""

    class File(io.FileIO):
        """A file whose writes are met."""

        def write(self, data: Any) -> int:
            return int(calls.meet(lambda: super(File, self).write(data), "write", self, bytes(data)))

    def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        return calls.meet(lambda: wrapped(path, mode, *args, **options), "opened", path, mode)

    def wrapped(path: Path, mode: str, buffering: int = -1, *args: Any, **options: Any) -> Any:
        plain = mode.replace("b", "")
        file = BUFFERS[plain](File(path, plain))
        return file if "b" in mode else io.TextIOWrapper(file, *args, **options)

    def met(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: calls.meet(lambda: real(*args, **options), name, *args)

    patches = [mock.patch.object(os, name, met(name, getattr(os, name))) for name in WATCHED]
    patches += [mock.patch.object(fcntl, "flock", met("flock", fcntl.flock)), mock.patch.object(io, "open", opened)]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
