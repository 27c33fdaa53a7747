"""A run from its start to its end: it trains, validates, saves, and yields reports on what it does.

The command and the library iterate over the same reports, so that they leave the same model.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError, DivergedError
from charrnn.core.state import TrainState
from charrnn.core.train import EvalReport, Report, StepReport, split_text, train, validate, validation_text
from charrnn.data.corpus import Corpus
from charrnn.evaluation.anomaly import calibrated
from charrnn.evaluation.text import score, score_ids
from charrnn.parallel.rank_executor import can_complete, complete, executor
from charrnn.training.divergence import ExplosionGuard, advised, remedy
from charrnn.training.start import Request, fit_to_budget, is_finished, start
from charrnn.training.time_budget import Deadline, Stopwatch
from charrnn.training.timer import Timer

CHECKED_CHARS = 64  # characters that a model must be able to score before it is saved
EARLY, EARLY_COST = 2.0, 1.5  # seconds after the start of a run with a budget in time, and those of a validation


@dataclass(frozen=True)
class SaveReport:
    """The model was saved to its file."""

    step: int  # steps done
    model: str  # the file, as it was named


@dataclass
class Run:
    """A run, its text and its file, and what the file holds."""

    state: TrainState
    text: Corpus
    store: CheckpointStore
    deadline: Deadline | None
    guard: ExplosionGuard | None
    timer: Timer  # of saves
    stopwatch: Stopwatch
    warn: Callable[[str], None]
    saved_step: int = 0
    saved_validations: int = -1  # before the first save
    stopping: bool = False  # set this to end the run after the report that it has yielded
    stopped: bool = False  # whether the run has ended before its last step, and is saved

    # ---- training ----

    def reports(self) -> Iterator[Report | SaveReport]:
        """Train, and save before the first step, during training and at the end, so that the file is always complete.

        With a guard, a run whose loss explodes ends with a DivergedError, and the file keeps its last save.
        """
        state = self.state
        self.calibrate()
        yield from self.save()
        for report in guarded(train(state, self.text.ids, executor, score), self.guard):
            yield report
            if isinstance(report, StepReport):  # and not in the middle of a validation
                yield from self.early_validation()
            if self.stopping:
                self.stopped = True
                break
            to_save = self.due(report)
            if self.deadline and (to_save or (isinstance(report, EvalReport) and report.loss is not None)):
                self.deadline.adjust_steps(state)
            if to_save:
                yield from self.try_save()
        self.calibrate()
        yield from self.save()

    def early_validation(self) -> Iterator[EvalReport]:
        """Validate if an early validation is due, and yield its reports."""
        state = self.state
        if self.deadline and early_validation_due(state, self.deadline):
            _, held_out = split_text(state.config, state.model.config, self.text.ids)
            yield from validate(state, validation_text(held_out), score)

    def calibrate(self) -> None:
        """Calibrate thresholds on the held-out lines of a finished run; those of a run that trains on are void."""
        state = self.state
        if not is_finished(state):
            state.thresholds = {}
        elif state.model.config.lines and not state.thresholds:
            _, held_out = split_text(state.config, state.model.config, self.text.ids)
            state.thresholds = calibrated(state.best_model, state.vocab, held_out, state.origin.ignore)
            self.saved_validations = -1  # the file does not have them yet

    # ---- saving ----

    def due(self, report: Report) -> bool:
        """Return whether to save after a report: when it is time, and after a validation with a new best.

        The validation that ends a run is followed by the last save, so it needs none of its own. While the loss has
        exploded nothing is saved, so that the file keeps a model from before.
        """
        if self.guard and self.guard.steps:
            return False
        if isinstance(report, StepReport):
            return self.timer.due(report.step)
        return report.best and not is_finished(self.state)

    def save(self) -> Iterator[SaveReport]:
        """Save unless the file is up to date, and report it; raises like `write`."""
        if self.write():
            yield SaveReport(self.saved_step, self.store.name)

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

    def try_save(self) -> Iterator[SaveReport]:
        """Save during training: a failure is only a warning, as the old file is intact and a later save may succeed."""
        try:
            yield from self.save()
        except CheckpointError as error:
            self.warn(f"{error}; training continues, the file has step {self.saved_step}")
        self.timer.restart()

    @contextmanager
    def rescued(self) -> Iterator[None]:
        """Save the run if the context ends with an error, such as a reader that has gone away or a killed worker.

        A run that has diverged keeps its last save. The error is raised again, with advice if the run has diverged.
        """
        try:
            yield
        except DivergedError as error:
            if self.saved_validations < 0:  # not even its first save
                raise
            advice, kept = remedy(self.state.config), f"{self.store.name} keeps the model of step {self.saved_step}"
            raise DivergedError(f"{error}: {advice}; {kept}") from error
        except CheckpointError:  # of the last save
            raise
        except BaseException as error:
            self.rescue(error)
            raise

    def rescue(self, error: BaseException) -> None:
        """Save a run that ends with an error, unless its weights are half updated, or ranks have its hidden state."""
        try:
            if can_complete() and not in_update(error):
                self.write()
        except Exception as failure:  # the first error is the one to report
            self.warn(str(failure))
        self.stopped = True


def begin(
    store: CheckpointStore,
    request: Request,
    timer: Timer,
    keep_going: bool,
    began: float,
    warn: Callable[[str], None],
) -> Run:
    """Return the run that is asked for; its budget in time counts from `began`, a value of time.perf_counter.

    With `keep_going` it trains on when its loss has exploded. `warn` receives what the user should know.
    """
    state, text = start(store, request, warn)
    with advised(state.config):
        deadline = fit_to_budget(state, text, request, began)
    guard = None if keep_going else ExplosionGuard(len(state.vocab), state.config)
    return Run(state, text, store, deadline, guard, timer, Stopwatch(state, began), warn)


def guarded(reports: Iterator[Report], guard: ExplosionGuard | None) -> Iterator[Report]:
    """Yield the reports of a run; raises DivergedError as the guard does."""
    for report in reports:
        if guard and isinstance(report, StepReport):
            guard.watch(report)
        yield report
        if guard and isinstance(report, StepReport):
            guard.check(report)


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
