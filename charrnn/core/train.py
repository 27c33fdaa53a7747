"""Training: one step, validation, and the generator of reports that a run is.

Batch, learning rate and random numbers follow from the configuration and the step, so that a TrainState is all there is
to a run: a new run is a resume from step 0, and stopping anywhere changes nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np

from charrnn.core.batches import Batches, split
from charrnn.core.cells.cell import Cache, Params, State
from charrnn.core.config import VALIDATION_CHARS, ModelConfig, Purpose, TrainConfig
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN, parameter_shapes, views
from charrnn.core.network import Network
from charrnn.core.ops import Array, Ids
from charrnn.core.optim import OPTIMIZERS, Job, clip_by_global_norm, lr_at
from charrnn.core.score import Score, score
from charrnn.core.state import Best, TrainState, add_loss


@dataclass(frozen=True)
class StepReport:
    """A step was done. loss in nats per character, before the update; grad_norm before clipping."""

    step: int  # steps done
    loss: float
    lr: float
    grad_norm: float
    chars: int  # characters predicted in it


@dataclass(frozen=True)
class EvalReport:
    """A validation is in progress (loss None) or done. Losses in nats per character."""

    step: int
    chars: int  # scored so far
    train_loss: float  # mean over the steps since the last validation
    loss: float | None
    best: bool


Report = StepReport | EvalReport
Scorer = Callable[[CharRNN, Iterable[Ids], int], Iterator[Score]]  # model, blocks of ids, start id -> the score so far


class Executor(Protocol):
    """Who computes the gradients of a batch: this process alone, or several that share the streams and networks.

    An executor is made for a run, `Executor(state)`, without changing it, and closed at the end.
    """

    model: CharRNN  # equal to the state's model, in memory that all who compute can see
    gradient: Array  # (P,), of the last batch: the sum over all networks and streams

    def gradients(self, state: TrainState, x: Ids, y: Ids) -> tuple[float, State]:
        """Read a window x with targets y, both (T, B), and leave its gradient in `gradient`.

        Return the mean loss of the networks in nats per character, and the carried state after the window.
        """

    def run(self, jobs: Sequence[Job]) -> None:
        """Run independent jobs of the optimizer, in any order."""

    def close(self) -> None:
        """Release what the executor holds."""


class Workspace:
    """What the pass of one network over some streams of a batch overwrites: a cache and gradients."""

    def __init__(self, network: Network, config: TrainConfig, streams: slice, grads: Params) -> None:
        self.network, self.part, self.grads = network, (streams, config.batch_size), grads
        self.cache: Cache = network.cache(config.seq_len, streams.stop - streams.start, masks(config))

    def loss_and_gradients(
        self, x: Ids, y: Ids, chars: int, state: State, config: TrainConfig, rng: np.random.Generator
    ) -> tuple[float, State]:
        """Read a window of x and y (T, B), go back through it, and write the network's gradients to `grads`.

        Return the network's loss in nats, as a share of the mean over `chars`, and the state after the window. A
        network of an ensemble learns from its own loss, as if it were alone except that their gradients are clipped
        together: from the loss of the mean, networks would learn to rely on each other.
        """
        for gradient in self.grads.values():
            gradient.fill(0)
        self.network.draw_masks(self.cache, config.dropout or config.variational_dropout, rng, self.part)
        nats, after = self.network.loss_and_gradients(x, y, chars, state, self.cache, self.grads)
        return float(nats.sum(dtype=np.float64)) / chars, after


class SerialExecutor:
    """Computes gradients in this process, network by network."""

    def __init__(self, state: TrainState) -> None:
        self.model = model = state.model
        config = state.config
        self.gradient: Array = np.zeros_like(model.vector)
        grads = model.each(views(self.gradient, parameter_shapes(model.config)))
        pairs = zip(model.networks, grads, strict=True)
        self.workspaces = [Workspace(network, config, slice(0, config.batch_size), own) for network, own in pairs]

    def gradients(self, state: TrainState, x: Ids, y: Ids) -> tuple[float, State]:
        """Read a window, as Executor says."""
        chars, done = int(np.count_nonzero(y >= 0)), []
        for k, (work, carried) in enumerate(zip(self.workspaces, state.model.each_state(state.carried), strict=True)):
            rng = dropout_rng(state.config, state.step, k)
            done.append(work.loss_and_gradients(x, y, chars, carried, state.config, rng))
        return reduce(add, (loss for loss, _ in done)) / len(done), [layer for _, after in done for layer in after]

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs one after the other."""
        for job in jobs:
            job()

    def close(self) -> None:
        """Release nothing."""


