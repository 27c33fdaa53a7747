"""Run the command line on several ranks, as mpiexec starts it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.command import ENVIRONMENT, Env, Result, command

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent))  # of the wheel, beside the interpreter


def needs_mpi() -> None:
    """Skip a module of tests, with the reason, where the extra is missing."""
    pytest.importorskip("mpi4py", reason="needs the extra mpi: pip install 'charrnn-numpy[mpi]'")
    if not MPIEXEC:
        pytest.skip("needs mpiexec beside the interpreter: pip install 'charrnn-numpy[mpi]'", allow_module_level=True)


def on_ranks(count: int, *args: object, options: Sequence[str] = (), prelude: str = "") -> list[str]:
    """Return the command line that runs the command on some ranks."""
    assert MPIEXEC
    return [MPIEXEC, "-n", str(count), *options, *command(*args, prelude=prelude)]


def run(count: int, *args: object, cwd: Path, env: Env | None = None, prelude: str = "", data: bytes = b"") -> Result:
    """Run the command on some ranks."""
    done = subprocess.run(
        on_ranks(count, *args, prelude=prelude),
        input=data,
        env={**ENVIRONMENT, **(env or {})},
        cwd=cwd,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


def ok(count: int, *args: object, cwd: Path, data: bytes = b"") -> Result:
    """Run the command on some ranks, and check that it ended with 0."""
    result = run(count, *args, cwd=cwd, data=data)
    assert result.code == 0, result.err
    return result
