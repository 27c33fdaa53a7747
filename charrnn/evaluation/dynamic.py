"""Dynamic evaluation: a network learns from the text that it scores, each character after its score.

After Krause, Kahembwe, Murray & Renals 2018, "Dynamic evaluation of neural sequence models". A segment is scored with
the weights that result from the segments before it. Then one backward pass through it, with no gradient from later
segments (as in a training window), gives the gradient g of its loss, and every weight moves:

    v ← β v + (1 - β) g²                                    the mean of squares over the segments 1 … k
    θ ← θ + λ (θ_0 - θ) - η g / (√(v / (1 - β^k)) + ε)      θ_0: the model's own weights, where θ starts

λ forgets what was learned long ago, for texts that change their subject. The paper computes v once, on the training
text, and makes λ larger where v is large; v of the text being read does better and needs only the weights
(docs/decisions.md).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from charrnn.core.model import CharRNN, parameter_shapes, views
from charrnn.core.ops import Array, Ids, cross_entropy_backward
from charrnn.core.optim import drop_subnormals
from charrnn.core.score import Score, read

SEGMENT = 32  # ids between two updates
LEARNING_RATE = 2e-4  # η
DECAY = 1e-3  # λ
BETA = 0.999  # β
EPSILON = 1e-8  # ε


def score_dynamically(
    model: CharRNN, blocks: Iterable[Ids], start_id: int, lr: float = LEARNING_RATE
) -> Iterator[Score]:
    """Score ids as text.score does, by a copy of the model that learns from each segment once it is scored.

    Yields the score so far after each segment. Memory is constant: a few vectors as long as the model's parameters.
    Raises DivergedError if a loss is not finite.
    """
    learner, k = CharRNN(model.config, model.vector.copy()), 0
    g, v = np.zeros_like(learner.vector), np.zeros_like(learner.vector)
    grads = views(g, parameter_shapes(model.config))
    for reading in read(learner, blocks, start_id, SEGMENT):
        yield reading.score
        if not len(reading.y):
            continue
        k += 1
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the next segment's score
            g.fill(0)
            dlogits = cross_entropy_backward(reading.probs, reading.y, SEGMENT)  # a short segment counts for less
            learner.backward(dlogits, reading.x, reading.cache, grads)
            update(learner.vector, model.vector, g, v, lr, k)


def update(params: Array, home: Array, grads: Array, v: Array, lr: float, k: int) -> None:
    """Move params and v, each (P,), in place by the equations above, after segment k, counted from 1."""
    v *= BETA
    v += (1 - BETA) * np.square(grads)
    drop_subnormals(v)
    step = np.sqrt(v / (1 - BETA**k))
    step += EPSILON
    np.divide(grads, step, out=step)
    step *= lr
    params += DECAY * (home - params)
    params -= step
