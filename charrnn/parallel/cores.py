"""How many cores this process and a matrix product may use, and threads that use them. Imports no numpy."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

LIBRARIES = ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "BLIS_NUM")
Result = TypeVar("Result")
limit: int | None = None  # set by --threads; None allows all cores that the process may run on
limit_of_call: ContextVar[int | None] = ContextVar("limit_of_call", default=None)  # the same, of a call of the library
sharing = 1  # ranks of an MPI program that share these cores
product_threads: int | None = None  # of a matrix product, where they are not those that the environment sets


def core_count() -> int:
    """Return the number of cores that this process may use."""
    chosen = limit_of_call.get() or limit
    if chosen is not None:
        return chosen
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS lacks it
    return max(1, cores // sharing)


def limit_product_threads(count: int) -> None:
    """Let the matrix library use `count` cores per product; this only has an effect before numpy is imported.

    One core is best where passes run side by side: passes wait for each other once per step, whereas cores that share a
    product wait at every product, also when another program occupies one of them. Environment variables that are
    already set take precedence.
    """
    for library in LIBRARIES:
        os.environ.setdefault(f"{library}_THREADS", str(count))


def startable_threads(count: int) -> int:
    """Return how many threads the system lets this process start, `count` at most.

    A matrix library that may not start its threads ends the process, so this is found out before numpy is imported.
    """
    gate, started = threading.Event(), list[threading.Thread]()
    with suppress(RuntimeError):
        for _ in range(count):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    gate.set()
    for thread in started:
        thread.join()
    return len(started)


class Call(Generic[Result]):
    """A call of a function by a helper: its result or, if it raised one, its error, once `ended` can be acquired."""

    result: Result
    error: BaseException | None = None

    def __init__(self, function: Callable[[], Result]) -> None:
        self.function, self.ended = function, threading.Lock()
        self.ended.acquire()

    def run(self) -> None:
        """Call the function."""
        try:
            self.result = self.function()
        except BaseException as error:
            self.error = error
        self.ended.release()


class Helper:
    """A daemon thread that runs calls one after the other. Raises RuntimeError if no thread can be started.

    The threads of concurrent.futures cannot be started once the main thread has ended.
    """

    def __init__(self) -> None:
        self.calls: SimpleQueue[Call[Any]] = SimpleQueue()
        threading.Thread(target=self.serve, name="charrnn", daemon=True).start()

    def serve(self) -> None:
        """Run calls as they come."""
        while True:
            self.calls.get().run()


@cache
def helpers(count: int) -> list[Helper]:
    """Return `count` helpers, which are kept, since starting a thread takes as long as a small pass.

    There are fewer, perhaps none, where the system does not let this process start that number of threads.
    """
    started = list[Helper]()
    with suppress(RuntimeError):
        for _ in range(count):
            started.append(Helper())
    return started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=helpers.cache_clear)  # the threads of a process do not survive its fork


def jobs_at_once() -> int:
    """Return the number of jobs that keep all cores busy, given the cores per product that are set."""
    if product_threads is not None:
        return max(1, core_count() // product_threads)
    values = (os.environ.get(f"{library}_THREADS") for library in LIBRARIES)
    per_product = next((int(value) for value in values if value and value.isdecimal()), core_count())
    return max(1, core_count() // max(1, per_product))


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run independent jobs, distributed over the cores; return their results in order.

    No job is still running when this returns or raises.
    """
    others = helpers(max(0, min(len(jobs), core_count()) - 1))
    workers = 1 + len(others)
    calls = [Call(partial(in_turn, jobs[worker::workers])) for worker in range(1, workers)]
    for helper, call in zip(others, calls, strict=True):
        helper.calls.put(call)
    try:
        own = in_turn(jobs[::workers])
    finally:
        for call in calls:
            call.ended.acquire()
    for call in calls:
        if call.error is not None:
            raise call.error
    done = [own, *(call.result for call in calls)]
    return [done[i % workers][i // workers] for i in range(len(jobs))]


def in_turn(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs one after the other; return their results."""
    return [job() for job in jobs]
