"""The training loop of the command: reports, saves, deadline and interrupts."""

import time
from dataclasses import dataclass

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.reporter import Reporter, Timer
from charrnn.cli.streams import Interrupt
from charrnn.core.errors import CheckpointError, DivergedError
from charrnn.core.ops import Ids
from charrnn.core.state import TrainState
from charrnn.core.train import EvalReport, Report, StepReport, split_text, train, validate, validation_text
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score, score_ids
from charrnn.parallel.executor import ParallelExecutor
from charrnn.terminal.streams import say
from charrnn.training.time_budget import Deadline, Stopwatch

CHECKED_CHARS = 64  # characters that a model must be able to score before it is saved
EARLY, EARLY_COST = 2.0, 1.5  # seconds after the start of a run with a budget in time, and those of a validation


@dataclass
class Saver:
    """Saves a run to its file, and remembers what the file holds."""

    state: TrainState
    text: Corpus
    store: CheckpointStore
    reporter: Reporter
    timer: Timer
    stopwatch: Stopwatch
    saved_step: int = 0
    saved_validations: int = -1  # before the first save

    def due(self, report: Report) -> bool:
        """Return whether to save after a report: when it is time, and after a validation with a new best."""
        return self.timer.due(report.step) if isinstance(report, StepReport) else report.best

    def save(self) -> None:
        """Save unless the file is up to date; raises DivergedError for finite weights whose scores are not finite.

        The loss of a step belongs to the weights before its update, so the updated weights are checked here.
        """
        step, validations = self.state.step, len(self.state.history)
        if (step, validations) == (self.saved_step, self.saved_validations):
            return
        try:
            score_ids(self.state.model, [self.text.ids[:CHECKED_CHARS]], self.state.vocab.start_id)
        except DivergedError as error:
            raise DivergedError(f"step {step}: {error}") from error
        self.stopwatch.update(self.state)
        self.store.save(self.state)
        self.reporter.event("save", step=step, model=self.store.name)
        self.saved_step, self.saved_validations = step, validations

    def try_save(self) -> None:
        """Save during training: a failure is only a warning, as the old file is intact and a later save may succeed."""
        try:
            self.save()
        except CheckpointError as error:
            say(f"warning: {error}; training continues, the file has step {self.saved_step}")
        self.timer.restart()


def early_validation_due(state: TrainState, deadline: Deadline) -> bool:
    """Return whether to validate before the first time that the run itself would, so that people see a figure early.

    Only runs with a budget in time, whose length depends on the machine anyway, and only if it takes a moment.
    """
    seconds = time.perf_counter() - deadline.start
    return not state.history and state.step > 0 and seconds > EARLY and 0 < deadline.per_validation < EARLY_COST


def held_out(saver: Saver) -> Ids:
    """Return the held-out part of the run's text."""
    return split_text(saver.state.config, saver.state.model.config, saver.text.ids)[1]


def run(saver: Saver, reporter: Reporter, interrupt: Interrupt, deadline: Deadline | None) -> None:
    """Train, and save before the first step, during training and at the end, so that the file is always complete."""
    state, name = saver.state, saver.store.name
    saver.save()
    try:
        for report in train(state, saver.text.ids, ParallelExecutor, score):
            reporter.show(report)
            if deadline and early_validation_due(state, deadline):
                for result in validate(state, validation_text(held_out(saver)), score):
                    reporter.show(result)
            if interrupt.number:
                break
            to_save = saver.due(report)
            if deadline and (to_save or (isinstance(report, EvalReport) and report.loss is not None)):
                deadline.adjust_steps(state)
            if to_save:
                saver.try_save()
        saver.save()
    except DivergedError as error:
        raise DivergedError(f"{error}; {name} keeps the model of step {saver.saved_step}") from error
    finally:
        reporter.close()
    if interrupt.number:
        reporter.output.note(f"stopped at step {state.step:,} and saved: continue {name} with --resume")
