"""Optimizers: pairs of slot names and an update in place, on flat vectors that hold all parameters at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from charrnn.ops import Array

Slots = dict[str, Array]  # name -> a vector as long as the parameters


class Optimizer(NamedTuple):
    """What it keeps between steps, and how it steps: update(params, grads, slots, lr, t), t = 1 for the first step."""

    slots: tuple[str, ...]
    update: Callable[[Array, Array, Slots, float, int], None]


def clip_by_global_norm(grads: Array, max_norm: float) -> float:
    """Scale the gradients in place so that their Euclidean norm is at most max_norm; return the norm before.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks". A norm that is not finite
    is returned and nothing is scaled.
    """
    norm = float(np.sqrt(np.dot(grads, grads)))
    if max_norm < norm < np.inf:
        grads *= max_norm / norm
    return norm


def decay_weights(weights: Array, amount: float) -> None:
    """Shrink weights in place by the share `amount`: decoupled weight decay (Loshchilov & Hutter 2019)."""
    if amount:
        weights *= 1 - amount


def adam_update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
    """Step as Adam does (Kingma & Ba 2015, algorithm 1), with β1 = 0.9, β2 = 0.99, ε = 1e-8.

    β2 below the paper's 0.999: a run here is a few thousand steps, and the prototypes did better with it.
    """
    m, v, beta1, beta2 = slots["m"], slots["v"], 0.9, 0.99
    m *= beta1
    m += (1 - beta1) * grads
    v *= beta2
    v += (1 - beta2) * np.square(grads)
    v[v < np.finfo(v.dtype).tiny] = 0  # subnormal numbers would slow every later product ten times and more
    m[np.abs(m) < np.finfo(m.dtype).tiny] = 0
    step = np.sqrt(v / (1 - beta2**t))
    step += 1e-8
    params -= (lr / (1 - beta1**t)) * m / step


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(("m", "v"), adam_update),
}
