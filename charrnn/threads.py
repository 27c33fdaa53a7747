"""The cores that the process uses: for the products of one network, or for several networks side by side."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
LIBRARIES = ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "BLIS_NUM")
limit: int | None = None  # of a user; else there are as many as the process may run on


def cores() -> int:
    """Return how many cores may be used."""
    if limit is not None:
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(networks: int) -> None:
    """Tell the matrix library how many cores a product may use, which counts only before numpy is imported.

    One network has them all. Several have theirs each, since whole networks side by side leave no core waiting for
    another at every product; what the user's environment says comes before that, but not before a limit.
    """
    if limit is None and networks == 1:
        return
    for library in LIBRARIES:
        each = str(max(1, cores() // networks))
        os.environ[f"{library}_THREADS"] = each if limit else os.environ.get(f"{library}_THREADS", each)


def jobs_at_once() -> int:
    """Return how many jobs of products keep all cores busy, where the matrix library has several for each product."""
    told = (os.environ.get(f"{library}_THREADS") for library in LIBRARIES)
    each = next((int(number) for number in told if number and number.isdecimal()), cores())
    return max(1, cores() // max(1, each))


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs that touch nothing of each other, as many at once as there are cores; return their results in order."""
    workers = min(len(jobs), cores())
    if workers == 1:
        return [job() for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: job(), jobs))
