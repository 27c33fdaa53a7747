"""The operations that all networks share, in pairs: each backward stands below its forward and mirrors it.

Activations are feature-major, (T, features, B): T steps of B streams, one column per stream. Parameter gradients are
added to (`+=`); the gradient that is returned is the input's. docs/bptt.md derives every line.
"""

import math
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Ids = NDArray[np.integer]
Parts = Sequence[Array]  # of a state or its gradient
Part = tuple[slice, int] | None  # some streams of a batch, and the batch's number of streams; None for all

HALF, ONE = np.array(0.5, np.float32), np.array(1, np.float32)  # a call with an array takes less than with a number
COLUMNS = 1024  # summed over at a time: larger copies would fall out of the cache
SMALL = 10**6  # multiplications: OpenBLAS has kernels that copy nothing for products up to this size
KERNELS = ("SkylakeX", "Cooperlake", "Sapphirerapids")  # that have them, by their names in OPENBLAS_CORETYPE


def numpy_build() -> tuple[dict[str, str], list[str]]:
    """Return what NumPy says of its matrix library, and of the processor's features; it leaves out what is empty."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    return built["Build Dependencies"]["blas"], built.get("SIMD Extensions", {}).get("found", [])


def has_small_kernels() -> bool:
    """Return whether the matrix library has such kernels: OpenBLAS on a processor with AVX-512."""
    library, vectors = numpy_build()
    kernel = os.environ.get("OPENBLAS_CORETYPE", "SkylakeX")
    return "openblas" in library["name"] and kernel in KERNELS and ("X86_V4" in vectors or "AVX512_SKX" in vectors)


ROW_BLOCKS = has_small_kernels()


@cache
def block_size(E: int, D: int, B: int) -> int:
    """Return into blocks of how many rows to cut a matrix (E, D) that is multiplied by B columns.

    It follows from the shapes and the matrix library alone, since the last bits of a large product depend on it.
    """
    if not ROW_BLOCKS or E * D * B <= SMALL or B > 64:
        return E
    fits = [rows for rows in range(math.ceil(6144 / B**2), SMALL // (D * B) + 1) if E % rows == 0]
    return max(fits, key=lambda rows: (rows % 12 == 0, rows), default=E)  # the kernels compute twelve rows at a time


def row_blocks(W: Array, B: int) -> Array:
    """Return W (E, D), or a view (n, E/n, D) of it: n products with B columns where they are faster than one."""
    rows = block_size(*W.shape, B)
    return W if rows == len(W) else W.reshape(-1, rows, W.shape[1])


def product(W: Array, x: Array, out: Array) -> Array:
    """Write W x to out (…, E, B) and return it, for x (…, D, B) and W from row_blocks."""
    if W.ndim == 2:
        return np.matmul(W, x, out)
    np.matmul(W, x[..., None, :, :], out.reshape(*out.shape[:-2], *W.shape[:2], out.shape[-1]))
    return out


def columns(x: Array) -> Array:
    """Return (T, D, B) as the matrix (D, T·B) of all its columns, so that a sum over steps is one product."""
    if x.strides[2] != x.itemsize:
        return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(x.shape[1], -1)
    rows = x.view(f"V{x.itemsize * x.shape[2]}")[:, :, 0]  # a row of B numbers as one item: copied in half the time
    return np.ascontiguousarray(rows.T).view(x.dtype)


def blocks_of_steps(x: Array) -> list[slice]:
    """Cut the steps of x (T, D, B) evenly into blocks of about COLUMNS columns each."""
    T, _, B = x.shape
    count = max(1, min(T, round(T * B / COLUMNS)))
    return [slice(T * k // count, T * (k + 1) // count) for k in range(count)]


def add_outer(dW: Array, dy: Array, x: Array) -> None:
    """Add Σ_t dy_t x_tᵀ to dW (E, D), for dy (T, E, B) and x (T, D, B): one product per block of steps."""
    for steps in blocks_of_steps(dy):
        dW += columns(dy[steps]) @ columns(x[steps]).T


def linear_forward(W: Array, b: Array, x: Array, out: Array) -> Array:
    """Return y_t = W x_t + b for W (E, D), b (E,), x (T, D, B), in out (T, E, B)."""
    product(row_blocks(W, x.shape[2]), x, out)
    out += b[:, None]
    return out


def linear_backward(dy: Array, W: Array, x: Array, dW: Array, db: Array) -> Array:
    """Add Σ_t dy_t x_tᵀ to dW and Σ_t dy_t to db; return dx_t = Wᵀ dy_t, (T, D, B), for dy (T, E, B)."""
    add_outer(dW, dy, x)
    db += dy.sum(axis=0).sum(axis=1)  # six times as fast as a sum over both axes in one call
    dx = np.empty((len(x), W.shape[1], x.shape[2]), x.dtype)
    return product(row_blocks(np.ascontiguousarray(W.T), x.shape[2]), dy, dx)


def squash(a: Array, sigmoids: int) -> None:
    """Replace a (rows, B) in place by σ(a) in the first rows and tanh(a) in the others: σ(a) = ½ + ½·tanh(a/2)."""
    first = a[:sigmoids]
    np.multiply(first, HALF, first)
    np.tanh(a, a)
    np.multiply(first, HALF, first)
    np.add(first, HALF, first)


def bernoulli(rng: np.random.Generator, p: float, out: Array, part: Part = None) -> float:
    """Fill out (…, b) with independent numbers that are 1 with probability p and else 0; return the probability used.

    Numbers are drawn for all streams of a batch, and `part` says which columns to keep; by default out has them all.
    The probability is p rounded to a multiple of 1/65536, at least one: sixteen bits take a fifth of a float's time.
    """
    level, (streams, B) = max(1, round(p * 65536)), part or (slice(None), out.shape[-1])
    size = out.size // out.shape[-1] * B
    drawn = rng.integers(0, 2**64, -(-size // 4), np.uint64).view(np.uint16)[:size].reshape(*out.shape[:-1], B)
    np.less_equal(drawn[..., streams], level - 1, out=out, casting="unsafe")
    return level / 65536


def draw_dropout(rng: np.random.Generator, rate: float, mask: Array, part: Part = None) -> None:
    """Fill a mask with 0, with probability rate, and else 1 / (1 - rate), so that the product's mean is unchanged.

    Nothing is then left to do at test time: inverted dropout, after Srivastava et al. 2014. Part as in bernoulli.
    """
    mask *= 1 / bernoulli(rng, 1 - rate, mask, part)


def dropout_forward(x: Array, mask: Array, out: Array) -> Array:
    """Return mask * x for x (T, H, B), in out; a mask is (T, H, B), or (1, H, B) for all steps alike."""
    return np.multiply(x, mask, out=out)


def dropout_backward(dy: Array, mask: Array) -> Array:
    """Turn dy (T, H, B) in place into dx = mask * dy."""
    dy *= mask
    return dy


def zoneout_forward(keep: Sequence[Array | float], before: Parts, after: Parts) -> None:
    """Let some units keep what they were: after becomes keep * before + (1 - keep) * after, in place.

    For each part of the state (H, B): keep is 0 or 1 in training and a probability at test time. Krueger et al. 2017.
    """
    for kept, old, new in zip(keep, before, after, strict=True):
        new *= 1 - kept
        new += kept * old


def zoneout_backward(keep: Array, dafter: Parts) -> Parts:
    """Split the gradients (H, B) of the state after a step: leave in place what goes back through the cell.

    Return what passes the cell by, to be added to the gradients of the state before.
    """
    passed_by = [kept * dstate for kept, dstate in zip(keep, dafter, strict=True)]
    for dstate, part in zip(dafter, passed_by, strict=True):
        dstate -= part
    return passed_by


def embedding_forward(W: Array, x: Ids) -> Array:
    """Return row x[t, b] of W (V, D) as column b of step t: ids x (T, B) -> (T, D, B)."""
    return np.ascontiguousarray(W[x].transpose(0, 2, 1))


def embedding_backward(dy: Array, x: Ids, dW: Array) -> None:
    """Add each column of dy (T, D, B) to the row of dW (V, D) that it came from, by ids x (T, B).

    That is the product of the one-hot columns of x with dyᵀ, taken one block of steps at a time and only over the
    symbols that occur in it, so that its cost does not grow with V.
    """
    for steps in blocks_of_steps(dy):
        symbols, place = np.unique(x[steps], return_inverse=True)
        onehot = (np.arange(len(symbols))[:, None] == place.reshape(-1)).astype(dy.dtype)
        dW[symbols] += onehot @ columns(dy[steps]).T


def distinct_symbols(x: Ids) -> tuple[Ids, Ids]:
    """Return the distinct symbols of a window x (T, B), as a window (S, B), and the place of each id in it.

    The symbols ascend; the end of the last row is filled with symbol 0. Places (T, B) count along the rows.
    """
    symbols, places = np.unique(x, return_inverse=True)
    S = -(-len(symbols) // x.shape[1])
    rows = np.zeros(S * x.shape[1], x.dtype)
    rows[: len(symbols)] = symbols
    return rows.reshape(S, x.shape[1]), places.reshape(x.shape)


@np.errstate(over="ignore", invalid="ignore")  # logits that are not finite give such a loss, which callers check
def cross_entropy_forward(logits: Array, y: Ids) -> Array:
    """Return -log p(y[t, b]) in nats, (T, B), and turn logits (T, V, B) into probabilities in place.

    A target below 0 means no target: its loss is 0.
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
