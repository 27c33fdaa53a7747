"""What a recurrent cell is, and the loop over time that all cells share.

A layer is an input projection, a = W_xh x + b_h, which is one product over all steps, and a recurrence, which has to
run step by step. A cell is the equations of one step of the recurrence, forward and backward. The loop over the steps,
zoneout, and the resets between lines are the same for every cell and are written here once.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core import ops
from charrnn.core.ops import Array, linear_backward, linear_forward, product, row_blocks

Params = dict[str, Array]  # names -> views into one flat vector
Shapes = dict[str, tuple[int, ...]]
LayerState = tuple[Array, ...]  # each (H, B)
State = list[LayerState]  # one per layer
Cache = dict[str, Array]  # what backward needs: allocated once for T steps of B streams, refilled by every window
Step = Callable[[], None]  # one step, bound to its arrays


class Cell(NamedTuple):
    """The equations of a recurrence. Both steps are bound to the arrays of one time step and return a function.

    forward_step(params, a, v, kept, before, after): from a = W_xh x + b_h and v = W_hh h_{t-1}, both (G·H, B), and the
    state before the step, compute the state after it. It may overwrite v, and overwrites a with what backward needs.
    `before` and `after` may be the same arrays.

    backward_step(W_hh_T, da, kept, before, dstate, scratch): from the gradients in `dstate` of the state after
    the step, compute in place those of the state before it; turn what forward left in `da` into the gradient of a.
    W_hh_T is W_hhᵀ (H, G·H) in row blocks.
    """

    gates: int  # G
    state: tuple[str, ...]  # ("h",), or ("h", "c")
    kept: tuple[str, ...]  # names of the arrays (T, H, B) that backward needs besides a and the state
    biases: tuple[float, ...]  # the initial value of each gate's part of b_h, (G,)
    scratch: int  # rows of scratch memory, in multiples of H
    shapes: Callable[[int], Shapes]  # H -> the recurrent parameters
    forward_step: Callable[[Params, Array, Array, LayerState, LayerState, LayerState], Step]
    backward_step: Callable[[Array, Array, LayerState, LayerState, LayerState, Array], Step]
    add_gradients: Callable[[Array, Cache, Params], None]  # da, cache, grads: of all steps, after the loop


def layer_shapes(cell: Cell, D: int, H: int) -> Shapes:
    """Return the shapes of a layer's parameters: of the projection, and the cell's own."""
    return {"W_xh": (cell.gates * H, D), **cell.shapes(H), "b_h": (cell.gates * H,)}


def layer_cache(cell: Cell, T: int, B: int, H: int, dtype: DTypeLike, zoneout: float = 0, lines: bool = False) -> Cache:
    """Allocate a layer's workspace for windows of up to T steps of B streams.

    With zoneout there is `keep` (T, S, H, B) for the S parts of the state: its expectation, as at test time; training
    draws over it. With lines there is `alive` (T, B), 0 at the steps that start a line and else 1, filled for each
    window, and `out` (T, H, B), the outputs: a reset overwrites the state that the step before has written.
    """
    cache = {"a": np.empty((T, cell.gates * H, B), dtype), "scratch": np.empty((cell.scratch * H, B), dtype)}
    cache |= {name: np.empty((T + 1, H, B), dtype) for name in cell.state}  # row 0 is the initial state
    cache |= {name: np.empty((T, H, B), dtype) for name in cell.kept}
    if zoneout:
        cache["keep"] = np.full((T, len(cell.state), H, B), zoneout, dtype)
    if lines:
        cache |= {"alive": np.ones((T, B), dtype), "out": np.empty((T, H, B), dtype)}
    return cache


def outputs(cache: Cache, T: int) -> Array:
    """Return h (T, H, B), the output of a layer at each of T steps: a view into its cache."""
    return cache["out"][:T] if "out" in cache else cache["h"][1 : T + 1]


def steps(arrays: Sequence[Array]) -> Iterator[LayerState]:
    """Yield the arrays' parts of each time step: for arrays (T, H, B) T tuples, for no arrays () without end."""
    return zip(*arrays, strict=True) if arrays else repeat(())


