"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as cuDNN and PyTorch have it.

    [r_t z_t] = σ([a_r a_z]_t + [W_r W_z] h_{t-1})       a = W_xh x + b_h, from outside; gates in the order r z n
    u_t       = W_n h_{t-1} + b_n                        W_hh is W_r, W_z and W_n, one below the other
    n_t       = tanh(a_n,t + r_t * u_t)
    h_t       = n_t + z_t * (h_{t-1} - n_t)

and backwards, with dh_next as in the Elman RNN:

    dh_next += dh_t
    da_n  = (1 - n²) * (1 - z) * dh_next                 du  = r * da_n,  the part of n that passes through W_n
    da_z  = z (1 - z) * (h_{t-1} - n) * dh_next          da_r = r (1 - r) * u * da_n
    dW_hh += [da_r da_z du]_t h_{t-1}ᵀ                   db_n += du_t,  for all t at once, after the loop
    dh_next = z * dh_next + W_hhᵀ [da_r da_z du]

The gates are written over a, da over the gates, and du over u.

Memory of a layer: (5T + 5)·H·B numbers (3T of a; T each of h and u; one step's scratch).
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
    """Return the shapes of the recurrent parameters."""
    return {"W_hh": (3 * H, H), "b_n": (H,)}


def cache(T: int, B: int, H: int, dtype: DTypeLike) -> Cache:
    """Allocate what backward needs, and one step's scratch."""
    return {
        "h": np.empty((T + 1, H, B), dtype),  # row 0 is the initial state
        "u": np.empty((T, H, B), dtype),
        "step": np.empty((4 * H, B), dtype),
    }


def forward(params: Params, a: Array, state: LayerState, cache: Cache) -> tuple[Array, LayerState]:
    """Run the recurrence over the input's part a (T, 3H, B); return h (T, H, B) and the last state."""
    T, W_hh, b_n = len(a), params["W_hh"], params["b_n"][:, None]
    H = len(b_n)
    h, v, keep, alive, out = cache["h"], cache["step"][: 3 * H], cache.get("keep"), cache.get("alive"), cache.get("out")
    (h[0],) = state
    for t in range(T):
        rz, n, u = a[t, : 2 * H], a[t, 2 * H :], cache["u"][t]
        reset_forward(alive, t, h)
        np.matmul(W_hh, h[t], out=v)
        rz += v[: 2 * H]
        squash(rz, 2 * H)
        np.add(v[2 * H :], b_n, out=u)
        np.multiply(rz[:H], u, out=v[:H])
        n += v[:H]
        np.tanh(n, out=n)
        np.subtract(h[t], n, out=h[t + 1])
        h[t + 1] *= rz[H:]
        h[t + 1] += n
        zoneout_forward(keep, t, h)
        if out is not None:
            out[t] = h[t + 1]
    return outputs(cache, T), (h[T].copy(),)


def backward(params: Params, dh: Array, dstate: LayerState, cache: Cache, grads: Params) -> tuple[Array, LayerState]:
    """Go back through the recurrence; add to dW_hh and db_n, return da (T, 3H, B) and the initial state's gradient."""
    T, H = dh.shape[:2]
    h, da, keep, alive = cache["h"], cache["a"][:T], cache.get("keep"), cache.get("alive")
    W_hh_T = np.ascontiguousarray(params["W_hh"].T)
    dh_next, dv, dh_z = dstate[0].copy(), cache["step"][: 3 * H], cache["step"][3 * H :]
    dr, dz, du, drz = dv[:H], dv[H : 2 * H], dv[2 * H :], dv[: 2 * H]
    for t in reversed(range(T)):
        rz, r, z, n, u = da[t, : 2 * H], da[t, :H], da[t, H : 2 * H], da[t, 2 * H :], cache["u"][t]
        dh_next += dh[t]
        past = zoneout_backward(keep, t, dh_next)
        np.subtract(h[t], n, out=dz)
        dz *= dh_next
        np.multiply(dh_next, z, out=dh_z)
        dh_next -= dh_z  # dn
        n *= n
        np.subtract(1, n, out=n)
        n *= dh_next  # da_n
        np.multiply(n, u, out=dr)
        np.multiply(n, r, out=du)
        drz *= rz  # σ' = σ (1 - σ)
        np.subtract(1, rz, out=rz)
        rz *= drz  # da_r da_z
        drz[...], u[...] = rz, du
        np.matmul(W_hh_T, dv, out=dh_next)
        dh_next += dh_z
        rejoin(past, dh_next)
        reset_backward(alive, t, dh_next)
    add_outer(grads["W_hh"][: 2 * H], da[:, : 2 * H], h[:T])
    add_outer(grads["W_hh"][2 * H :], cache["u"][:T], h[:T])
    grads["b_n"] += cache["u"][:T].sum(axis=0).sum(axis=1)
    return da, (dh_next,)


def step(params: Params, a: Array, v: Array, state: LayerState) -> Callable[[], None]:
    """Bind a single step of the recurrence to its arrays: a, v (3H, B), the state's h (H, B)."""
    (h,), b_n, H = state, params["b_n"][:, None], len(params["b_n"])
    rz, r, z, a_n, v_rz, u = a[: 2 * H], a[:H], a[H : 2 * H], a[2 * H :], v[: 2 * H], v[2 * H :]

    def run() -> None:
        np.add(rz, v_rz, out=rz)
        squash(rz, 2 * H)
        np.add(u, b_n, out=u)
        np.multiply(r, u, out=u)
        np.add(u, a_n, out=u)
        n = np.tanh(u, out=u)
        np.subtract(h, n, out=h)
        np.multiply(h, z, out=h)
        np.add(h, n, out=h)

    return run


gru = Cell(3, ("h",), (0, 0, 0), shapes, cache, forward, backward, step)
