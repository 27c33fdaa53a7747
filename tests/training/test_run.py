"""The run that the command and the library share; tests/cli/test_train_loop.py and tests/api have most of its tests."""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from charrnn.core.train import EvalReport, Report, StepReport
from charrnn.training import run
from charrnn.training.run import EARLY, EARLY_COST, Run, early_validation_due


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


def test_a_validation_in_progress_is_not_interrupted_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    step, begun = StepReport(1, 2.0, 0.1, 1.0, 10), EvalReport(1, 5, 2.0, None, best=False)
    done, early = EvalReport(1, 9, 2.0, 1.5, best=False), list[Report]()

    class Quiet(Run):
        def calibrate(self) -> None:
            pass

        def save(self) -> Iterator[Any]:
            return iter(())

        def due(self, report: Report) -> bool:
            return False

        def early_validation(self) -> Iterator[EvalReport]:
            early.append(seen[-1])
            return iter(())

    monkeypatch.setattr(run, "train", lambda *args: iter([step, begun, done, step]))
    state, text, seen = SimpleNamespace(), SimpleNamespace(ids=None), list[Report]()
    quiet: Any = Quiet(state, text, *[None] * 6)  # type: ignore[arg-type]
    for report in quiet.reports():
        seen.append(report)
    assert seen == [step, begun, done, step]
    assert early == [step, step]
