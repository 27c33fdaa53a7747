"""The learning rate as a function of the step alone, so that a resumed run needs nothing to remember it by."""

import math
from collections.abc import Callable

from charrnn.config import TrainConfig

FINAL = 0.02  # the share of the learning rate that a schedule which falls ends at


def constant(progress: float) -> float:
    """Stay at 1."""
    return 1.0


def linear(progress: float) -> float:
    """Fall from 1 to FINAL along a straight line as progress goes from 0 to 1."""
    return 1 - (1 - FINAL) * progress


def cosine(progress: float) -> float:
    """Fall from 1 to FINAL along half a cosine as progress goes from 0 to 1 (Loshchilov & Hutter 2017)."""
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "linear": linear, "cosine": cosine}


def lr_at(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step (the first is 0): a linear warm-up, then the schedule to the last step."""
    warmup = min(config.warmup, config.steps // 2)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * SCHEDULES[config.schedule]((step - warmup) / max(1, config.steps - warmup))
