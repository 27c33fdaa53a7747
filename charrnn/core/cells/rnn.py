"""The Elman RNN (Elman 1990, "Finding structure in time").

    a_t = W_xh x_t + b_h + W_hh h_{t-1}
    h_t = φ(a_t)                                 φ: one of ACTIVATIONS

Backward, with dh_t the gradient that reaches h_t from the output, and dh_next = 0 after the last step:

    dh_next += dh_t                              the output's gradient and the one from step t+1
    da_t     = φ'(a_t) * dh_next
    dW_hh   += da_t h_{t-1}ᵀ                     for all t at once, after the loop
    dh_next  = W_hhᵀ da_t

φ(a) is written over a, since with zoneout it is not h_t, and da over φ(a).

Memory of a layer: (2T + 2)·H·B numbers (a, h and one step's scratch).
"""

from functools import partial

import numpy as np

from charrnn.core.cells.activations import ACTIVATIONS, Activation
from charrnn.core.cells.cell import Cache, Cell, LayerState, Params, Shapes, Step
from charrnn.core.ops import Array, add_outer, product


def shapes(H: int) -> Shapes:
    """Return the shape of the one recurrent parameter."""
    return {"W_hh": (H, H)}


def forward_step(
    phi: Activation, params: Params, a: Array, v: Array, kept: LayerState, before: LayerState, after: LayerState
) -> Step:
    """Bind a step of the equations above to its arrays."""
    (h_after,) = after

    def step() -> None:
        np.add(v, a, out=v)
        phi.value(v, a)
        h_after[...] = a

    return step


def backward_step(
    phi: Activation, W_hh_T: Array, da: Array, kept: LayerState, before: LayerState, dstate: LayerState, scratch: Array
) -> Step:
    """Bind a step back to its arrays."""
    (dh_next,) = dstate

    def step() -> None:
        phi.derivative(da, da)
        np.multiply(da, dh_next, out=da)
        product(W_hh_T, da, dh_next)

    return step


def add_gradients(da: Array, cache: Cache, grads: Params) -> None:
    """Add to dW_hh."""
    add_outer(grads["W_hh"], da, cache["h"][: len(da)])


def elman(activation: Activation) -> Cell:
    """Return the cell of an activation function."""
    passes = partial(forward_step, activation), partial(backward_step, activation)
    return Cell(1, ("h",), (), (0,), 1, shapes, *passes, add_gradients)


rnns = {f"rnn_{name}": elman(activation) for name, activation in ACTIVATIONS.items()}
