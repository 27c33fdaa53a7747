"""Optimizers, which update all parameters in place as one flat vector, and learning-rate schedules."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from charrnn.core.config import TrainConfig
from charrnn.core.ops import Array

Slots = dict[str, Array]  # name -> a vector as long as the parameters
BLOCK = 16384  # numbers updated at a time, so that all arrays of an update stay in a core's cache


class Optimizer(NamedTuple):
    """An algorithm as a pair of functions, and the names of the vectors it keeps between steps."""

    slots: tuple[str, ...]
    decay: Callable[[Array, Array, float, float], None]  # weights, their grads, weight_decay, lr
    update: Callable[[Array, Array, Slots, float, int], None]  # params, grads, slots, lr, t from 1


def blocks(size: int) -> Iterator[slice]:
    """Cut a vector into blocks."""
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def update(optimizer: Optimizer, params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Update parameters (P,) in place, block by block: the updates of different numbers are independent."""
    for block in blocks(len(params)):
        own = {name: slot[block] for name, slot in slots.items()}
        optimizer.update(params[block], grads[block], own, lr, t)


def clip_by_global_norm(grads: Array, max_norm: float) -> float:
    """Scale the gradients in place so that their Euclidean norm is at most max_norm; return the norm before.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks". A norm that is not finite
    is returned and nothing is scaled.
    """
    norm = float(np.sqrt(np.dot(grads, grads)))
    if max_norm < norm < np.inf:
        grads *= max_norm / norm
    return norm


def shrink_weights(weights: Array, grads: Array, weight_decay: float, lr: float) -> None:
    """Shrink weights in place, independently of the gradient: decoupled weight decay (Loshchilov & Hutter 2019)."""
    if weight_decay:
        weights *= 1 - lr * weight_decay


def add_l2_gradient(weights: Array, grads: Array, weight_decay: float, lr: float) -> None:
    """Add the gradient of ½·weight_decay·|weights|² to grads, in place (L2 regularisation)."""
    if weight_decay:
        grads += weight_decay * weights


def drop_subnormals(slot: Array) -> None:
    """Set subnormal numbers to 0, in place: they would slow every later step tenfold and more.

    Adding and subtracting `floor` rounds subnormals to 0, and changes larger numbers by less than that.
    """
    floor = slot.dtype.type(2 * np.finfo(slot.dtype).tiny / np.finfo(slot.dtype).eps)
    slot += floor
    slot -= floor


def sgd_update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Step down the gradient with momentum 0.9 (Polyak 1964, as Sutskever et al. 2013 write it)."""
    velocity = slots["velocity"]
    velocity *= 0.9
    velocity += grads
    drop_subnormals(velocity)
    params -= lr * velocity


def adagrad_update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Divide by the root of the sum of squares (AdaGrad, Duchi et al. 2011), ε = 1e-10."""
    total = slots["total"]
    total += np.square(grads)
    drop_subnormals(total)
    params -= lr * grads / (np.sqrt(total) + 1e-10)


def rmsprop_update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Divide by the root of the running mean of squares (RMSProp, Tieleman & Hinton 2012), decay 0.99, ε = 1e-8."""
    v = slots["v"]
    v *= 0.99
    v += 0.01 * np.square(grads)
    drop_subnormals(v)
    params -= lr * grads / (np.sqrt(v) + 1e-8)


def adam_update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Take a step of Adam (Kingma & Ba 2015, algorithm 1), with β1 = 0.9, β2 = BETA2, ε = 1e-8."""
    m, v, beta1 = slots["m"], slots["v"], 0.9
    m *= beta1
    m += (1 - beta1) * grads
    v *= BETA2
    v += (1 - BETA2) * np.square(grads)
    drop_subnormals(m)
    drop_subnormals(v)
    step = np.sqrt(v / (1 - BETA2**t))
    step += 1e-8
    params -= (lr / (1 - beta1**t)) * m / step


BETA2 = 0.99  # not the paper's 0.999, since runs are a few thousand steps long: docs/decisions.md
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(("velocity",), add_l2_gradient, sgd_update),
    "adagrad": Optimizer(("total",), add_l2_gradient, adagrad_update),
    "rmsprop": Optimizer(("v",), add_l2_gradient, rmsprop_update),
    "adam": Optimizer(("m", "v"), add_l2_gradient, adam_update),
    "adamw": Optimizer(("m", "v"), shrink_weights, adam_update),
}


# ---- learning-rate schedules ----

FINAL = 0.02  # share of the peak learning rate at which a falling schedule ends


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
    """Return the learning rate of a step, counted from 0: a linear warm-up, then the schedule up to the last step."""
    warmup = min(config.warmup, config.steps // 2)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * SCHEDULES[config.schedule]((step - warmup) / max(1, config.steps - warmup))
