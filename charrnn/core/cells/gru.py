"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as in cuDNN and PyTorch.

    [r_t z_t] = σ([a_r a_z]_t + [W_r W_z] h_{t-1})       a = W_xh x + b_h; gates in the order r z n
    u_t       = W_n h_{t-1} + b_n                        W_hh is W_r, W_z and W_n, one below the other
    n_t       = tanh(a_n,t + r_t * u_t)
    h_t       = n_t + z_t * (h_{t-1} - n_t)

Backward, with dh_next as in the Elman RNN:

    dh_next += dh_t
    da_n  = (1 - n²) * (1 - z) * dh_next                 du  = r * da_n,  the part of n that passes through W_n
    da_z  = z (1 - z) * (h_{t-1} - n) * dh_next          da_r = r (1 - r) * u * da_n
    dW_hh += [da_r da_z du]_t h_{t-1}ᵀ                   db_n += du_t,  for all t at once, after the loop
    dh_next = z * dh_next + W_hhᵀ [da_r da_z du]

The gates are written over a, da over the gates, and du over u.

Memory of a layer: (5T + 5)·H·B numbers (3T for a; T each for h and u; one step's scratch).
"""

import numpy as np

from charrnn.core.cells.cell import Cache, Cell, LayerState, Params, Shapes, Step
from charrnn.core.ops import ONE, Array, add_outer, product, squash


def shapes(H: int) -> Shapes:
    """Return the shapes of the recurrent parameters."""
    return {"W_hh": (3 * H, H), "b_n": (H,)}


def forward_step(params: Params, a: Array, v: Array, kept: LayerState, before: LayerState, after: LayerState) -> Step:
    """Bind a step of the equations above to its arrays."""
    (u,), (h,), (h_after,), b_n = kept, before, after, params["b_n"][:, None]
    H = len(h)
    rz, r, z, n = a[: 2 * H], a[:H], a[H : 2 * H], a[2 * H :]
    v_rz, ru, v_n = v[: 2 * H], v[:H], v[2 * H :]

    def step() -> None:
        np.add(rz, v_rz, out=rz)
        squash(rz, 2 * H)
        np.add(v_n, b_n, out=u)
        np.multiply(r, u, out=ru)
        np.add(n, ru, out=n)
        np.tanh(n, out=n)
        np.subtract(h, n, out=h_after)
        np.multiply(h_after, z, out=h_after)
        np.add(h_after, n, out=h_after)

    return step


def backward_step(
    W_hh_T: Array, da: Array, kept: LayerState, before: LayerState, dstate: LayerState, scratch: Array
) -> Step:
    """Bind a step back to its arrays: `da` holds the gates, `scratch` (4H, B) takes [da_r da_z du] and z * dh_next."""
    (u,), (h,), (dh_next,) = kept, before, dstate
    H = len(h)
    rz, r, z, n = da[: 2 * H], da[:H], da[H : 2 * H], da[2 * H :]
    dv, dr, dz, du, drz = scratch[: 3 * H], scratch[:H], scratch[H : 2 * H], scratch[2 * H : 3 * H], scratch[: 2 * H]
    dh_z = scratch[3 * H :]

    def step() -> None:
        np.subtract(h, n, out=dz)
        np.multiply(dz, dh_next, out=dz)
        np.multiply(dh_next, z, out=dh_z)
        np.subtract(dh_next, dh_z, out=dh_next)  # dn
        np.multiply(n, n, out=n)
        np.subtract(ONE, n, out=n)
        np.multiply(n, dh_next, out=n)  # da_n
        np.multiply(n, u, out=dr)
        np.multiply(n, r, out=du)
        np.multiply(drz, rz, out=drz)  # σ' = σ (1 - σ)
        np.subtract(ONE, rz, out=rz)
        np.multiply(rz, drz, out=rz)  # da_r da_z
        drz[...], u[...] = rz, du
        product(W_hh_T, dv, dh_next)
        np.add(dh_next, dh_z, out=dh_next)

    return step


def add_gradients(da: Array, cache: Cache, grads: Params) -> None:
    """Add to dW_hh and db_n."""
    T, rows, _ = da.shape
    rz, du, h = slice(rows // 3 * 2), cache["u"][:T], cache["h"][:T]
    add_outer(grads["W_hh"][rz], da[:, rz], h)
    add_outer(grads["W_hh"][rz.stop :], du, h)
    grads["b_n"] += du.sum(axis=0).sum(axis=1)


gru = Cell(3, ("h",), ("u",), (0, 0, 0), 4, shapes, forward_step, backward_step, add_gradients)
