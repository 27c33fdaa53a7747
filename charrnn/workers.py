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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charrnn.errors import CharRNNError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Task = Callable[..., Any]
STOPS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}  # for who asks
FORKS = sys.platform == "linux"  # elsewhere matrix libraries may not be used after a fork
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


class Worker(Protocol):
    """Somebody who does one task again and again."""

    def ask(self, *question: Any) -> None:
        """Let the worker call its task with these arguments, after what it was asked before."""

    def answer(self) -> Any:
        """Wait for what the task returns to the first question not answered yet, or raise what it raises."""

    def close(self) -> None:
        """Let the worker go; what it has not answered is no longer wanted."""


def shared(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate an array of zeros that processes forked from now on share with this one."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, max(1, size)), dtype, int(np.prod(shape))).reshape(shape)


def hire(task: Task) -> Worker:
    """Return a worker for a task: a process where it can be forked, or else a thread."""
    return Process(task) if FORKS else Thread(task)


class Thread:
    """A thread that does a task."""

    def __init__(self, task: Task) -> None:
        from concurrent.futures import Future, ThreadPoolExecutor  # late, as below: only training needs them

        self.task, self.pool, self.asked = task, ThreadPoolExecutor(1), deque[Future[Any]]()

    def ask(self, *question: Any) -> None:
        """Let the thread call its task with these arguments."""
        self.asked.append(self.pool.submit(self.task, *question))

    def answer(self) -> Any:
        """Wait for what the task returns, or raise what it raises."""
        return self.asked.popleft().result()

    def close(self) -> None:
        """Wait for the thread and end it."""
        self.pool.shutdown(cancel_futures=True)


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
                end_with_parent()
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
        """End the process."""
        self.pipe.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def end_with_parent() -> None:
    """Let the kernel kill this process when the one that it was copied from dies, whatever it is doing."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


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
