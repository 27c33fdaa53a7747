"""Training: a generator of reports, at each of which the checkpoint is whole and can be saved.

Batch, learning rate and random numbers follow from the configuration and the step, so the checkpoint is all there is:
a new run is a run resumed at step 0, and stopping anywhere changes nothing.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from charrnn.checkpoint import Best, Checkpoint, Origin, Trained, environment
from charrnn.config import VALIDATION_CHARS, ModelConfig, Stream, TrainConfig
from charrnn.corpus import Corpus, Streams, split
from charrnn.evaluate import score
from charrnn.model import CharRNN, initial_parameters
from charrnn.ops import Ids
from charrnn.optim import OPTIMIZERS
from charrnn.step import StepReport, Workspace, train_step


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


def parts(run: Checkpoint | Trained, ids: Ids) -> tuple[Ids, Ids]:
    """Return the part of a text that a run trains on, and the part that it holds out."""
    return split(ids, run.train.val_fraction, run.model.config.line_end)


def scored(held_out: Ids) -> Ids:
    """Return what a validation scores of the held-out text: of ten gigabytes a tenth would take hours."""
    return held_out[:VALIDATION_CHARS]


def train(checkpoint: Checkpoint, ids: Ids) -> Iterator[Report]:
    """Train on the ids of a text until its steps are done or its patience is; report each step and each validation.

    The checkpoint changes in place and may be saved at every report; a save refuses numbers that are not finite, which
    an update can make and the next step finds. Raises DivergedError, the checkpoint being as
    it was before the step, when a loss or gradient is not finite; TextError when the text is too short for its windows.
    """
    config = checkpoint.train
    to_learn, held_out = parts(checkpoint, ids)
    to_score = scored(held_out)
    streams = Streams(to_learn, config.batch_size, config.seq_len, checkpoint.vocab.start_id)
    with closing(Workspace(checkpoint)) as work:
        while True:
            if len(to_score) and validation_due(checkpoint):
                yield from validate(checkpoint, to_score)
            if checkpoint.step >= checkpoint.train.steps or out_of_patience(checkpoint):
                return
            yield train_step(checkpoint, streams, work)


def validation_due(checkpoint: Checkpoint) -> bool:
    """Tell whether a validation is to come at this step and has not been."""
    step, config = checkpoint.step, checkpoint.train
    scored = checkpoint.history[-1][0] if checkpoint.history else 0
    return step != scored and (step % config.eval_every == 0 or step == config.steps)


def out_of_patience(checkpoint: Checkpoint) -> bool:
    """Tell whether as many validations in a row as the run has patience for came after its best one.

    This follows from the history, so a run that ended so has ended for a resume too, unless it is given more patience.
    """
    patience, best = checkpoint.train.patience, checkpoint.best
    return best is not None and 0 < patience <= sum(step > best.step for step, _, _ in checkpoint.history)


def validate(checkpoint: Checkpoint, to_score: Ids) -> Iterator[EvalReport]:
    """Score held-out text as one stream, enter the losses into the history, and keep the weights if they are best.

    Reports on the way change nothing: a run stopped among them scores anew when it goes on.
    """
    step = checkpoint.step
    train_loss = checkpoint.loss_sum / (step - (checkpoint.history[-1][0] if checkpoint.history else 0))
    for result in score(checkpoint.model, [to_score], checkpoint.vocab.start_id):
        if result.chars < len(to_score):
            yield EvalReport(step, result.chars, train_loss, None, best=False)
    loss = result.nats / result.chars
    best = checkpoint.best is None or loss < checkpoint.best.nats
    if best:
        checkpoint.best = Best(step, loss, checkpoint.model.vector.copy())
    checkpoint.history.append((step, train_loss, loss))
    checkpoint.loss_sum = 0.0
    yield EvalReport(step, result.chars, train_loss, loss, best)
