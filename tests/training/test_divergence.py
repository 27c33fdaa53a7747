import math
from typing import Any

import pytest

from charrnn.core.config import TrainConfig
from charrnn.core.errors import DivergedError
from charrnn.core.train import StepReport
from charrnn.training.divergence import FACTOR, STEPS, ExplosionGuard, remedy

V = 32  # guessing takes 5 bits


def reports(losses: list[float]) -> list[StepReport]:
    return [StepReport(step, loss, 0.1, 1.0, 10) for step, loss in enumerate(losses, 1)]


def test_a_loss_that_stays_far_above_guessing_is_an_explosion() -> None:
    guard, exploded = ExplosionGuard(V, TrainConfig(9, "")), 4.5 * math.log(V)
    for report in reports([3.0] * 7 + [exploded] * 4):
        guard.watch(report)
        guard.check(report)
    guard.watch(StepReport(12, exploded, 0.1, 1.0, 10))
    with pytest.raises(
        DivergedError, match=r"^step 12: the loss has exploded, to 22 bits .* guessing would take 5\.0$"
    ):
        guard.check(StepReport(12, exploded, 0.1, 1.0, 10))


@pytest.mark.parametrize("loss", [0.0, math.log(V), FACTOR * math.log(V), 1e9])
def test_losses_up_to_the_bound_and_single_peaks_are_no_explosion(loss: float) -> None:
    guard = ExplosionGuard(V, TrainConfig(9, ""))
    peaks = ([loss] * (STEPS - 1) + [1.0]) * 3
    for report in reports(peaks if loss == 1e9 else [loss] * 50):
        guard.watch(report)
        guard.check(report)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lr": 100}, "try --lr 0.004,"),
        ({"lr": 0.004}, "try --lr 0.001,"),
        ({"lr": 100, "weight_decay": 0, "optimizer": "sgd"}, "try --lr 0.1,"),
        ({"weight_decay": 1e9}, "--weight-decay 1e+09 is too large: try 0.2"),
        ({"weight_decay": 5, "optimizer": "adam"}, "--weight-decay 5 is too large: try 0.2"),
        ({"weight_decay": 5}, "try --lr 0.001,"),
        ({"grad_clip": 1e9}, "try --lr 0.001 with --grad-clip 1,"),
    ],
)
def test_the_setting_to_change_is_named(given: dict[str, Any], words: str) -> None:
    assert remedy(TrainConfig(9, "", **given)).startswith(words)
