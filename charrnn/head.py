"""The output layer in training: logits, softmax, loss and gradients of a few steps at a time.

All steps at once take T·V·B numbers twice over: the logits, which become their own gradient, and its columns for
the gradient of the weights. With 10,000 symbols each is 82 MB for a window of 64 x 32. Step after step would make as
many small products. So as many steps go together as BLOCK numbers hold: all of them where V is small.
"""

import numpy as np

from charrnn.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward, linear_backward, linear_forward

BLOCK = 1 << 22  # logits at a time


def head_steps(T: int, V: int, B: int) -> int:
    """Return how many of T steps go together."""
    return max(1, min(T, BLOCK // (V * B)))


def head_forward_backward(
    W: Array, b: Array, h: Array, y: Ids, count: int, dW: Array, db: Array, logits: Array
) -> tuple[Array, Array]:
    """Read h (T, H, B) and the targets y (T, B), of which a target below 0 is none; logits (k, V, B) is workspace.

    Return the costs in nats, (T, B), and dh (T, H, B), the gradient of the sum of costs divided by count; add those of
    W (V, H) and b (V,) to dW and db.
    """
    nats, dh = np.empty(y.shape, h.dtype), np.empty_like(h)
    for begin in range(0, len(h), len(logits)):
        part = slice(begin, begin + len(logits))
        some = linear_forward(W, b, h[part], logits[: len(h[part])])
        nats[part] = cross_entropy_forward(some, y[part])
        dh[part] = linear_backward(cross_entropy_backward(some, y[part], count), W, h[part], dW, db)
    return nats, dh
