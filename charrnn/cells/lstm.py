"""Long short-term memory (Hochreiter & Schmidhuber 1997), with the forget gate of Gers et al. 2000.

    [i f o]_t = σ([a_i a_f a_o]_t)               a_t = W_xh x_t + b_h + W_hh h_{t-1}; gates in the order i f o g
    g_t       = tanh(a_g,t)
    c_t       = f_t * c_{t-1} + i_t * g_t
    h_t       = o_t * tanh(c_t)

and backwards, with dh_next and dc_next of the step after, 0 after the last one:

    dh_next += dh_t
    dc_next += dh_next * o * (1 - tanh²(c_t))
    da_i  = i (1 - i) * g * dc_next              da_f = f (1 - f) * c_{t-1} * dc_next
    da_o  = o (1 - o) * tanh(c_t) * dh_next      da_g = (1 - g²) * i * dc_next
    dW_hh += da_t h_{t-1}ᵀ                       for all t at once, after the loop
    dh_next = W_hhᵀ da_t                         dc_next = f * dc_next

The forget gate's bias begins at 1, so that a new network remembers (Jozefowicz et al. 2015).

The gates are written over a, and da over the gates.

Memory of a layer: (7T + 6)·H·B numbers (4T for a; T each for h, c and tanh c; one step's scratch).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from charrnn.cells.cell import Cache, Cell, LayerState, Params, Shapes, outputs
from charrnn.ops import (
    Array,
    add_outer,
    rejoin,
    reset_backward,
    reset_forward,
    squash,
    zoneout_backward,
    zoneout_forward,
)


def shapes(H: int) -> Shapes:
    """Return the shape of the one recurrent parameter, the gates' matrices one below the other."""
    return {"W_hh": (4 * H, H)}


def cache(T: int, B: int, H: int, dtype: DTypeLike) -> Cache:
    """Allocate what backward needs, and one step's scratch."""
    return {
        "h": np.empty((T + 1, H, B), dtype),  # row 0 is the initial state, here and in c
        "c": np.empty((T + 1, H, B), dtype),
        "tanh_c": np.empty((T, H, B), dtype),
        "step": np.empty((4 * H, B), dtype),
    }


def forward(params: Params, a: Array, state: LayerState, cache: Cache) -> tuple[Array, LayerState]:
    """Run the recurrence over the input's part a (T, 4H, B); return h (T, H, B) and the last state."""
    T, W_hh, H = len(a), params["W_hh"], params["W_hh"].shape[1]
    h, c, step = cache["h"], cache["c"], cache["step"]
    keep, alive, out = cache.get("keep"), cache.get("alive"), cache.get("out")
    h[0], c[0] = state
    for t in range(T):
        gates, tanh_c = a[t], cache["tanh_c"][t]
        i, f, o, g = gates.reshape(4, H, -1)
        reset_forward(alive, t, h, c)
        np.matmul(W_hh, h[t], out=step)
        gates += step
        squash(gates, 3 * H)
        np.multiply(f, c[t], out=c[t + 1])
        np.multiply(i, g, out=tanh_c)
        c[t + 1] += tanh_c
        np.tanh(c[t + 1], out=tanh_c)
        np.multiply(o, tanh_c, out=h[t + 1])
        zoneout_forward(keep, t, h, c)
        if out is not None:
            out[t] = h[t + 1]
    return outputs(cache, T), (h[T].copy(), c[T].copy())


def backward(params: Params, dh: Array, dstate: LayerState, cache: Cache, grads: Params) -> tuple[Array, LayerState]:
    """Go back through the recurrence; add to dW_hh, return da (T, 4H, B) and the initial state's gradient."""
    T, H = dh.shape[:2]
    h, c, da, keep, alive = cache["h"], cache["c"], cache["a"][:T], cache.get("keep"), cache.get("alive")
    W_hh_T = np.ascontiguousarray(params["W_hh"].T)
    dh_next, dc_next = (part.copy() for part in dstate)
    dgates = cache["step"]
    di, df, do, dg = dgates.reshape(4, H, -1)
    sigmoids, dsigmoids = slice(3 * H), dgates[: 3 * H]
    for t in reversed(range(T)):
        gates, tanh_c = da[t], cache["tanh_c"][t]
        i, f, o, g = gates.reshape(4, H, -1)
        dh_next += dh[t]
        past = zoneout_backward(keep, t, dh_next, dc_next)
        np.multiply(tanh_c, dh_next, out=do)
        tanh_c *= do
        dh_next -= tanh_c  # (1 - tanh²) dh
        dh_next *= o
        dc_next += dh_next
        np.multiply(g, dc_next, out=di)
        np.multiply(c[t], dc_next, out=df)
        np.multiply(i, dc_next, out=dg)
        dc_next *= f
        dsigmoids *= gates[sigmoids]  # σ' = σ (1 - σ), and for g: 1 - g²
        np.subtract(1, gates[sigmoids], out=gates[sigmoids])
        gates[sigmoids] *= dsigmoids
        g *= g
        np.subtract(1, g, out=g)
        g *= dg
        np.matmul(W_hh_T, gates, out=dh_next)
        rejoin(past, dh_next, dc_next)
        reset_backward(alive, t, dh_next, dc_next)
    add_outer(grads["W_hh"], da, h[:T])
    return da, (dh_next, dc_next)


def step(params: Params, a: Array, v: Array, state: LayerState) -> Callable[[], None]:
    """Bind a single step of the recurrence to its arrays: a, v (4H, B), the state's h and c (H, B)."""
    (h, c), H = state, params["W_hh"].shape[1]
    i, f, o, g = (v[k * H : (k + 1) * H] for k in range(4))

    def run() -> None:
        np.add(v, a, out=v)
        squash(v, 3 * H)
        np.multiply(f, c, out=c)
        np.multiply(i, g, out=g)
        np.add(c, g, out=c)
        tanh_c = np.tanh(c, out=g)
        np.multiply(o, tanh_c, out=h)

    return run


lstm = Cell(4, ("h", "c"), (0, 1, 0, 0), shapes, cache, forward, backward, step)