def masks(config: TrainConfig) -> int:
    """Return the number of dropout masks of a window: one per step, one for the whole window, or none."""
    return config.seq_len if config.dropout else 1 if config.variational_dropout else 0


def dropout_rng(config: TrainConfig, step: int, network: int) -> np.random.Generator:
    """Return the random numbers of dropout and zoneout at a step, for a network; all streams share them."""
    return np.random.default_rng([config.seed, step, Purpose.DROPOUT, network, 0])


@np.errstate(over="ignore", invalid="ignore")  # numbers that are not finite are found below
def train_step(state: TrainState, batches: Batches, executor: Executor) -> StepReport:
    """Read the next window of every stream, go back through it, and update the parameters.

    Raises DivergedError, leaving the state as it was, when the loss or its gradient is not finite.
    """
    model, config, step = state.model, state.config, state.step
    x, y = batches.batch(step)
    loss, carried = executor.gradients(state, x, y)
    gradient = executor.gradient
    grad_norm = clip_by_global_norm(gradient, config.grad_clip)
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        raise DivergedError(f"step {step + 1}: the loss or its gradient is not finite")
    lr, shapes, optimizer = lr_at(step, config), parameter_shapes(model.config), OPTIMIZERS[config.optimizer]
    optimizer.step(model.vector, gradient, state.slots, shapes, lr, config.weight_decay, step + 1, executor.run)
    state.carried = carried
    state.step = step + 1
    state.loss_sum += loss
    add_loss(state.losses, step + 1, loss)
    return StepReport(step + 1, loss, lr, grad_norm, int(np.count_nonzero(y >= 0)))


def train(
    state: TrainState,
    ids: Ids,
    executor: Callable[[TrainState], Executor] = SerialExecutor,
    scorer: Scorer = score,
) -> Iterator[Report]:
    """Train on the ids of a text until the run's steps or its patience are used up; yield every step and validation.

    The state changes in place and can be saved at every report; saving refuses numbers that are not finite, which an
    update can produce and the next step finds. Raises DivergedError, leaving the state as it was before the step, when
    a loss or gradient is not finite; TextError when the text is too short for its windows.
    """
    to_train, held_out = split_text(state.config, state.model.config, ids)
    to_score = validation_text(held_out)
    batches = Batches(to_train, state.config.batch_size, state.config.seq_len, state.vocab.start_id)
    with closing(executor(state)) as work:
        state.model = work.model
        while True:
            if len(to_score) and validation_due(state):
                yield from validate(state, to_score, scorer)
            if state.step >= state.config.steps or out_of_patience(state):
                return
            yield train_step(state, batches, work)


def split_text(config: TrainConfig, model: ModelConfig, ids: Ids) -> tuple[Ids, Ids]:
    """Return the part of a text that a run trains on, and the held-out part, its last characters."""
    if config.held_out is not None:
        return ids[: -config.held_out], ids[-config.held_out :]
    return split(ids, config.val_fraction, model.line_end)


def validation_text(held_out: Ids) -> Ids:
    """Return what a validation scores of the held-out text: scoring a tenth of ten gigabytes would take hours."""
    return held_out[:VALIDATION_CHARS]


def validation_due(state: TrainState) -> bool:
    """Return whether a validation belongs at this step and has not been done."""
    step, config = state.step, state.config
    last = state.history[-1][0] if state.history else 0
    return step != last and (step % config.eval_every == 0 or step == config.steps)


def out_of_patience(state: TrainState) -> bool:
    """Return whether `patience` validations in a row have brought no new best.

    This follows from the history, so that a run that ended for this reason has ended for a resume too, unless it is
    given more patience.
    """
    patience, best = state.config.patience, state.best
    return best is not None and 0 < patience <= sum(step > best.step for step, _, _ in state.history)


def validate(state: TrainState, to_score: Ids, scorer: Scorer) -> Iterator[EvalReport]:
    """Score held-out text, append the losses to the history, and keep the weights if they are the best.

    Reports during the scoring change nothing: a run stopped at one of them repeats the validation when it resumes.
    """
    step = state.step
    train_loss = state.loss_sum / (step - (state.history[-1][0] if state.history else 0))
    for result in scorer(state.model, [to_score], state.vocab.start_id):
        if result.chars < len(to_score):
            yield EvalReport(step, result.chars, train_loss, None, best=False)
    loss = result.nats / result.chars
    best = state.best is None or loss < state.best.nats
    if best:
        state.best = Best(step, loss, state.model.vector.copy())
    state.history.append((step, train_loss, loss))
    state.loss_sum = 0.0
    yield EvalReport(step, result.chars, train_loss, loss, best)
