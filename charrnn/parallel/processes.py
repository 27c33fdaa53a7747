"""Workers that compute a share of a task: forked processes on Linux, threads on macOS, or this process itself.

Threads of one interpreter wait for each other at every NumPy operation, which for small arrays is most of the time
(docs/decisions.md has the figures). A forked process has a copy of everything that its task needs, and can write its
results to shared memory.
"""

import mmap
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charrnn.core.errors import CharRNNError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Task = Callable[..., Any]
STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}  # handled by the parent only
FORKS = sys.platform == "linux"  # on macOS matrix libraries must not be used after a fork
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def shared_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros that this process shares with the processes it forks later."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, max(1, size)), dtype, int(np.prod(shape))).reshape(shape)


class Alone:
    """This process itself, which runs a call when its answer is asked for, where no worker can be started."""

    def __init__(self, task: Task) -> None:
        self.task, self.asked = task, deque[tuple[Any, ...]]()

    def ask(self, *arguments: Any) -> None:
        """Queue a call of the task with these arguments."""
        self.asked.append(arguments)

    def answer(self) -> Any:
        """Run the oldest call that is not answered yet; return its result or raise its exception."""
        return self.task(*self.asked.popleft())

    def close(self) -> None:
        """Drop the calls that are not answered yet."""
        self.asked.clear()


class Thread:
    """A thread that runs a task repeatedly."""

    def __init__(self, task: Task) -> None:
        from concurrent.futures import Future, ThreadPoolExecutor  # late: only training needs them

        self.task, self.pool, self.asked = task, ThreadPoolExecutor(1), deque[Future[Any]]()
        self.pool.submit(int)  # starts the thread: raises RuntimeError here if it cannot

    def ask(self, *arguments: Any) -> None:
        """Queue a call of the task with these arguments."""
        self.asked.append(self.pool.submit(self.task, *arguments))

    def answer(self) -> Any:
        """Wait for the oldest call that is not answered yet; return its result or raise its exception."""
        return self.asked.popleft().result()

    def close(self) -> None:
        """Wait for the current call and end the thread; calls that have not begun are dropped."""
        self.pool.shutdown(cancel_futures=True)


class Process:
    """A fork of this process that runs a task repeatedly; it ends when the parent closes its pipe or dies.

    Raises OSError if the system does not allow another process or another pipe.
    """

    def __init__(self, task: Task) -> None:
        from multiprocessing.connection import Pipe

        self.pipe, theirs = Pipe()
        in_main = threading.current_thread() is threading.main_thread()  # in the child it always is
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # they stay blocked in the child
        try:
            self.pid = fork()
            if not self.pid:
                serve_and_exit(task, theirs, in_main)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def ask(self, *arguments: Any) -> None:
        """Queue a call of the task with these arguments."""
        with suppress(OSError):  # the process has died, which `answer` reports
            self.pipe.send(arguments)

    def answer(self) -> Any:
        """Wait for the oldest call, as a Thread does; raises CharRNNError if the process has died."""
        try:
            result = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise CharRNNError("a worker process died: is there enough memory? --threads 1 uses no workers") from error
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Kill the process; calls that are not answered yet are dropped."""
        self.pipe.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def start_worker(task: Task) -> Process | Thread | Alone:
    """Return a worker for a task: a forked process on Linux, else a thread, or this process if neither can start."""
    with suppress(OSError, RuntimeError):
        return Process(task) if FORKS else Thread(task)
    return Alone(task)


def fork() -> int:
    """Fork this process, which may have threads: the child never takes their locks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def serve_and_exit(task: Task, pipe: "Connection", in_main: bool) -> NoReturn:
    """Serve a task in a forked process, which must not return into the rest of the program."""
    try:
        serve(task, pipe, in_main)
    finally:
        os._exit(0)


def open_files() -> list[int]:
    """Return the numbers of this process's open files; the limit may be 2^30, too many to try each."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return list(range(min(os.sysconf("SC_OPEN_MAX"), 1 << 16)))


def serve(task: Task, pipe: "Connection", in_main: bool) -> None:
    """Run the task for each set of arguments from a pipe and send back the result, until the pipe is closed.

    The kernel kills this process when its parent dies, if the parent's main thread has forked it: the death of another
    thread, which the kernel would take for that of the parent, means nothing. The files inherited from the parent are
    closed, so that their readers see the end of file then.
    """
    import ctypes

    if in_main:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in {0, 1, 2} - {pipe.fileno()}:  # the parent may have closed one of them, whose number the pipe then has
        os.dup2(null, stream)
    for number in open_files():
        if number > 2 and number != pipe.fileno():
            with suppress(OSError):
                os.close(number)
    with suppress(EOFError, OSError):
        while True:
            arguments = pipe.recv()
            try:
                result = task(*arguments)
            except BaseException as error:
                result = error
            pipe.send(result)
