"""What differs between Pythons must not be seen in a result."""

from pathlib import Path

from tests.helpers.command import NETWORK, charrnn, ok

# From Python 3.12 on the builtin sum of floats is compensated. A sum of floats that is off in its last bit stands for
# the other Pythons here: nothing may use it.
ANOTHER_SUM = """
import builtins, math
exact = builtins.sum
def inexact(values, /, start=0):
    total = exact(values, start)
    return math.nextafter(total, math.inf) if isinstance(total, float) else total
builtins.sum = inexact
"""


def test_no_result_depends_on_how_python_adds_floats(work: Path) -> None:
    train = ("train", "a.txt", *NETWORK, "--steps", 6, "--eval-every", 2, "--ensemble", 3, "--json", "-q")
    commands = [
        ("sample", "-m", "a", "-n", 30, "--count", 3, "--seed", 1, "--json", "-q"),
        ("eval", "-m", "a", "--json", "-q", "a.txt"),
        ("info", "-m", "a"),
        ("eval", "-m", "a", "--heatmap", "--color", "always", "-q", "a.txt"),
    ]
    ok(*train)
    model, results = Path("checkpoints/a.npz").read_bytes(), [ok(*each).out for each in commands]
    ok(*train, "--force", prelude=ANOTHER_SUM)
    assert Path("checkpoints/a.npz").read_bytes() == model
    assert [ok(*each, prelude=ANOTHER_SUM).out for each in commands] == results


# ---- a process that the system allows no more threads and processes ----

NO_THREADS = """
import os, threading
def refuse(*args, **options):
    raise RuntimeError("can't start new thread")
for name in ("_start_new_thread", "_start_joinable_thread"):
    if hasattr(threading, name):
        setattr(threading, name, refuse)
def no_fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = no_fork
os.sched_getaffinity = lambda process: range(3)
"""
THREE_CORES = "import os; os.sched_getaffinity = lambda process: range(3)"


def test_a_process_without_threads_works_alone(work: Path) -> None:
    train = ("train", "a.txt", *NETWORK[:4], "--batch-size", 48, "--steps", 3, "-q")
    Path("long.txt").write_text(Path("a.txt").read_text() * 3)
    commands = [
        ("sample", "-m", "a", "-n", 5, "--count", 40, "--seed", 1, "-q"),
        ("eval", "-m", "a", "--json", "-q", "long.txt"),
        ("eval", "-m", "a", "--lines", "-q", "a.txt"),
        ("eval", "-m", "a", "--dynamic", "--json", "-q", "a.txt"),
    ]
    ok(*train, prelude=THREE_CORES)
    model, results = Path("checkpoints/a.npz").read_bytes(), [ok(*each, prelude=THREE_CORES) for each in commands]
    ok(*train, "--force", prelude=NO_THREADS)
    assert Path("checkpoints/a.npz").read_bytes() == model
    assert [ok(*each, prelude=NO_THREADS) for each in commands] == results


def test_an_error_without_a_file_names_what_failed(work: Path) -> None:
    prelude = """
import os
def failing(*args):
    raise OSError(5, "Input/output error")
os.sched_getaffinity = failing
"""
    result = charrnn("train", "a.txt", "-q", prelude=prelude)
    assert (result.code, result.out) == (1, b"")
    assert result.err == "charrnn: failing (<string>:5): Input/output error\n"
