"""The cores that the process uses: whole passes side by side, each with one core for its matrix products."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Result = TypeVar("Result")
LIBRARIES = ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "BLIS_NUM")
limit: int | None = None  # of a user; else there are as many as the process may run on


def cores() -> int:
    """Return how many cores may be used."""
    if limit is not None:
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_a_product(count: int) -> None:
    """Tell the matrix library how many cores a product may use, which counts only before numpy is imported.

    One is best where passes run side by side: these wait for each other once a step, but cores that share a product
    at each product, and for any other program that has one of them. What the user's environment says comes first.
    """
    for library in LIBRARIES:
        os.environ.setdefault(f"{library}_THREADS", str(count))


@cache
def helpers(count: int) -> "ThreadPoolExecutor":
    """Return threads that stay: to start one takes as long as a small pass."""
    from concurrent.futures import ThreadPoolExecutor  # late: it takes as long to import as the command line does

    return ThreadPoolExecutor(count, "charrnn")


def jobs_at_once() -> int:
    """Return how many jobs of products keep all cores busy, where the matrix library has several for each product."""
    told = (os.environ.get(f"{library}_THREADS") for library in LIBRARIES)
    each = next((int(number) for number in told if number and number.isdecimal()), cores())
    return max(1, cores() // max(1, each))


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs that touch nothing of each other, dealt out to the cores; return their results in order.

    All have ended when this returns or raises.
    """
    workers = min(len(jobs), cores())
    if workers == 1:
        return in_turn(jobs)
    from concurrent.futures import wait

    hands = [jobs[worker::workers] for worker in range(workers)]
    waiting = [helpers(workers - 1).submit(in_turn, hand) for hand in hands[1:]]
    try:
        done = [in_turn(hands[0]), *(hand.result() for hand in waiting)]
    finally:
        wait(waiting)
    return [done[i % workers][i // workers] for i in range(len(jobs))]


def in_turn(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs one after the other."""
    return [job() for job in jobs]
