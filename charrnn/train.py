"""Training: a generator of reports, at each of which the checkpoint is whole and can be saved.

Batch, learning rate and random numbers follow from the configuration and the step, so the checkpoint is all there is:
a new run is a run resumed at step 0, and stopping anywhere changes nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from charrnn.cells.cell import Cache, Params, State
from charrnn.checkpoint import Best, Checkpoint, Origin, environment
from charrnn.config import ModelConfig, Stream, TrainConfig
from charrnn.corpus import Corpus, Streams, split
from charrnn.errors import DivergedError
from charrnn.evaluate import score
from charrnn.model import CharRNN, initial_parameters, parameter_shapes, size_of, views
from charrnn.network import Network
from charrnn.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.optim import OPTIMIZERS, clip_by_global_norm
from charrnn.schedule import lr_at
from charrnn.threads import side_by_side


@dataclass(frozen=True)
class StepReport:
    """A step was done. loss in nats a character, before the update; grad_norm before clipping."""

    step: int  # steps done
    loss: float
    lr: float
    grad_norm: float
    chars: int  # characters predicted in it


@dataclass(frozen=True)
class EvalReport:
    """A validation is under way (loss None) or done. Losses in nats a character."""

    step: int
    chars: int  # scored so far
    train_loss: float  # mean over the steps since the last validation
    loss: float | None
    best: bool


Report = StepReport | EvalReport


def new_run(config: ModelConfig, train: TrainConfig, corpus: Corpus) -> Checkpoint:
    """Return a run at step 0: fresh parameters from the seed, empty slots, zero state."""
    model = CharRNN(config, initial_parameters(config, np.random.default_rng([train.seed, 0, Stream.INIT])))
    return Checkpoint(
        model,
        train,
        corpus.vocab,
        Origin(corpus.sources, corpus.sha256, len(corpus.ids)),
        {name: np.zeros_like(model.vector) for name in OPTIMIZERS[train.optimizer].slots},
        model.zero_state(train.batch_size),
        environment=environment(),
    )


def parts(checkpoint: Checkpoint, ids: Ids) -> tuple[Ids, Ids]:
    """Return the part of a text that a run trains on, and the part that it holds out."""
    return split(ids, checkpoint.train.val_fraction, checkpoint.model.config.line_end)


def train(checkpoint: Checkpoint, ids: Ids) -> Iterator[Report]:
    """Train on the ids of a text until its steps are done or its patience is; report each step and each validation.

    The checkpoint changes in place and may be saved at every report; a save refuses numbers that are not finite, which
    an update can make and the next step finds. Raises DivergedError, the checkpoint being as
    it was before the step, when a loss or gradient is not finite; TextError when the text is too short for its windows.
    """
    config, model = checkpoint.train, checkpoint.model
    to_learn, held_out = parts(checkpoint, ids)
    streams = Streams(to_learn, config.batch_size, config.seq_len, checkpoint.vocab.start_id)
    cache = model.cache(config.seq_len, config.batch_size, masks(config))
    gradient = np.zeros_like(model.vector)
    while True:
        if len(held_out) and validation_due(checkpoint):
            yield from validate(checkpoint, held_out)
        if checkpoint.step >= checkpoint.train.steps or out_of_patience(checkpoint):
            return
        yield train_step(checkpoint, streams, cache, gradient)


def masks(config: TrainConfig) -> int:
    """Return how many dropout masks the workspace of a window has: one a step, one for the whole window, or none."""
    return config.seq_len if config.dropout else 1 if config.variational_dropout else 0


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found below
def train_step(checkpoint: Checkpoint, streams: Streams, cache: dict[str, Array], gradient: Array) -> StepReport:
    """Read the next window of every stream, go back through it, and update the parameters."""
    model, config, step = checkpoint.model, checkpoint.train, checkpoint.step
    shapes = parameter_shapes(model.config)
    x, y = streams.batch(step)
    chars = int(np.count_nonzero(y >= 0))
    gradient.fill(0)
    rngs = [np.random.default_rng([config.seed, step, Stream.DROPOUT, k]) for k in range(len(model.networks))]
    states, caches, grads = model.each_state(checkpoint.state), model.each(cache), model.each(views(gradient, shapes))
    networks = zip(model.networks, rngs, states, caches, grads, strict=True)
    read = partial(learn, x, y, chars, config.dropout or config.variational_dropout)
    passes = side_by_side([partial(read, *network) for network in networks])
    loss = sum(loss for loss, _ in passes) / len(passes)
    grad_norm = clip_by_global_norm(gradient, config.grad_clip)
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(f"step {step + 1}: the loss or its gradient is not finite: try --lr {config.lr / 4:.2g}")
    lr = lr_at(step, config)
    matrices = size_of({name: shape for name, shape in shapes.items() if len(shape) == 2})
    optimizer = OPTIMIZERS[config.optimizer]
    optimizer.decay(model.vector[:matrices], gradient[:matrices], config.weight_decay, lr)
    optimizer.update(model.vector, gradient, checkpoint.slots, lr, step + 1)
    checkpoint.state = [layer for _, state in passes for layer in state]
    checkpoint.step = step + 1
    checkpoint.loss_sum += loss
    return StepReport(step + 1, loss, lr, grad_norm, chars)


@np.errstate(over="ignore", invalid="ignore")  # of the thread that it runs in
def learn(
    x: Ids,
    y: Ids,
    chars: int,
    dropout: float,
    network: Network,
    rng: np.random.Generator,
    state: State,
    cache: Cache,
    grads: Params,
) -> tuple[float, State]:
    """Read a window of x and y (T, B) and go back through it: add a network's gradients to grads.

    Return its loss in nats a character and the state after the window. A network of an ensemble learns from its own
    loss, as if it were alone: from the loss of the mean they would learn to rely on each other.
    """
    network.draw_masks(cache, dropout, rng)
    logits, after = network.forward(x, state, cache)
    loss = float(cross_entropy_forward(logits, y).sum(dtype=np.float64)) / chars
    network.backward(cross_entropy_backward(logits, y, chars), x, cache, grads)
    return loss, after


def validation_due(checkpoint: Checkpoint) -> bool:
    """Tell whether the held-out text is to be scored at this step and has not been."""
    step, config = checkpoint.step, checkpoint.train
    scored = checkpoint.history[-1][0] if checkpoint.history else 0
    return step != scored and (step % config.eval_every == 0 or step == config.steps)


def out_of_patience(checkpoint: Checkpoint) -> bool:
    """Tell whether as many validations in a row as the run has patience for came after its best one.

    This follows from the history, so a run that ended so has ended for a resume too, unless it is given more patience.
    """
    patience, best = checkpoint.train.patience, checkpoint.best
    return best is not None and 0 < patience <= sum(step > best.step for step, _, _ in checkpoint.history)


def validate(checkpoint: Checkpoint, held_out: Ids) -> Iterator[EvalReport]:
    """Score the held-out text as one stream, enter the losses into the history, and keep the weights if they are best.

    Reports on the way change nothing: a run stopped among them scores anew when it goes on.
    """
    step = checkpoint.step
    train_loss = checkpoint.loss_sum / (step - (checkpoint.history[-1][0] if checkpoint.history else 0))
    for result in score(checkpoint.model, [held_out], checkpoint.vocab.start_id):
        if result.chars < len(held_out):
            yield EvalReport(step, result.chars, train_loss, None, best=False)
    loss = result.nats / result.chars
    best = checkpoint.best is None or loss < checkpoint.best.nats
    if best:
        checkpoint.best = Best(step, loss, checkpoint.model.vector.copy())
    checkpoint.history.append((step, train_loss, loss))
    checkpoint.loss_sum = 0.0
    yield EvalReport(step, result.chars, train_loss, loss, best)
