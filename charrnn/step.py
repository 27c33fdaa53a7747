"""One training step: the next window of every stream, back through it, and one update.

The streams of a batch are read in parts side by side, a core each, and so are the networks of an ensemble. Every part
has its own workspace and adds to its own gradient; the step's gradient is their sum.
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import Cache, Params, State
from charrnn.checkpoint import Checkpoint
from charrnn.config import ModelConfig, Stream, TrainConfig
from charrnn.corpus import Streams
from charrnn.errors import DivergedError
from charrnn.model import CharRNN, parameter_shapes, size_of, views
from charrnn.network import Network
from charrnn.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.optim import OPTIMIZERS, clip_by_global_norm, update
from charrnn.schedule import lr_at
from charrnn.threads import cores, side_by_side

STREAMS = 16  # the fewest that are worth a core: below, products and what surrounds them are too small


@dataclass(frozen=True)
class StepReport:
    """A step was done. loss in nats a character, before the update; grad_norm before clipping."""

    step: int  # steps done
    loss: float
    lr: float
    grad_norm: float
    chars: int  # characters predicted in it


class Part(NamedTuple):
    """Some streams of a batch, and what reading them writes over: nothing in it outlives the step."""

    columns: slice
    cache: Cache
    gradient: Array  # (P,)


def workspace(model: CharRNN, config: TrainConfig) -> list[Part]:
    """Share out the streams, and allocate what each part needs."""
    count = shares(model, config)
    bounds = [config.batch_size * part // count for part in range(count + 1)]
    columns = [slice(begin, end) for begin, end in pairwise(bounds)]
    caches = [model.cache(config.seq_len, part.stop - part.start, masks(config)) for part in columns]
    return [Part(*part, np.empty_like(model.vector)) for part in zip(columns, caches, strict=True)]


def shares(model: CharRNN, config: TrainConfig) -> int:
    """Return in how many parts the streams are read: a core each, of those that the networks leave."""
    return max(1, min(cores() // len(model.networks), config.batch_size // STREAMS))


def masks(config: TrainConfig) -> int:
    """Return how many dropout masks the workspace of a window has: one a step, one for the whole window, or none."""
    return config.seq_len if config.dropout else 1 if config.variational_dropout else 0


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found below
def train_step(checkpoint: Checkpoint, streams: Streams, work: list[Part]) -> StepReport:
    """Read the next window of every stream, go back through it, and update the parameters.

    Raises DivergedError, the checkpoint being as it was, when the loss or its gradient is not finite.
    """
    model, config, step = checkpoint.model, checkpoint.train, checkpoint.step
    x, y = streams.batch(step)
    chars = int(np.count_nonzero(y >= 0))
    loss, state = gradients(checkpoint, x, y, chars, work)
    gradient = work[0].gradient
    for part in work[1:]:
        gradient += part.gradient
    grad_norm = clip_by_global_norm(gradient, config.grad_clip)
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(f"step {step + 1}: the loss or its gradient is not finite: try --lr {config.lr / 4:.2g}")
    lr, optimizer, matrices = lr_at(step, config), OPTIMIZERS[config.optimizer], size_of_matrices(model.config)
    optimizer.decay(model.vector[:matrices], gradient[:matrices], config.weight_decay, lr)
    update(optimizer, model.vector, gradient, checkpoint.slots, lr, step + 1)
    checkpoint.state = state
    checkpoint.step = step + 1
    checkpoint.loss_sum += loss
    return StepReport(step + 1, loss, lr, grad_norm, chars)


def size_of_matrices(config: ModelConfig) -> int:
    """Return how many parameters are in matrices, which stand first in the vector."""
    return size_of({name: shape for name, shape in parameter_shapes(config).items() if len(shape) == 2})


def gradients(checkpoint: Checkpoint, x: Ids, y: Ids, chars: int, work: list[Part]) -> tuple[float, State]:
    """Read a window of x and y (T, B), `chars` of which are targets, and leave in each part its share of the gradient.

    Return the mean loss of the networks in nats a character, and the state after the window.
    """
    model, config = checkpoint.model, checkpoint.train
    shapes, dropout = parameter_shapes(model.config), config.dropout or config.variational_dropout
    jobs = []
    for p, (columns, cache, gradient) in enumerate(work):
        gradient.fill(0)
        states = model.each_state([tuple(array[:, columns] for array in layer) for layer in checkpoint.state])
        own = zip(model.networks, states, model.each(cache), model.each(views(gradient, shapes)), strict=True)
        for k, network in enumerate(own):
            rng = np.random.default_rng([config.seed, checkpoint.step, Stream.DROPOUT, k, p])
            jobs.append(partial(learn, x[:, columns], y[:, columns], chars, dropout, rng, *network))
    passes = side_by_side(jobs)
    loss = sum(loss for loss, _ in passes) / len(model.networks)
    after = [[state for _, state in passes[k :: len(model.networks)]] for k in range(len(model.networks))]
    return loss, [layer for own in after for layer in joined(own)]


def joined(states: list[State]) -> State:
    """Put the streams of the parts beside each other again."""
    return [
        tuple(np.concatenate(arrays, axis=1) for arrays in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    ]


@np.errstate(over="ignore", invalid="ignore")  # of the thread that it runs in
def learn(
    x: Ids,
    y: Ids,
    chars: int,
    dropout: float,
    rng: np.random.Generator,
    network: Network,
    state: State,
    cache: Cache,
    grads: Params,
) -> tuple[float, State]:
    """Read a window of x and y (T, B) and go back through it: add a network's gradients to grads.

    Return its loss in nats, a share of the mean over `chars`, and the state after the window. A network of an ensemble
    learns from its own loss, as if it were alone: from the loss of the mean they would learn to rely on each other.
    """
    network.draw_masks(cache, dropout, rng)
    logits, after = network.forward(x, state, cache)
    loss = float(cross_entropy_forward(logits, y).sum(dtype=np.float64)) / chars
    network.backward(cross_entropy_backward(logits, y, chars), x, cache, grads)
    return loss, after