def recurrence_forward(
    cell: Cell, params: Params, a: Array, state: LayerState, cache: Cache
) -> tuple[Array, LayerState]:
    """Run the recurrence over the input's part a (T, G·H, B), a view of the cache.

    Return h (T, H, B), a view into the cache, and the state after the last step.
    """
    T, v = len(a), cache["scratch"][: a.shape[1]]
    W_hh = row_blocks(params["W_hh"], a.shape[2])
    keep, alive, out = cache.get("keep"), cache.get("alive"), cache.get("out")
    states, kept = [cache[name] for name in cell.state], [cache[name][:T] for name in cell.kept]
    for part, initial in zip(states, state, strict=True):
        part[0] = initial
    windows = a, steps(kept), steps([part[:T] for part in states]), steps([part[1 : T + 1] for part in states])
    for t, (a_t, kept_t, before, after) in enumerate(zip(*windows, strict=False)):
        if alive is not None:
            for part in before:
                part *= alive[t]
        product(W_hh, before[0], v)
        cell.forward_step(params, a_t, v, kept_t, before, after)()
        if keep is not None:
            ops.zoneout_forward(keep[t], before, after)
        if out is not None:
            out[t] = after[0]
    return outputs(cache, T), tuple(part[T].copy() for part in states)


def recurrence_backward(
    cell: Cell, params: Params, dh: Array, dstate: LayerState, cache: Cache, grads: Params
) -> tuple[Array, LayerState]:
    """Go back through the recurrence from dh (T, H, B) and dstate, the gradients of its outputs and of its last state.

    Add to the gradients of the recurrent parameters; return da (T, G·H, B) and the gradient of the initial state. The
    cache is used up: there is one backward pass per forward pass.
    """
    T, W_hh_T = len(dh), row_blocks(np.ascontiguousarray(params["W_hh"].T), dh.shape[2])  # one copy per window
    da, scratch, keep, alive = cache["a"][:T], cache["scratch"], cache.get("keep"), cache.get("alive")
    kept, states = [cache[name][:T][::-1] for name in cell.kept], [cache[name][:T][::-1] for name in cell.state]
    dstate = tuple(part.copy() for part in dstate)
    for t, da_t, kept_t, before in zip(reversed(range(T)), da[::-1], steps(kept), steps(states), strict=False):
        dstate[0][...] += dh[t]
        passed_by = ops.zoneout_backward(keep[t], dstate) if keep is not None else ()
        cell.backward_step(W_hh_T, da_t, kept_t, before, dstate, scratch)()
        for part, dpart in zip(passed_by, dstate, strict=False):
            dpart += part
        if alive is not None:
            for dpart in dstate:
                dpart *= alive[t]
    cell.add_gradients(da, cache, grads)
    return da, dstate


def layer_forward(cell: Cell, params: Params, x: Array, state: LayerState, cache: Cache) -> tuple[Array, LayerState]:
    """Run a layer over x (T, D, B) from a state; return h (T, H, B), a view into the cache, and the last state."""
    a = linear_forward(params["W_xh"], params["b_h"], x, cache["a"][: len(x)])
    return recurrence_forward(cell, params, a, state, cache)


def layer_backward(
    cell: Cell, params: Params, x: Array, dh: Array, dstate: LayerState, cache: Cache, grads: Params
) -> tuple[Array, LayerState]:
    """Go back from dh (T, H, B) and dstate; return dx (T, D, B) and the gradient of the initial state."""
    da, dstate0 = recurrence_backward(cell, params, dh, dstate, cache, grads)
    return linear_backward(da, params["W_xh"], x, grads["W_xh"], grads["b_h"]), dstate0


def layer_step(cell: Cell, params: Params, a: Array, v: Array, state: LayerState, zoneout: float = 0) -> Step:
    """Return one step of the recurrence for sampling: a and v as in Cell, (G·H, B); the state (H, B) moves in place.

    With zoneout it computes the expectation: each unit keeps that share of what it was.
    """
    step = cell.forward_step(params, a, v, tuple(np.empty_like(state[0]) for _ in cell.kept), state, state)
    if not zoneout:
        return step
    before = tuple(np.empty_like(part) for part in state)

    def run() -> None:
        for part, copy in zip(state, before, strict=True):
            copy[...] = part
        step()
        ops.zoneout_forward([zoneout] * len(state), before, state)

    return run
