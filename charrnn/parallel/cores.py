"""How many cores this process and a matrix product may use, and threads that use them. Imports no numpy."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

LIBRARIES = ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "BLIS_NUM")
Result = TypeVar("Result")
limit: int | None = None  # set by --threads; None allows all cores that the process may run on
sharing = 1  # ranks of an MPI program that share these cores


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if limit is not None:
        return limit
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


@cache
def thread_pool(count: int) -> "ThreadPoolExecutor":
    """Return a pool of threads that is kept, since starting a thread takes as long as a small pass."""
    from concurrent.futures import ThreadPoolExecutor  # late: importing it would double the start-up time

    return ThreadPoolExecutor(count, "charrnn")


def jobs_at_once() -> int:
    """Return the number of jobs that keep all cores busy, given the cores per product that the environment sets."""
    values = (os.environ.get(f"{library}_THREADS") for library in LIBRARIES)
    per_product = next((int(value) for value in values if value and value.isdecimal()), core_count())
    return max(1, core_count() // max(1, per_product))


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run independent jobs, distributed over the cores; return their results in order.

    No job is still running when this returns or raises.
    """
    workers = min(len(jobs), core_count())
    if workers == 1:
        return in_turn(jobs)
    from concurrent.futures import wait

    pool = thread_pool(workers - 1)
    waiting = [pool.submit(in_turn, jobs[worker::workers]) for worker in range(1, workers)]
    try:
        done = [in_turn(jobs[::workers]), *(share.result() for share in waiting)]
    finally:
        wait(waiting)
    return [done[i % workers][i // workers] for i in range(len(jobs))]


def in_turn(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs one after the other; return their results."""
    return [job() for job in jobs]
