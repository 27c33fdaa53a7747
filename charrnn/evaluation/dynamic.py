"""Dynamic evaluation: a network learns from the text that it scores, each character after its score.

After Krause, Kahembwe, Murray & Renals 2018, "Dynamic evaluation of neural sequence models". A segment is scored with
the weights that result from the segments before it. Then one backward pass through it, with no gradient from later
segments (as in a training window), gives the gradient g of its loss, and every weight moves:

    g ← g Q                                                 for a network trained with soap
    v ← β v + (1 - β) g²                                    the mean of squares over the segments 1 … k
    θ ← θ + λ (θ_0 - θ) - η g / (√(v / (1 - β^k)) + ε) Qᵀ   θ_0: the model's own weights, where θ starts

Q are the bases in which training by SOAP knew the gradients (core/optim.py). λ forgets what was learned long ago, for
texts that change their subject. The paper computes v once, on the training text, and makes λ larger where v is large; v
of the text being read does better and needs only the weights (docs/decisions.md).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from charrnn.core.cells.cell import Params, Shapes
from charrnn.core.model import CharRNN, parameter_shapes, views
from charrnn.core.ops import Array, Ids, cross_entropy_backward
from charrnn.core.optim import basis_shapes, drop_subnormals, rotations
from charrnn.core.score import Score, read

SEGMENT = 32  # ids between two updates
LEARNING_RATE, ROTATED_RATE = 2e-4, 3e-4  # η, without and with bases
DECAY = 1e-3  # λ
BETA = 0.999  # β
EPSILON = 1e-8  # ε


def score_dynamically(
    model: CharRNN, blocks: Iterable[Ids], start_id: int, bases: Array | None = None, lr: float | None = None
) -> Iterator[Score]:
    """Score ids as text.score does, by a copy of the model that learns from each segment once it is scored.

    `bases` are the slot Q of SOAP, if the model was trained with it. Yields the score so far after each segment. Memory
    is constant: a few vectors as long as the model's parameters. Raises DivergedError if a loss is not finite.
    """
    if lr is None:
        lr = LEARNING_RATE if bases is None else ROTATED_RATE
    learner, k, shapes = CharRNN(model.config, model.vector.copy()), 0, parameter_shapes(model.config)
    g, v = np.zeros_like(learner.vector), np.zeros_like(learner.vector)
    grads, Q = views(g, shapes), {} if bases is None else views(bases, basis_shapes(shapes))
    for reading in read(learner, blocks, start_id, SEGMENT):
        yield reading.score
        if not len(reading.y):
            continue
        k += 1
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite shows in the next segment's score
            g.fill(0)
            dlogits = cross_entropy_backward(reading.probs, reading.y, SEGMENT)  # a short segment counts for less
            learner.backward(dlogits, reading.x, reading.cache, grads)
            update(learner.vector, model.vector, g, v, shapes, Q, lr, k)


def update(params: Array, home: Array, grads: Array, v: Array, shapes: Shapes, Q: Params, lr: float, k: int) -> None:
    """Move params and v, each (P,), in place by the equations above, after segment k, counted from 1."""
    rotate(grads, shapes, Q)
    v *= BETA
    v += (1 - BETA) * np.square(grads)
    drop_subnormals(v)
    step = np.sqrt(v / (1 - BETA**k))
    step += EPSILON
    np.divide(grads, step, out=step)
    step *= lr
    rotate(step, shapes, {name: basis.T for name, basis in Q.items()})
    params += DECAY * (home - params)
    params -= step


def rotate(vector: Array, shapes: Shapes, Q: Params) -> None:
    """Multiply the matrices in a vector (P,) by their bases, in place; nothing without bases."""
    if Q:
        matrices = views(vector, shapes)
        for basis, (name, columns) in rotations(shapes).items():
            matrices[name][:, columns] = matrices[name][:, columns] @ Q[basis]
