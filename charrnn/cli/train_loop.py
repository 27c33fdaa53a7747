"""The training loop of the command: reports, saves, deadline and interrupts."""

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.reporter import Reporter, Timer
from charrnn.cli.start import is_finished
from charrnn.cli.streams import Interrupt
from charrnn.core.errors import CheckpointError, DivergedError
from charrnn.core.state import TrainState
from charrnn.core.train import EvalReport, Report, StepReport, split_text, train, validate, validation_text
from charrnn.data.corpus import Corpus
from charrnn.evaluation.anomaly import calibrated
from charrnn.evaluation.text import score, score_ids
from charrnn.parallel.rank_executor import complete, executor
from charrnn.terminal.streams import say
from charrnn.training.divergence import ExplosionGuard, remedy
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
        """Return whether to save after a report: when it is time, and after a validation with a new best.

        The validation that ends a run is followed by the last save, so it needs none of its own.
        """
        if isinstance(report, StepReport):
            return self.timer.due(report.step)
        return report.best and not is_finished(self.state)

    def save(self) -> None:
        """Save unless the file is up to date, and report it; raises like `write`."""
        if self.write():
            self.reporter.event("save", step=self.saved_step, model=self.store.name)

    def write(self) -> bool:
        """Save unless the file is up to date; return whether it was not.

        Raises CheckpointError if that fails, and DivergedError for finite weights whose scores are not finite.
        The loss of a step belongs to the weights before its update, so the updated weights are checked here.
        """
        step, validations = self.state.step, len(self.state.history)
        if (step, validations) == (self.saved_step, self.saved_validations):
            return False
        try:
            score_ids(self.state.model, [self.text.ids[:CHECKED_CHARS]], self.state.vocab.start_id)
        except DivergedError as error:
            raise DivergedError(f"step {step}: {error}") from error
        self.stopwatch.update(self.state)
        complete(self.state)
        self.store.save(self.state)
        self.saved_step, self.saved_validations = step, validations
        return True

    def try_save(self) -> None:
        """Save during training: a failure is only a warning, as the old file is intact and a later save may succeed."""
        try:
            self.save()
        except CheckpointError as error:
            say(f"warning: {error}; training continues, the file has step {self.saved_step}")
        self.timer.restart()

    def calibrate(self) -> None:
        """Calibrate thresholds on the held-out lines of a finished run; those of a run that trains on are void."""
        state = self.state
        if not is_finished(state):
            state.thresholds = {}
        elif state.model.config.lines and not state.thresholds:
            _, held_out = split_text(state.config, state.model.config, self.text.ids)
            state.thresholds = calibrated(state.best_model, state.vocab, held_out, state.origin.ignore)
            self.saved_validations = -1  # the file does not have them yet

    def rescue(self, error: BaseException) -> None:
        """Save a run that ends with an error, unless the error left its weights half updated; note where it is."""
        try:
            if not in_update(error):
                self.write()
        except Exception as failure:  # the first error is the one to report
            say(f"warning: {failure}")
        self.note_stop()

    def note_stop(self) -> None:
        """Note the step that the file has after a run that has stopped early."""
        step, name = self.saved_step, self.store.name
        self.reporter.output.note(f"stopped at step {step:,} and saved: continue {name} with --resume")


def in_update(error: BaseException) -> bool:
    """Return whether an error occurred in an optimizer, so that some weights may be updated and others not."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == "charrnn.core.optim" for frame in frames)


def early_validation_due(state: TrainState, deadline: Deadline) -> bool:
    """Return whether to validate before the first time that the run itself would, so that people see a figure early.

    Only runs with a budget in time, whose length depends on the machine anyway, and only if it takes a moment.
    """
    seconds = time.perf_counter() - deadline.start
    return not state.history and state.step > 0 and seconds > EARLY and 0 < deadline.per_validation < EARLY_COST


def early_validation(saver: Saver, deadline: Deadline | None) -> Iterator[EvalReport]:
    """Validate if an early validation is due, and yield its reports."""
    state = saver.state
    if deadline and early_validation_due(state, deadline):
        _, held_out = split_text(state.config, state.model.config, saver.text.ids)
        yield from validate(state, validation_text(held_out), score)


def guarded(reports: Iterator[Report], guard: ExplosionGuard | None) -> Iterator[Report]:
    """Yield the reports of a run; raises DivergedError as the guard does."""
    for report in reports:
        yield report
        if guard and isinstance(report, StepReport):
            guard.check(report)


def run(
    saver: Saver, reporter: Reporter, interrupt: Interrupt, deadline: Deadline | None, guard: ExplosionGuard | None
) -> None:
    """Train, and save before the first step, during training and at the end, so that the file is always complete.

    With a guard, a run whose loss explodes ends with an error, and the file keeps its last save.

    Whatever else ends the run, such as a reader that has gone away or a worker that was killed, it is saved first.
    """
    state, name = saver.state, saver.store.name
    saver.calibrate()
    saver.save()
    try:
        for report in guarded(train(state, saver.text.ids, executor, score), guard):
            reporter.show(report)
            for result in early_validation(saver, deadline):
                reporter.show(result)
            if interrupt.number:
                break
            to_save = saver.due(report)
            if deadline and (to_save or (isinstance(report, EvalReport) and report.loss is not None)):
                deadline.adjust_steps(state)
            if to_save:
                saver.try_save()
        saver.calibrate()
        saver.save()
    except DivergedError as error:
        advice, kept = remedy(state.config), f"{name} keeps the model of step {saver.saved_step}"
        raise DivergedError(f"{error}: {advice}; {kept}") from error
    except CheckpointError:  # of the last save
        raise
    except BaseException as error:
        reporter.close()
        saver.rescue(error)
        raise
    finally:
        reporter.close()
    if interrupt.number:
        saver.note_stop()
