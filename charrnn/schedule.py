"""The learning rate as a function of the step alone, so that a resumed run needs nothing to remember it by."""

import math

from charrnn.config import TrainConfig

FINAL = 0.02  # the share of the learning rate that cosine decay ends at


def cosine(progress: float) -> float:
    """Fall from 1 to FINAL along half a cosine as progress goes from 0 to 1 (Loshchilov & Hutter 2017)."""
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * progress))


def lr_at(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step (the first is 0): a linear warm-up, then cosine decay to the last step."""
    warmup = min(config.warmup, config.steps // 2)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * cosine((step - warmup) / max(1, config.steps - warmup))
