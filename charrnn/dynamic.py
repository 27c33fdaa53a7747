"""Dynamic evaluation: a network learns from the text that it is scored on, each character after its score.

After Krause, Kahembwe, Murray & Renals 2018, "Dynamic evaluation of neural sequence models". A segment is read and
scored with the weights that the segments before it have made. Then one backward pass through it, which begins with no
gradient from later, as a window of training does, gives the gradient g of its loss, and every weight moves:

    v ← β v + (1 - β) g²                                    the mean of squares over the segments 1 … k
    θ ← θ + λ (θ_0 - θ) - η g / (√(v / (1 - β^k)) + ε)      θ_0: the model's own weights, where θ begins

λ forgets what was learnt long ago, so that a text may change its subject. The paper takes v from the training text,
once, and λ larger where v is; v of the text that is read does better and needs nothing but the weights
(docs/decisions.md).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from charrnn.evaluate import Reading, Score, read
from charrnn.model import CharRNN, parameter_shapes, views
from charrnn.ops import Array, Ids, cross_entropy_backward
from charrnn.optim import drop_subnormals

SEGMENT = 32  # ids between two updates
LEARNING_RATE = 2e-4  # η
DECAY = 1e-3  # λ
BETA = 0.999  # β
EPSILON = 1e-8  # ε


def score_dynamically(
    model: CharRNN, blocks: Iterable[Ids], start_id: int, lr: float = LEARNING_RATE
) -> Iterator[Score]:
    """Score ids as evaluate.score does, by a copy of the model that learns from each segment once it is scored.

    Yields the score so far after each segment, in constant memory: a few vectors as long as the parameters beside the
    model's own. Raises DivergedError if a score is not finite.
    """
    learner, k = CharRNN(model.config, model.vector.copy()), 0
    gradient, v = np.zeros_like(learner.vector), np.zeros_like(learner.vector)
    for reading in read(learner, blocks, start_id, SEGMENT):
        yield reading.score
        if len(reading.y):
            k += 1
            differentiate(learner, reading, gradient)
            update(learner.vector, model.vector, gradient, v, lr, k)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite shows in the next segment's score
def differentiate(model: CharRNN, reading: Reading, gradient: Array) -> None:
    """Write the gradient (P,) of the segment just read, its loss divided by SEGMENT: a short one counts for less."""
    gradient.fill(0)
    dlogits = cross_entropy_backward(reading.probs, reading.y, SEGMENT)
    model.backward(dlogits, reading.x, reading.cache, views(gradient, parameter_shapes(model.config)))


@np.errstate(over="ignore", invalid="ignore")
def update(params: Array, home: Array, grads: Array, v: Array, lr: float, k: int) -> None:
    """Move params and v, each (P,), in place by the equations above, after segment k, which is 1 at first."""
    v *= BETA
    v += (1 - BETA) * np.square(grads)
    drop_subnormals(v)
    step = np.sqrt(v / (1 - BETA**k))
    step += EPSILON
    np.divide(grads, step, out=step)
    step *= lr
    params += DECAY * (home - params)
    params -= step
