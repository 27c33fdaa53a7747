"""The contract of a recurrent cell, and the layer that is made of one.

A layer is an input projection, which is the same for every cell and one product over all steps, and the recurrence,
which cannot be parallel in time. A cell is only the latter.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from charrnn.ops import Array, linear_backward, linear_forward

Params = dict[str, Array]  # names -> views into one flat vector
Shapes = dict[str, tuple[int, ...]]
LayerState = tuple[Array, ...]  # each (H, B)
State = list[LayerState]  # one a layer
Cache = dict[str, Array]  # what backward needs, allocated once for T steps of B streams, refilled at every step


class Cell(NamedTuple):
    """A recurrence over T steps. Shapes: a, da (T, G·H, B); h, dh (T, H, B); each part of a state (H, B).

    The cache is the layer's: beside the cell's own arrays it holds `a`, over which forward may write what backward
    needs, and backward da; so there is one backward to a forward. With zoneout it holds `keep` (T, S, H, B) for the S
    parts of the state; then every step ends with zoneout_forward.

    Where a stream holds lines that know nothing of each other, the cache holds `alive` (T, B), 0 at the steps that
    begin one, and every step begins with reset_forward, or backward ends with reset_backward. What is reset is the row
    that the step before has written, so the outputs have an array of their own, `out` (T, H, B).
    """

    gates: int  # G
    state: tuple[str, ...]  # ("h",), or ("h", "c")
    biases: tuple[float, ...]  # what each gate's part of b_h begins at, (G,)
    shapes: Callable[[int], Shapes]  # H -> the recurrent parameters
    cache: Callable[[int, int, int, DTypeLike], Cache]  # T, B, H, dtype -> workspace
    # params, a, state, cache -> h, state
    forward: Callable[[Params, Array, LayerState, Cache], tuple[Array, LayerState]]
    # params, dh, dstate, cache, grads -> da, dstate0
    backward: Callable[[Params, Array, LayerState, Cache, Params], tuple[Array, LayerState]]
    # params, a, v, state -> one step, to be called again and again: the same equations where nothing looks back. It is
    # bound to its arrays: the input's part a and v = W_hh h, each (G·H, B) and written over; the state moves in place
    step: Callable[[Params, Array, Array, LayerState], Callable[[], None]]


def layer_shapes(cell: Cell, D: int, H: int) -> Shapes:
    """Return the shapes of a layer's parameters, matrices first: the projection's and the cell's own."""
    return {"W_xh": (cell.gates * H, D), **cell.shapes(H), "b_h": (cell.gates * H,)}


def layer_cache(cell: Cell, T: int, B: int, H: int, dtype: DTypeLike, zoneout: float = 0, lines: bool = False) -> Cache:
    """Allocate a layer's workspace for windows of up to T steps of B streams.

    With zoneout, `keep` is its expectation, as at test time; training draws other numbers over it. With lines there are
    (T·H + T)·B numbers more, of which `alive` is to be filled for each window.
    """
    keep = {"keep": np.full((T, len(cell.state), H, B), zoneout, dtype)} if zoneout else {}
    ends = {"alive": np.ones((T, B), dtype), "out": np.empty((T, H, B), dtype)} if lines else {}
    return {"a": np.empty((T, cell.gates * H, B), dtype), **cell.cache(T, B, H, dtype), **keep, **ends}


def outputs(cache: Cache, T: int) -> Array:
    """Return h (T, H, B), what a layer hands up after each of T steps: a view into its cache."""
    return cache["out"][:T] if "out" in cache else cache["h"][1 : T + 1]


def layer_forward(cell: Cell, params: Params, x: Array, state: LayerState, cache: Cache) -> tuple[Array, LayerState]:
    """Run a layer over x (T, D, B) from a state; return h (T, H, B), a view into the cache, and the last state."""
    a = linear_forward(params["W_xh"], params["b_h"], x, cache["a"][: len(x)])
    return cell.forward(params, a, state, cache)


def layer_step(
    cell: Cell, params: Params, a: Array, v: Array, state: LayerState, zoneout: float = 0
) -> Callable[[], None]:
    """Return cell.step bound to its arrays, with zoneout's expectation: of each unit that share stays what it was."""
    step = cell.step(params, a, v, state)
    if not zoneout:
        return step
    kept = [np.empty_like(part) for part in state]

    def run() -> None:
        for part, before in zip(state, kept, strict=True):
            np.multiply(zoneout, part, out=before)
        step()
        for part, before in zip(state, kept, strict=True):
            part *= 1 - zoneout
            part += before

    return run


def layer_backward(
    cell: Cell, params: Params, x: Array, dh: Array, dstate: LayerState, cache: Cache, grads: Params
) -> tuple[Array, LayerState]:
    """Go back from dh (T, H, B) and the last state's gradient; return dx (T, D, B) and the initial state's gradient."""
    da, dstate0 = cell.backward(params, dh, dstate, cache, grads)
    return linear_backward(da, params["W_xh"], x, grads["W_xh"], grads["b_h"]), dstate0
