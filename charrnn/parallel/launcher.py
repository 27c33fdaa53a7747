"""What the launcher of an MPI program, mpiexec or srun, says in the environment. Imports neither mpi4py nor numpy."""

import os
from contextlib import suppress

# The variables of each launcher: how many ranks it has started, and which of them this process is.
VARIABLES = {
    "PMI": ("PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI, and Slurm with --mpi=pmi2
    "OMPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    "SLURM": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun; a batch script has no step of its own
}


def launched() -> tuple[int, int]:
    """Return the number of ranks that a launcher has started and the number of this one: (1, 0) without a launcher."""
    for names in VARIABLES.values():
        size, rank = (os.environ.get(name, "") for name in names)
        if size.isdecimal() and rank.isdecimal():
            return int(size), int(rank)
    return 1, 0


def has_launcher() -> bool:
    """Return whether this process is one of several ranks."""
    return launched()[0] > 1


def launcher_pid() -> int | None:
    """Return the process of mpiexec if it is an ancestor of this one, as on rank 0's machine; found only on Linux."""
    pid = os.getppid()
    with suppress(OSError, ValueError):
        while pid > 1:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _, numbers = file.read().partition("(")[2].rpartition(")")
            if os.path.basename(name).startswith("mpiexec"):
                return pid
            pid = int(numbers.split()[1])
    return None
