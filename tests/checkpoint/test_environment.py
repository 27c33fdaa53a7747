import os

import numpy as np
import pytest

from charrnn.checkpoint import environment as module
from charrnn.checkpoint.environment import changes, environment
from charrnn.core.state import TrainState
from charrnn.parallel import cores
from tests.helpers.files import copy_of


def test_the_environment_is_what_the_last_bits_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr(cores, "limit", 5)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    found = environment()
    assert found["blas"].endswith(" Sandybridge")
    assert found.items() >= {"numpy": np.__version__, "threads": "5", "product_threads": "3"}.items()
    assert found["machine"].split()[0] == os.uname().machine
    assert found.keys() == {"numpy", "blas", "machine", "threads", "product_threads"}
    assert all(found.values())


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
