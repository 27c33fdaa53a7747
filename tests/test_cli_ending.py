import math
from dataclasses import replace

import numpy as np
import pytest

from charrnn.checkpoint import Best, Checkpoint, CheckpointStore
from charrnn.cli.ending import advice, came_to, figures
from tests.conftest import Run


@pytest.fixture
def checkpoint(trained: Run) -> Checkpoint:
    return CheckpointStore(trained.model).load()


def after(checkpoint: Checkpoint, *held_out: float, dropout: float = 0.0, patience: int = 0) -> Checkpoint:
    """The run as if its validations, ten steps from each other, had come to so many bits a character."""
    nats = [bits * math.log(2) for bits in held_out]
    steps = range(10, 10 * len(nats) + 1, 10)
    checkpoint.history = [(step, loss, loss) for step, loss in zip(steps, nats, strict=True)]
    least = int(np.argmin(nats)) if nats else 0
    checkpoint.best = Best(steps[least], nats[least], checkpoint.model.vector) if nats else None
    checkpoint.step = steps[-1] if nats else 40
    checkpoint.train = replace(checkpoint.train, steps=100, dropout=dropout, patience=patience)
    return checkpoint


@pytest.mark.parametrize(
    ("held_out", "dropout", "advised"),
    [
        ([], 0, "nothing is held out, so nothing tells how well it would do elsewhere: --val-fraction 0.1"),
        ([3.0], 0, ""),
        ([3.0, 2.0, 1.995], 0, ""),
        ([3.0, 2.0, 2.005], 0, ""),
        ([3.0, 2.5], 0, "held-out loss fell by 0.50 bits in the last 10 steps: a longer run would help"),
        ([3.0, 2.0, 2.25], 0, "held-out loss has risen since step 20, by 0.25 bits: more text, a smaller network or"),
        ([3.0, 2.0, 2.25], 0.1, "more --dropout would help"),
    ],
)  # fmt: skip
def test_the_course_of_the_held_out_loss_says_what_to_do(
    checkpoint: Checkpoint, held_out: list[float], dropout: float, advised: str
) -> None:
    told = advice(after(checkpoint, *held_out, dropout=dropout))
    assert advised in told
    assert bool(advised) == bool(told)


def test_a_report_has_no_row_for_what_there_is_not(checkpoint: Checkpoint) -> None:
    assert came_to(after(checkpoint), 2.0, 0, 60) == {"steps": "40 of 100"}
    assert [*came_to(after(checkpoint, 2.0), 2.0, 0, 60)] == ["steps", "held out"]
    assert [*came_to(after(checkpoint, 2.0, 1.9), 2.0, 600, 60)] == ["steps", "held out", "time", "losses"]
    assert came_to(checkpoint, 2.0, 600, 60)["time"] == "2.0s, 300 characters a second"


def test_a_run_out_of_patience_says_so(checkpoint: Checkpoint) -> None:
    stopped = after(checkpoint, 3.0, 2.0, 2.1, 2.2, patience=2)
    assert came_to(stopped, 1, 1, 60)["steps"] == "40 of 100, since 2 validations brought no new best (--patience)"
    assert figures("x", stopped, 2.0, 600) == {
        "done": "x", "step": 40, "steps": 100, "patience": 2, "best_step": 20, "best_val_bits": "2.0000",
        "seconds": "2.0", "chars_per_second": "300",
    }  # fmt: skip


@pytest.mark.parametrize("room", [20, 50, 200])
def test_a_report_is_as_wide_as_its_room(checkpoint: Checkpoint, room: int) -> None:
    plot = came_to(after(checkpoint, 3.0, 2.5, 2.2), 1, 1, room)["losses"]
    assert max(map(len, plot.splitlines()[:-1])) == min(room, 66)
    assert plot.splitlines()[-1] == ". training  o held out  * best; bits a character"
