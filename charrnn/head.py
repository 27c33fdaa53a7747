"""The output layer in training: logits, softmax, loss and gradients of a few steps at a time.

Nothing here looks from one step to another. So the columns of several steps stand side by side, as if they were one
step of more streams, and a product reads the weights once for all of them. As many go together as BLOCK logits hold:
all of them where there are few symbols. Of 10,000, the logits of a whole window of 64 x 32 would be 82 MB.
"""

import numpy as np

from charrnn.ops import Array, Ids, columns, cross_entropy_backward, cross_entropy_forward, linear_forward

BLOCK = 1 << 22  # logits at a time


def steps_at_once(T: int, V: int, B: int) -> int:
    """Return of how many of T steps a block holds the logits, V·B a step: of one at least."""
    return max(1, min(T, BLOCK // (V * B)))


def head_forward_backward(
    W: Array, b: Array, h: Array, y: Ids, count: int, dW: Array, db: Array
) -> tuple[Array, Array]:
    """Read h (T, H, B) and targets y (T, B), of which one below 0 is none, with W (V, H) and b (V,).

    Return what the targets cost in nats, (T, B), and dh (T, H, B), the gradient of the summed costs divided by count;
    add those of W and b to dW and db.
    """
    (T, B), V = y.shape, len(W)
    nats, dh, steps = np.empty(y.shape, h.dtype), np.empty_like(h), steps_at_once(T, V, B)
    for begin in range(0, T, steps):
        some = slice(begin, begin + steps)
        x, targets = columns(h[some]), y[some].reshape(1, -1)
        logits = linear_forward(W, b, x[None], np.empty((1, V, targets.size), h.dtype))
        nats[some] = cross_entropy_forward(logits, targets).reshape(-1, B)
        dlogits = cross_entropy_backward(logits, targets, count)[0]
        dW += dlogits @ x.T
        db += dlogits @ np.ones(targets.size, h.dtype)  # numpy takes the sum in forty times as long
        dh[some] = (W.T @ dlogits).reshape(len(x), -1, B).transpose(1, 0, 2)
    return nats, dh
