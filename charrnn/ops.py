"""The passes that all networks share, as pairs: each backward stands below its forward and mirrors it.

Activations are feature-major, (T, features, B): T steps of B streams, one column a stream. Parameter gradients are
added to (`+=`); the gradient that is returned belongs to the input. docs/bptt.md derives every line.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Ids = NDArray[np.integer]


def columns(x: Array) -> Array:
    """Return (T, D, B) as the matrix (D, T·B) of all its columns, so that a sum over steps is one product."""
    return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(x.shape[1], -1)


def linear_forward(W: Array, b: Array, x: Array, out: Array) -> Array:
    """Return y_t = W x_t + b for W (E, D), b (E,), x (T, D, B), in out (T, E, B)."""
    np.matmul(W, x, out=out)
    out += b[:, None]
    return out


def linear_backward(dy: Array, W: Array, x: Array, dW: Array, db: Array) -> Array:
    """Add Σ_t dy_t x_tᵀ to dW and Σ_t dy_t to db; return dx_t = Wᵀ dy_t, (T, D, B), for dy (T, E, B)."""
    dW += columns(dy) @ columns(x).T
    db += dy.sum(axis=(0, 2))
    dx: Array = np.matmul(np.ascontiguousarray(W.T), dy)
    return dx


def squash(a: Array, sigmoids: int) -> None:
    """Turn a (rows, B) in place into σ(a) in the first rows and tanh(a) in the others: σ(a) = ½ + ½·tanh(a/2)."""
    first = a[:sigmoids]
    first *= 0.5
    np.tanh(a, out=a)
    first *= 0.5
    first += 0.5


def embedding_forward(W: Array, x: Ids, out: Array) -> Array:
    """Return row x[t, b] of W (V, D) as column b of step t: ids x (T, B) -> out (T, D, B)."""
    out[...] = W[x].transpose(0, 2, 1)
    return out


def embedding_backward(dy: Array, x: Ids, dW: Array) -> None:
    """Add each column of dy (T, D, B) to the row of dW (V, D) that it came from.

    Sorted by id, the columns of one symbol lie together and are summed in one run: no scatter, one order of sums.
    """
    flat = x.reshape(-1)
    order = np.argsort(flat, kind="stable")
    ids, starts = np.unique(flat[order], return_index=True)
    rows = dy.transpose(0, 2, 1).reshape(-1, dy.shape[1])  # (T·B, D)
    dW[ids] += np.add.reduceat(rows[order], starts, axis=0)


def cross_entropy_forward(logits: Array, y: Ids) -> Array:
    """Return -log p(y[t, b]) in nats, (T, B), and turn logits (T, V, B) into the probabilities in place.

    A target below 0 is none: it costs nothing.
    """
    logits -= logits.max(axis=1, keepdims=True)
    target = np.take_along_axis(logits, np.maximum(y, 0)[:, None], axis=1)[:, 0]  # (T, B)
    probs = np.exp(logits, out=logits)
    total = probs.sum(axis=1, keepdims=True)
    probs /= total
    nats: Array = np.log(total[:, 0]) - target
    nats[y < 0] = 0
    return nats


def cross_entropy_backward(probs: Array, y: Ids, count: int) -> Array:
    """Turn probabilities (T, V, B) in place into the gradient of the mean of `count` targets, (p - onehot) / count."""
    t, b = np.nonzero(y >= 0)
    probs[t, y[t, b], b] -= 1
    probs *= 1 / count
    if len(t) < y.size:
        probs *= (y >= 0)[:, None]
    return probs
