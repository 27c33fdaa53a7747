"""What the last bits of a run's results depend on besides its model file, and how that has changed since its start."""

import os
from typing import Any

import numpy as np

from charrnn.core.state import TrainState
from charrnn.parallel.cores import core_count
from charrnn.parallel.mpi import rank_count


def environment() -> dict[str, str]:
    """Return the versions of NumPy and its matrix library, the processor's features and the numbers of threads."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    library, vectors = built["Build Dependencies"]["blas"], built["SIMD Extensions"]["found"]
    forced = os.environ.get("OPENBLAS_CORETYPE")  # kernels for another processor than this one
    return {
        "numpy": np.__version__,
        "blas": " ".join(filter(None, (library["name"], library.get("version"), forced))),
        "machine": " ".join([os.uname().machine, *vectors]),
        "threads": f"{rank_count()} ranks of {core_count()}" if rank_count() > 1 else str(core_count()),
        "product_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
    }


def changes(state: TrainState) -> dict[str, tuple[str | None, str]]:
    """Return how this environment differs from the one that a run began in: name -> (then, now)."""
    then, now = state.environment, environment()
    return {name: (then.get(name), value) for name, value in now.items() if then.get(name) != value}
