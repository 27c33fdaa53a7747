"""Workers that take a share of a computation: processes beside this one, or threads where a process cannot be copied.

Threads of one interpreter wait for each other at every operation of numpy, which for small arrays is most of the time
(docs/decisions.md has the figures). A process that is forked finds all that its task needs in place, and answers
into memory that it shares.
"""

import mmap
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charrnn.errors import CharRNNError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.connection import Connection

Task = Callable[..., Any]
STOPS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}  # for who asks


class Worker(Protocol):
    """Somebody who does one task again and again."""

    def ask(self, *question: Any) -> None:
        """Let the worker call its task with these arguments."""

    def answer(self) -> Any:
        """Wait for what the task returns, or raise what it raises."""

    def close(self) -> None:
        """Let the worker go, when it has done what it was asked."""


def shared(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate an array of zeros that processes forked from now on share with this one."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, max(1, size)), dtype, int(np.prod(shape))).reshape(shape)


def hire(task: Task) -> Worker:
    """Return a worker for a task: a process on Linux; elsewhere matrix libraries may not be used after a fork."""
    return Process(task) if sys.platform == "linux" else Thread(task)


class Thread:
    """A thread that does a task."""

    asked: "Future[Any]"

    def __init__(self, task: Task) -> None:
        from concurrent.futures import ThreadPoolExecutor  # late, as below: only training needs them

        self.task, self.pool = task, ThreadPoolExecutor(1)

    def ask(self, *question: Any) -> None:
        """Let the thread call its task with these arguments."""
        self.asked = self.pool.submit(self.task, *question)

    def answer(self) -> Any:
        """Wait for what the task returns, or raise what it raises."""
        return self.asked.result()

    def close(self) -> None:
        """Wait for the thread and end it."""
        self.pool.shutdown()


class Process:
    """A copy of this process that does a task, and ends when this one closes its pipe or dies."""

    def __init__(self, task: Task) -> None:
        from multiprocessing.connection import Pipe

        self.pipe, theirs = Pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # and so they stay in the copy
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of idle threads, whose locks the copy never takes
            self.pid = os.fork()
        if not self.pid:
            try:
                serve(task, theirs)
            finally:
                os._exit(0)  # nothing else of the copied program is run
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def ask(self, *question: Any) -> None:
        """Let the process call its task with these arguments."""
        with suppress(OSError):  # it has died, which its answer will tell
            self.pipe.send(question)

    def answer(self) -> Any:
        """Wait for what the task returns, or raise what it raises; CharRNNError if the process has died."""
        try:
            result = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise CharRNNError("a worker process has died: is there enough memory? --threads 1 needs none") from error
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Let the process end, and wait until it has."""
        self.pipe.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def serve(task: Task, pipe: "Connection") -> None:
    """Answer questions until nobody can ask any more.

    The files of the process that asks are closed here, so that nobody waits for them when it has died.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.closerange(3, pipe.fileno())
    os.closerange(pipe.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    with suppress(EOFError, OSError):
        while True:
            question = pipe.recv()
            try:
                answer = task(*question)
            except BaseException as error:
                answer = error
            pipe.send(answer)
