"""Runs that diverge: how an explosion of the loss is recognised, and what to try instead."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from charrnn.core.config import TrainConfig
from charrnn.core.errors import DivergedError
from charrnn.core.score import bits
from charrnn.core.train import StepReport
from charrnn.training.defaults import default_lr, default_weight_decay

FACTOR = 4  # a loss this many times that of guessing is an explosion, if it lasts
STEPS = 5  # in a row
USUAL_LR = {"sgd": 0.1, "adagrad": 0.1}  # by optimizer; others use about the default


class ExplosionGuard:
    """Watches the losses of a run of V symbols, and ends it when they stay far above those of guessing."""

    def __init__(self, V: int, config: TrainConfig) -> None:
        self.guessing, self.config = math.log(max(2, V)), config
        self.steps = 0  # in a row with an exploded loss

    def watch(self, report: StepReport) -> None:
        """Count the steps in a row with an exploded loss."""
        self.steps = self.steps + 1 if report.loss > FACTOR * self.guessing else 0

    def check(self, report: StepReport) -> None:
        """Raise DivergedError if the loss has exploded for some steps."""
        if self.steps == STEPS:
            raise DivergedError(
                f"step {report.step}: the loss has exploded, to {bits(report.loss):,.0f} bits per character, where "
                f"guessing would take {bits(self.guessing):.1f}"
            )


@contextmanager
def advised(config: TrainConfig) -> Iterator[None]:
    """Add what to try to the error of a run that diverges in the context."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(f"{error}: {remedy(config)}") from error


def remedy(config: TrainConfig) -> str:
    """Return what to try after a run with this configuration has diverged."""
    usual = USUAL_LR.get(config.optimizer, default_lr(config.optimizer))
    usual_decay = default_weight_decay(config.optimizer)
    decoupled = config.optimizer in ("adamw", "soap")
    if config.weight_decay * (config.lr if decoupled else 1) >= 1 and config.weight_decay > usual_decay:
        return f"--weight-decay {config.weight_decay:g} is too large: try {usual_decay:g}"
    rate = usual if config.lr > usual else config.lr / 4
    clip = f" with --grad-clip {TrainConfig.grad_clip:g}" if config.grad_clip > 10 * TrainConfig.grad_clip else ""
    return f"try --lr {rate:.2g}{clip}, or start from a trained model with --init-from"
