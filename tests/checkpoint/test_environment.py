import os
import resource
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint import environment as module
from charrnn.checkpoint.environment import available_bytes, changes, environment, free_amounts
from charrnn.core import ops
from charrnn.core.state import TrainState
from charrnn.parallel import cores
from tests.helpers.files import copy_of


def test_the_environment_is_what_the_last_bits_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr(cores, "limit", 5)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    monkeypatch.setattr(ops, "ROW_BLOCKS", False)
    found = environment()
    assert found["blas"].endswith(" Sandybridge")
    assert found.items() >= {"numpy": np.__version__, "threads": "5", "product_threads": "3"}.items()
    assert found["machine"].split()[0] == os.uname().machine
    assert found.keys() == {"numpy", "blas", "machine", "threads", "product_threads"}
    assert all(found.values())
    monkeypatch.setattr(ops, "ROW_BLOCKS", True)
    assert environment()["blas"] == found["blas"] + " in row blocks"


@pytest.mark.parametrize("name", ["numpy", "blas", "machine", "threads", "product_threads"])
def test_a_change_since_the_start_of_a_run_is_named(
    name: str, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed, here = copy_of(state), environment()
    assert resumed.environment == here
    assert changes(resumed) == {}
    monkeypatch.setattr(module, "environment", lambda: here | {name: "another"})
    assert changes(resumed) == {name: (here[name], "another")}
    del resumed.environment[name]
    assert changes(resumed) == {name: (None, "another")}


# ---- memory ----


def test_the_free_memory_is_that_of_the_system_and_of_the_control_group(tmp_path: Path) -> None:
    assert [*free_amounts(tmp_path)] == []
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable:     500 kB\nSwapFree:   20 kB\n")
    assert [*free_amounts(tmp_path)] == [520 * 1024]
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    for name, content in {"max": "max\n", "current": "70000\n", "stat": "anon 1\nfile 3000\n"}.items():
        (group / f"memory.{name}").write_text(content)
    assert [*free_amounts(tmp_path)] == [520 * 1024]
    (group / "memory.max").write_text("100000\n")
    assert [*free_amounts(tmp_path)] == [520 * 1024, 33_000]


def test_a_limit_of_the_process_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_amounts", lambda root: iter([]))
    assert available_bytes() is None
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 40, 1 << 41))
    found = available_bytes()
    assert found is not None
    assert 1 << 39 < found < 1 << 40
    monkeypatch.setattr(module, "free_amounts", lambda root: iter([5000, 4000]))
    assert available_bytes() == 4000
