"""The passes that all networks share, as pairs: each backward stands below its forward and mirrors it.

Activations are feature-major, (T, features, B): T steps of B streams, one column a stream. Parameter gradients are
added to (`+=`); the gradient that is returned belongs to the input. docs/bptt.md derives every line.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Ids = NDArray[np.integer]

BLOCK = 512  # columns whose symbols are told apart at a time


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
    db += dy.sum(axis=0).sum(axis=1)  # over both axes in one call numpy takes six times as long
    dx: Array = np.matmul(np.ascontiguousarray(W.T), dy)
    return dx


def squash(a: Array, sigmoids: int) -> None:
    """Turn a (rows, B) in place into σ(a) in the first rows and tanh(a) in the others: σ(a) = ½ + ½·tanh(a/2)."""
    first = a[:sigmoids]
    first *= 0.5
    np.tanh(a, out=a)
    first *= 0.5
    first += 0.5


def bernoulli(rng: np.random.Generator, p: float, out: Array) -> float:
    """Fill out with independent numbers that are 1 with probability p and else 0; return p as it was.

    It is rounded to 1/65536, and at least that: sixteen random bits a number are drawn in a fifth of a float's time.
    """
    level = max(1, round(p * 65536))
    words = rng.integers(0, 2**64, -(-out.size // 4), np.uint64)
    np.less_equal(words.view(np.uint16)[: out.size].reshape(out.shape), level - 1, out=out, casting="unsafe")
    return level / 65536


def draw_dropout(rng: np.random.Generator, rate: float, mask: Array) -> None:
    """Fill a mask with 0, with probability rate, and else 1 / (1 - rate), so that what it multiplies keeps its mean.

    So nothing needs to be done at test time: inverted dropout, after Srivastava et al. 2014.
    """
    mask *= 1 / bernoulli(rng, 1 - rate, mask)


def dropout_forward(x: Array, mask: Array, out: Array) -> Array:
    """Return mask * x for x (T, H, B), in out; a mask (T, H, B) has its own row a step, (1, H, B) one for all steps."""
    return np.multiply(x, mask, out=out)


def dropout_backward(dy: Array, mask: Array) -> Array:
    """Turn dy (T, H, B) in place into dx = mask * dy."""
    dy *= mask
    return dy


def zoneout_forward(keep: Array | None, t: int, *states: Array) -> None:
    """Let the units of step t keep what they were: row t+1 becomes keep * row t + (1 - keep) * row t+1, in place.

    keep (T, S, H, B) is 0 or 1 in training, the probability at test time; None is no zoneout. Each of the S parts of
    the state is (T+1, H, B). Krueger et al. 2017.
    """
    if keep is not None:
        for kept, state in zip(keep[t], states, strict=True):
            state[t + 1] *= 1 - kept
            state[t + 1] += kept * state[t]


def zoneout_backward(keep: Array | None, t: int, *dstates: Array) -> list[Array]:
    """Part the gradients (H, B) of the state after step t: leave in place what the cell goes through.

    Return what passes the cell by, for rejoin to add to the gradients of the state before; nothing without zoneout.
    """
    if keep is None:
        return []
    past = [kept * dstate for kept, dstate in zip(keep[t], dstates, strict=True)]
    for dstate, part in zip(dstates, past, strict=True):
        dstate -= part
    return past


def rejoin(past: list[Array], *dstates: Array) -> None:
    """Add what passed the cell by to the gradients (H, B) of the state before, if anything did."""
    for part, dstate in zip(past, dstates, strict=False):
        dstate += part


def reset_forward(alive: Array | None, t: int, *states: Array) -> None:
    """Let streams begin anew at step t: row t of each state (T+1, H, B) becomes alive[t] * row t, in place.

    alive (T, B) is 0 where a line begins and else 1; None is one text without an end, which costs nothing.
    """
    if alive is not None:
        for state in states:
            state[t] *= alive[t]


def reset_backward(alive: Array | None, t: int, *dstates: Array) -> None:
    """Turn the gradients (H, B) of the state that step t found into those of the state that the step before left.

    Where a line begins nothing goes back.
    """
    if alive is not None:
        for dstate in dstates:
            dstate *= alive[t]


def embedding_forward(W: Array, x: Ids, out: Array) -> Array:
    """Return row x[t, b] of W (V, D) as column b of step t: ids x (T, B) -> out (T, D, B)."""
    out[...] = W[x].transpose(0, 2, 1)
    return out


def embedding_backward(dy: Array, x: Ids, dW: Array) -> None:
    """Add each column of dy (T, D, B) to the row of dW (V, D) that it came from.

    That is the product of the one-hot columns of x with dyᵀ, taken BLOCK columns at a time and for the symbols among
    them alone, so that its cost does not grow with V.
    """
    ids, dy_columns = x.reshape(-1), columns(dy)
    for start in range(0, ids.size, BLOCK):
        block = slice(start, start + BLOCK)
        symbols, place = np.unique(ids[block], return_inverse=True)
        onehot = (np.arange(len(symbols))[:, None] == place.reshape(-1)).astype(dy.dtype)
        dW[symbols] += onehot @ dy_columns[:, block].T


def alphabet(x: Ids) -> tuple[Ids, Ids]:
    """Return the symbols that occur in a window x (T, B) as a window (S, B) of their own, and where each of x stands.

    Each stands there once, in order; the end of the last row is filled with symbol 0. Where is (T, B), counted row
    by row.
    """
    symbols, places = np.unique(x, return_inverse=True)
    S = -(-len(symbols) // x.shape[1])
    rows = np.zeros(S * x.shape[1], x.dtype)
    rows[: len(symbols)] = symbols
    return rows.reshape(S, x.shape[1]), places.reshape(x.shape)


@np.errstate(over="ignore", invalid="ignore")  # of logits that are not finite the loss is not, which tells
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
