"""Optimizers, which update all parameters in place as one flat vector, and learning-rate schedules."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.core.cells.cell import Shapes
from charrnn.core.config import TrainConfig
from charrnn.core.model import size_of, size_of_matrices, views
from charrnn.core.ops import Array

Slots = dict[str, Array]
Job = Callable[[], None]
Run = Callable[[Sequence[Job]], None]  # runs independent jobs, one after the other or side by side
BLOCK = 16384  # numbers updated at a time, so that all arrays of an update stay in a core's cache


class Optimizer(NamedTuple):
    """An algorithm as a pair of functions: what it keeps between steps, and its step in place."""

    slots: Callable[[Shapes], Shapes]  # shapes of the parameters -> of the slots
    # params (P,), grads (P,), slots, shapes, lr, weight_decay, t from 1, run
    step: Callable[[Array, Array, Slots, Shapes, float, float, int, Run], None]


def elementwise(
    names: Sequence[str],
    decay: Callable[[Array, Array, float, float], None],
    update: Callable[[Array, Array, Slots, float, int], None],
) -> Optimizer:
    """Return an optimizer with slots (P,): decay(weights, grads, weight_decay, lr), then update by blocks."""

    def step(
        params: Array, grads: Array, slots: Slots, shapes: Shapes, lr: float, weight_decay: float, t: int, run: Run
    ) -> None:
        matrices = size_of_matrices(shapes)
        decay(params[:matrices], grads[:matrices], weight_decay, lr)
        for start in range(0, len(params), BLOCK):
            block = slice(start, start + BLOCK)
            update(params[block], grads[block], {name: slot[block] for name, slot in slots.items()}, lr, t)

    return Optimizer(lambda shapes: dict.fromkeys(names, (size_of(shapes),)), step)


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


def adam_step(grads: Array, m: Array, v: Array, lr: float, t: int, beta2: float) -> Array:
    """Update the moments in place; return Adam's step (Kingma & Ba 2015) with β1 = 0.9 and ε = 1e-8."""
    beta1 = 0.9
    m *= beta1
    m += (1 - beta1) * grads
    v *= beta2
    v += (1 - beta2) * np.square(grads)
    drop_subnormals(m)
    drop_subnormals(v)
    root = np.sqrt(v / (1 - beta2**t))
    root += 1e-8
    step: Array = (lr / (1 - beta1**t)) * m / root
    return step


def adam_update(params: Array, grads: Array, slots: Slots, lr: float, t: int, beta2: float = 0.99) -> None:
    """Take a step of Adam, by default with a β2 for runs of a few thousand steps: docs/decisions.md."""
    params -= adam_step(grads, slots["m"], slots["v"], lr, t, beta2)


# ---- SOAP (Vyas et al. 2024, arXiv:2409.11321), one-sided: Adam in the eigenbasis of GᵀG ----
#
#     R ← .9 R + .1 GᵀG,  Q ← qr(R Q)          every REFRESH steps, every second one in the first EARLY steps
#     W ← W - RATE lr Adam(G Q) Qᵀ             the moments m and v are kept in the basis Q

REFRESH, EARLY = 10, 20
BETA2 = 0.97
RATE = 1.75  # of matrices, relative to biases
WIDEST = 128  # columns that share a basis; a wider matrix has several
ROWS = 256  # rows of a matrix that one job updates


def rotations(shapes: Shapes) -> dict[str, tuple[str, slice]]:
    """Return the bases of all matrices by name, each with its matrix and columns."""
    matrices = {name: shape[1] for name, shape in shapes.items() if len(shape) == 2}
    cuts = {name: [D * k // -(-D // WIDEST) for k in range(-(-D // WIDEST) + 1)] for name, D in matrices.items()}
    return {f"{name}.{a}": (name, slice(a, b)) for name, cut in cuts.items() for a, b in pairwise(cut)}


def basis_shapes(shapes: Shapes) -> Shapes:
    """Return name -> shape of each basis Q, and of each covariance R."""
    return {basis: (columns.stop - columns.start,) * 2 for basis, (_, columns) in rotations(shapes).items()}


def soap_slots(shapes: Shapes) -> Shapes:
    """Return the shapes of Adam's moments of all parameters, and of all bases and covariances, each in one vector."""
    P, bases = size_of(shapes), size_of(basis_shapes(shapes))
    return {"m": (P,), "v": (P,), "Q": (bases,), "R": (bases,)}


def soap_step(
    params: Array, grads: Array, slots: Slots, shapes: Shapes, lr: float, weight_decay: float, t: int, run: Run
) -> None:
    """Take a step of SOAP, and of Adam for biases; the jobs do not depend on the number of cores."""
    matrices, found = size_of_matrices(shapes), rotations(shapes)
    shrink_weights(params[:matrices], grads[:matrices], weight_decay, lr)
    W, G, m, v = (views(vector, shapes) for vector in (params, grads, slots["m"], slots["v"]))
    Q, R = (views(slots[name], basis_shapes(shapes)) for name in "QR")
    if t == 1 or t % REFRESH == 0 or (t < EARLY and t % 2 == 0):
        run([partial(refresh_basis, G[n][:, c], m[n][:, c], Q[key], R[key], t) for key, (n, c) in found.items()])
    jobs: list[Job] = []
    for key, (name, columns) in found.items():
        for start in range(0, len(W[name]), ROWS):
            part = slice(start, start + ROWS), columns
            jobs.append(
                partial(rotated_step, W[name][part], G[name][part], m[name][part], v[name][part], Q[key], lr, t)
            )
    for name in shapes.keys() - {name for name, _ in found.values()}:
        jobs.append(partial(adam_update, W[name], G[name], {"m": m[name], "v": v[name]}, lr, t, BETA2))
    run(jobs)


def refresh_basis(G: Array, m: Array, Q: Array, R: Array, t: int) -> None:
    """Update a covariance and its basis in place, the latter by one step of orthogonal iteration; rotate m into it."""
    R *= 0.9
    R += 0.1 * (G.T @ G)
    basis = np.linalg.eigh(R)[1] if t <= EARLY else np.linalg.qr(R @ Q)[0]
    m[...] = m @ (Q.T @ basis)
    Q[...] = basis


def rotated_step(W: Array, G: Array, m: Array, v: Array, Q: Array, lr: float, t: int) -> None:
    """Take Adam's step for some rows of a matrix in the basis Q."""
    W -= adam_step(G @ Q, m, v, RATE * lr, t, BETA2) @ Q.T


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": elementwise(("velocity",), add_l2_gradient, sgd_update),
    "adagrad": elementwise(("total",), add_l2_gradient, adagrad_update),
    "rmsprop": elementwise(("v",), add_l2_gradient, rmsprop_update),
    "adam": elementwise(("m", "v"), add_l2_gradient, adam_update),
    "adamw": elementwise(("m", "v"), shrink_weights, adam_update),
    "soap": Optimizer(soap_slots, soap_step),
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
