"""The machine: what the last bits of a run depend on besides its model file, and how much memory there is."""

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from charrnn.core import ops
from charrnn.core.state import TrainState
from charrnn.parallel import cores
from charrnn.parallel.mpi import rank_count


def environment() -> dict[str, str]:
    """Return the versions of NumPy and its matrix library, the processor's features and the numbers of threads."""
    library, vectors = ops.numpy_build()
    forced = os.environ.get("OPENBLAS_CORETYPE")  # kernels for another processor than this one
    cut = "in row blocks" if ops.ROW_BLOCKS else None
    return {
        "numpy": np.__version__,
        "blas": " ".join(filter(None, (library["name"], library.get("version"), forced, cut))),
        "machine": " ".join([os.uname().machine, *vectors]),
        "threads": f"{rank_count()} ranks of {cores.core_count()}" if rank_count() > 1 else str(cores.core_count()),
        "product_threads": str(cores.product_threads or os.environ.get("OPENBLAS_NUM_THREADS", "all")),
    }


def changes(state: TrainState) -> dict[str, tuple[str | None, str]]:
    """Return how this environment differs from the one that a run began in: name -> (then, now)."""
    then, now = state.environment, environment()
    return {name: (then.get(name), value) for name, value in now.items() if then.get(name) != value}


def available_bytes() -> int | None:
    """Return how much memory this process can still get, as far as the system says; None if it does not say."""
    found = min(free_amounts(Path("/")), default=None)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return found
    used = sum(map(int, re.findall(r"^\d+", contents(Path("/proc/self/statm"))))) * resource.getpagesize()
    return max(0, min(soft - used, found if found is not None else soft))


def free_amounts(root: Path) -> Iterator[int]:
    """Yield the free memory of the system, swap included, and of the control group, under the root of the file system.

    Memory that holds files counts as free, since the system gives it up when a process needs it.
    """
    free = re.findall(r"^(?:MemAvailable|SwapFree): +(\d+) kB", contents(root / "proc/meminfo"), re.MULTILINE)
    if free:
        yield 1024 * sum(map(int, free))
    group = root / "sys/fs/cgroup"
    limit, used, parts = (contents(group / f"memory.{name}") for name in ("max", "current", "stat"))
    files = re.search(r"^file (\d+)", parts, re.MULTILINE)
    if limit.strip().isdigit() and used.strip().isdigit():
        yield max(0, int(limit) - int(used) + (int(files[1]) if files else 0))


def contents(path: Path) -> str:
    """Return the text of a file of the system, empty where there is none."""
    with suppress(OSError):
        return path.read_text()
    return ""
