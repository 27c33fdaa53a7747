import subprocess
import sys

import pytest

from charrnn.parallel.memory import keep_freed_memory
from tests.helpers.command import ENVIRONMENT

FREED = """
import resource, sys
import numpy as np
from charrnn.parallel.memory import keep_freed_memory

kept = "keep" in sys.argv and keep_freed_memory()
np.ones(36_000)  # from now on glibc keeps arrays below 288 kB in one piece, whose end it gives back
def step():
    [np.ones(32_000) for _ in range(16)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_taken(*argv: str) -> tuple[str, int]:
    """Return whether memory is kept, and the number of pages that a process took for arrays like those it had freed."""
    command = [sys.executable, "-c", FREED, *argv]
    kept, faults = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.split()
    return kept, int(faults)


def test_freed_arrays_are_used_again() -> None:
    if sys.platform != "linux" or not keep_freed_memory():
        pytest.skip("needs glibc")
    (kept, few), (lost, many) = pages_taken("keep"), pages_taken()
    assert (kept, lost) == ("True", "False")
    assert 10 * few < many


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
