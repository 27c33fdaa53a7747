import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.summary import advice, summary_fields, summary_rows
from charrnn.core.state import Best, TrainState
from tests.conftest import Run
from tests.helpers.command import SHORT, ok


@pytest.fixture
def state(trained: Run) -> TrainState:
    return CheckpointStore(trained.model).load()


def after(state: TrainState, *held_out: float, dropout: float = 0.0, patience: int = 0) -> TrainState:
    """Return the run with validations every ten steps whose losses are given in bits per character."""
    nats = [bits * math.log(2) for bits in held_out]
    steps = range(10, 10 * len(nats) + 1, 10)
    state.history = [(step, loss, loss) for step, loss in zip(steps, nats, strict=True)]
    least = int(np.argmin(nats)) if nats else 0
    state.best = Best(steps[least], nats[least], state.model.vector) if nats else None
    state.step = steps[-1] if nats else 40
    state.config = replace(state.config, steps=100, dropout=dropout, patience=patience)
    return state


@pytest.mark.parametrize(
    ("held_out", "dropout", "advised"),
    [
        ([], 0, "no text is held out, so the loss on new text is unknown: use --val-fraction 0.1"),
        ([3.0], 0, ""),
        ([3.0, 2.0, 1.995], 0, ""),
        ([3.0, 2.0, 2.005], 0, ""),
        ([3.0, 2.5], 0, "held-out loss fell by 0.50 bits in the last 10 steps: a longer run would help"),
        ([3.0, 2.0, 2.25], 0, "held-out loss has risen by 0.25 bits since step 20: more text, a smaller network or"),
        ([3.0, 2.0, 2.25], 0.1, "more --dropout would help"),
    ],
)  # fmt: skip
def test_the_advice_follows_from_the_held_out_losses(
    state: TrainState, held_out: list[float], dropout: float, advised: str
) -> None:
    text = advice(after(state, *held_out, dropout=dropout))
    assert advised in text
    assert bool(advised) == bool(text)


def test_the_card_has_rows_only_for_known_values(state: TrainState) -> None:
    assert summary_rows(after(state), 2.0, 0) == {"steps": "40 of 100"}
    assert [*summary_rows(after(state, 2.0), 2.0, 0)] == ["steps", "held out"]
    assert [*summary_rows(after(state, 2.0, 1.9), 2.0, 600)] == ["steps", "held out", "time"]
    assert summary_rows(state, 2.0, 600)["time"] == "2.0s, 300 characters per second"


def test_a_run_out_of_patience_is_reported(state: TrainState) -> None:
    stopped = after(state, 3.0, 2.0, 2.1, 2.2, patience=2)
    assert summary_rows(stopped, 1, 1)["steps"] == "40 of 100, after 2 validations without a new best (--patience)"
    assert summary_fields("x", stopped, 2.0, 600) == {
        "done": "x", "step": 40, "steps": 100, "patience": 2, "best_step": 20, "best_val_bits": "2.0000",
        "seconds": "2.0", "chars_per_second": "300",
    }  # fmt: skip


def test_the_next_command_can_be_pasted_whatever_the_name(work: Path) -> None:
    for name in ("it's $(touch HERE).npz", "./without-ending"):
        result = ok("train", "a.txt", *SHORT, "-m", name)
        (line,) = (line for line in result.err.splitlines() if line.startswith("next="))
        assert shlex.split(json.loads(line.removeprefix("next="))) == ["charrnn", "sample", "-m", name]
