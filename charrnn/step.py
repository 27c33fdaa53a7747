"""One training step: the next window of every stream, back through it, and one update.

The streams of a batch are read in parts side by side, a core each, and so are the networks of an ensemble. Every part
adds to a gradient of its own; the step's gradient is their sum.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import Cache, Params, State
from charrnn.checkpoint import Checkpoint
from charrnn.config import ModelConfig, Stream, TrainConfig
from charrnn.corpus import Streams
from charrnn.errors import DivergedError
from charrnn.model import CharRNN, parameter_shapes, size_of, views
from charrnn.network import Network
from charrnn.ops import Ids
from charrnn.optim import OPTIMIZERS, clip_by_global_norm, update
from charrnn.schedule import lr_at
from charrnn.threads import cores
from charrnn.workers import hire, shared

STREAMS = 16  # the fewest that are worth a core: below, products and what surrounds them are too small


@dataclass(frozen=True)
class StepReport:
    """A step was done. loss in nats a character, before the update; grad_norm before clipping."""

    step: int  # steps done
    loss: float
    lr: float
    grad_norm: float
    chars: int  # characters predicted in it


class Pass(NamedTuple):
    """Some streams of a batch that one network reads, and what reading them writes over."""

    k: int  # which network
    p: int  # which part of the streams
    columns: slice
    cache: Cache
    grads: Params


class Workspace:
    """What training steps write over, and who helps: nothing in it outlives a step. It is to be closed.

    The passes of a step, each by one network over some of the streams, are dealt out to this process and to workers,
    one for each further core. Parameters and gradients are in memory that all of them share.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        model, config = checkpoint.model, checkpoint.train
        count = shares(model, config)
        self.gradients = shared((count, len(model.vector)), model.vector.dtype)  # of each part
        vector = shared(model.vector.shape, model.vector.dtype)
        vector[:] = model.vector
        self.model = checkpoint.model = CharRNN(model.config, vector)
        passes = [one for p in range(count) for one in self.passes_of(p, count, config)]
        hands = min(len(passes), cores())
        self.order = [hand + step * hands for hand in range(hands) for step in range(len(passes[hand::hands]))]
        self.own = partial(read, self.model, config, passes[::hands])
        self.workers = [hire(partial(read, self.model, config, passes[hand::hands])) for hand in range(1, hands)]

    def passes_of(self, p: int, count: int, config: TrainConfig) -> list[Pass]:
        """Allocate the passes of all networks over one part of the streams."""
        B, shapes = config.batch_size, parameter_shapes(self.model.config)
        columns = slice(B * p // count, B * (p + 1) // count)
        size = config.seq_len, columns.stop - columns.start, masks(config)
        caches, grads = (n.cache(*size) for n in self.model.networks), self.model.each(views(self.gradients[p], shapes))
        return [Pass(k, p, columns, *own) for k, own in enumerate(zip(caches, grads, strict=True))]

    def close(self) -> None:
        """Let the workers go."""
        for worker in self.workers:
            worker.close()


def shares(model: CharRNN, config: TrainConfig) -> int:
    """Return in how many parts the streams are read: a core each, of those that the networks leave."""
    return max(1, min(cores() // len(model.networks), config.batch_size // STREAMS))


def masks(config: TrainConfig) -> int:
    """Return how many dropout masks the workspace of a window has: one a step, one for the whole window, or none."""
    return config.seq_len if config.dropout else 1 if config.variational_dropout else 0


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found below
def train_step(checkpoint: Checkpoint, streams: Streams, work: Workspace) -> StepReport:
    """Read the next window of every stream, go back through it, and update the parameters.

    Raises DivergedError, the checkpoint being as it was, when the loss or its gradient is not finite.
    """
    model, config, step = checkpoint.model, checkpoint.train, checkpoint.step
    x, y = streams.batch(step)
    chars = int(np.count_nonzero(y >= 0))
    loss, state = gradients(checkpoint, x, y, chars, work)
    gradient, *others = work.gradients
    for other in others:
        gradient += other
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


def gradients(checkpoint: Checkpoint, x: Ids, y: Ids, chars: int, work: Workspace) -> tuple[float, State]:
    """Read a window of x and y (T, B), `chars` of which are targets, and leave each part's share of the gradient.

    Return the mean loss of the networks in nats a character, and the state after the window.
    """
    question = x, y, chars, checkpoint.step, checkpoint.state
    for worker in work.workers:
        worker.ask(*question)
    hands = [work.own(*question), *(worker.answer() for worker in work.workers)]
    done = [result for _, result in sorted(zip(work.order, (one for hand in hands for one in hand), strict=True))]
    K = len(work.model.networks)
    parts = [[state for _, state in done[k::K]] for k in range(K)]
    return sum(loss for loss, _ in done) / K, [layer for states in parts for layer in joined(states)]


def joined(states: list[State]) -> State:
    """Put the streams of the parts beside each other again."""
    return [
        tuple(np.concatenate(arrays, axis=1) for arrays in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    ]


def read(
    model: CharRNN, config: TrainConfig, passes: list[Pass], x: Ids, y: Ids, chars: int, step: int, state: State
) -> list[tuple[float, State]]:
    """Take some of a step's passes one after the other; return the loss of each and the state after it."""
    dropout, done = config.dropout or config.variational_dropout, []
    for k, p, columns, cache, grads in passes:
        for gradient in grads.values():
            gradient.fill(0)
        before = [tuple(array[:, columns] for array in layer) for layer in model.each_state(state)[k]]
        rng = np.random.default_rng([config.seed, step, Stream.DROPOUT, k, p])
        window = x[:, columns], y[:, columns], chars
        done.append(learn(*window, dropout, rng, model.networks[k], before, cache, grads))
    return done


@np.errstate(over="ignore", invalid="ignore")  # of the process or thread that it runs in
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
    nats, after = network.learn(x, y, chars, state, cache, grads)
    return float(nats.sum(dtype=np.float64)) / chars, after
