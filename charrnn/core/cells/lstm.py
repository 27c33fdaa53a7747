"""Long short-term memory (Hochreiter & Schmidhuber 1997), with the forget gate of Gers et al. 2000.

    [i f o]_t = σ([a_i a_f a_o]_t)               a_t = W_xh x_t + b_h + W_hh h_{t-1}; gates in the order i f o g
    g_t       = tanh(a_g,t)
    c_t       = f_t * c_{t-1} + i_t * g_t
    h_t       = o_t * tanh(c_t)

Backward, with dh_next and dc_next from the step after, 0 after the last one:

    dh_next += dh_t
    dc_next += dh_next * o * (1 - tanh²(c_t))
    da_i  = i (1 - i) * g * dc_next              da_f = f (1 - f) * c_{t-1} * dc_next
    da_o  = o (1 - o) * tanh(c_t) * dh_next      da_g = (1 - g²) * i * dc_next
    dW_hh += da_t h_{t-1}ᵀ                       for all t at once, after the loop
    dh_next = W_hhᵀ da_t                         dc_next = f * dc_next

The forget gate's bias starts at 1, so that a new network remembers (Jozefowicz et al. 2015).

The gates are written over a, and da over the gates.

Memory of a layer: (7T + 6)·H·B numbers (4T for a; T each for h, c and tanh c; one step's scratch).
"""

import numpy as np

from charrnn.core.cells.cell import Cache, Cell, LayerState, Params, Shapes, Step
from charrnn.core.ops import ONE, Array, add_outer, product, squash


def shapes(H: int) -> Shapes:
    """Return the shape of the one recurrent parameter: the matrices of the gates, one below the other."""
    return {"W_hh": (4 * H, H)}


def forward_step(params: Params, a: Array, v: Array, kept: LayerState, before: LayerState, after: LayerState) -> Step:
    """Bind a step of the equations above to its arrays."""
    (tanh_c,), (_, c), (h_after, c_after) = kept, before, after
    H = len(c)
    i, f, o, g = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]

    def step() -> None:
        np.add(a, v, out=a)
        squash(a, 3 * H)
        np.multiply(f, c, out=c_after)
        np.multiply(i, g, out=tanh_c)
        np.add(c_after, tanh_c, out=c_after)
        np.tanh(c_after, out=tanh_c)
        np.multiply(o, tanh_c, out=h_after)

    return step


def backward_step(
    W_hh_T: Array, da: Array, kept: LayerState, before: LayerState, dstate: LayerState, scratch: Array
) -> Step:
    """Bind a step back to its arrays: `da` holds the gates, `scratch` (4H, B) takes the gates' gradients."""
    (tanh_c,), (_, c), (dh_next, dc_next) = kept, before, dstate
    H = len(c)
    i, f, o, g = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
    di, df, do, dg = scratch[:H], scratch[H : 2 * H], scratch[2 * H : 3 * H], scratch[3 * H :]
    sigmoids, dsigmoids = da[: 3 * H], scratch[: 3 * H]

    def step() -> None:
        np.multiply(tanh_c, dh_next, out=do)
        np.multiply(tanh_c, do, out=tanh_c)
        np.subtract(dh_next, tanh_c, out=dh_next)  # (1 - tanh²) dh
        np.multiply(dh_next, o, out=dh_next)
        np.add(dc_next, dh_next, out=dc_next)
        np.multiply(g, dc_next, out=di)
        np.multiply(c, dc_next, out=df)
        np.multiply(i, dc_next, out=dg)
        np.multiply(dc_next, f, out=dc_next)
        np.multiply(dsigmoids, sigmoids, out=dsigmoids)  # σ' = σ (1 - σ), and for g: 1 - g²
        np.subtract(ONE, sigmoids, out=sigmoids)
        np.multiply(sigmoids, dsigmoids, out=sigmoids)
        np.multiply(g, g, out=g)
        np.subtract(ONE, g, out=g)
        np.multiply(g, dg, out=g)
        product(W_hh_T, da, dh_next)

    return step


def add_gradients(da: Array, cache: Cache, grads: Params) -> None:
    """Add to dW_hh."""
    add_outer(grads["W_hh"], da, cache["h"][: len(da)])


lstm = Cell(4, ("h", "c"), ("tanh_c",), (0, 1, 0, 0), 4, shapes, forward_step, backward_step, add_gradients)
