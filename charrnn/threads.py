"""The cores that the process uses: whole passes side by side, each with one core for its matrix products."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # what the kernels for SkylakeX use
limit: int | None = None  # of a user; else there are as many as the process may run on


def cores() -> int:
    """Return how many cores may be used."""
    if limit is not None:
        return limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare() -> None:
    """Prepare the matrix library, before numpy is imported."""
    one_core_a_product()
    name_the_core()


def one_core_a_product() -> None:
    """Tell the matrix library to use one core a product, which counts only before numpy is imported.

    Passes side by side wait for each other once a step; cores that share a product wait for each other at each
    product, and when another program has one of them, all wait for that. What the user's environment says comes first.
    """
    for library in ("OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "BLIS_NUM"):
        os.environ.setdefault(f"{library}_THREADS", "1")


def name_the_core(processor: Path = Path("/proc/cpuinfo")) -> None:
    """Tell OpenBLAS what an AMD processor of family 26 (Zen 5) or later is, which counts only before numpy is imported.

    Up to 0.3.31 it does not know them and takes kernels for older ones, of half the speed (OpenMathLib/OpenBLAS#6029);
    those for AVX-512 are found under the name SkylakeX. What the user's environment says comes first.
    """
    with suppress(OSError), processor.open(encoding="ascii", errors="replace") as file:
        first = file.read(4096).split("\n\n")[0]  # of as many as there are cores
        facts = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in first.split("\n"))}
        amd, family = facts.get("vendor_id") == ["AuthenticAMD"], int("".join(facts.get("cpu family", ["0"])))
        if amd and family >= 26 and {*facts.get("flags", ())} >= AVX512:
            os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


@cache
def helpers(count: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start one takes as long as a small pass."""
    return ThreadPoolExecutor(count, "charrnn")


def side_by_side(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs that touch nothing of each other, dealt out to the cores; return their results in order.

    All have ended when this returns or raises.
    """
    workers = min(len(jobs), cores())
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
