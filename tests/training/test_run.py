"""The run that the command and the library share; tests/cli/test_train_loop.py and tests/api have most of its tests."""

from functools import partial
from types import SimpleNamespace

import pytest

from charrnn.training.run import EARLY, EARLY_COST, early_validation_due


def test_a_run_with_a_budget_in_time_is_validated_early_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    state = SimpleNamespace(step=3, history=[])
    deadline = SimpleNamespace(start=10.0, per_validation=1.0)
    due = partial(early_validation_due, state, deadline)  # type: ignore[arg-type]
    assert not due()
    now[0] = 10.0 + EARLY + 0.1
    assert due()
    deadline.per_validation = 2 * EARLY_COST
    assert not due()
    deadline.per_validation = 1.0
    state.history.append((3, 2.0, 2.0))
    assert not due()
