"""Budgets in seconds: measure the speed of a run, choose its steps, and adjust them while it trains."""

import copy
import math
import time
from dataclasses import replace

import numpy as np

from charrnn.core.config import TrainConfig
from charrnn.core.ops import Ids
from charrnn.core.score import WINDOW, Score
from charrnn.core.state import TrainState
from charrnn.core.train import split_text, train, validation_text
from charrnn.evaluation.text import score
from charrnn.parallel.rank_executor import executor
from charrnn.training.defaults import Budget

SHORTEST_TRIAL = 0.2
MOST_VALIDATING = 0.9  # of the time so far: the steps have taken the rest
LONGEST_TRIAL = 10.0  # seconds spent on measuring; in long runs Deadline corrects the result anyway


def config_for_time(state: TrainState, ids: Ids, budget: Budget, used: float) -> tuple[TrainConfig, float]:
    """Measure a run's speed; return the configuration that fills the rest of a budget, and seconds per validation.

    The budget is in seconds, some of them already used. There are one to ten validations, in at most a tenth of the
    time if there is more than one.
    """
    start = time.perf_counter()
    trial = min(LONGEST_TRIAL, max(SHORTEST_TRIAL, 0.01 * budget.amount))
    per_step, per_validation = measure_speed(state, ids, trial, trial / 2)
    left = budget.amount - used - (time.perf_counter() - start)
    validations = max(1, min(10, int(0.1 * left / per_validation))) if per_validation else 1
    steps = max(1, int((left - validations * per_validation) / per_step))
    eval_every = max(1, math.ceil(steps / validations))
    return replace(state.config, steps=state.step + steps, budget=str(budget), eval_every=eval_every), per_validation


def seconds_done(state: TrainState, ids: Ids) -> float:
    """Return the seconds of training so far; measure the speed of a run that did not count them."""
    if state.seconds is not None:
        return state.seconds
    if not state.step:
        return 0.0
    per_step, per_validation = measure_speed(state, ids, SHORTEST_TRIAL, SHORTEST_TRIAL)
    return state.step * per_step + len(state.history) * per_validation


class Stopwatch:
    """Counts the seconds of training of a run that has or had a budget in time, over all its processes."""

    def __init__(self, state: TrainState, began: float) -> None:
        self.began, self.before = began, state.seconds
        self.done = state.step, len(state.history)

    def update(self, state: TrainState) -> None:
        """Set the run's seconds, start-up included, unless nothing was done since the start."""
        if self.before is not None and (state.step, len(state.history)) != self.done:
            state.seconds = self.before + time.perf_counter() - self.began


class Deadline:
    """The end of a budget in seconds, which adjusts a run's number of steps to its speed so far.

    A machine is slower in the long run than in the first second. Only the configuration changes, which a saved run
    keeps, so that a resume without a budget needs no clock.
    """

    def __init__(self, state: TrainState, end: float, per_validation: float) -> None:
        self.first_step, self.start, self.end = state.step, time.perf_counter(), end
        self.first_validation, self.per_validation = len(state.history), per_validation

    def adjust_steps(self, state: TrainState) -> None:
        """Set the number of steps to what the remaining time allows, including saves and validations.

        A run at its last step has ended, even if there is time left. A single validation at the end stays single.
        """
        step, config, now = state.step, state.config, time.perf_counter()
        if step in (self.first_step, config.steps):
            return
        validating = (
            len(state.history) - self.first_validation
        ) * self.per_validation  # as estimated: perhaps too long
        validating = min(validating, MOST_VALIDATING * (now - self.start))
        per_step = (now - self.start - validating) / (step - self.first_step)
        once = config.eval_every >= config.steps
        validations = 1 if once else -(-config.steps // config.eval_every) - step // config.eval_every
        steps = step + max(0, int((self.end - now - validations * self.per_validation) / per_step))
        state.config = replace(config, steps=steps, eval_every=steps if once else config.eval_every)


def measure_speed(state: TrainState, ids: Ids, step_time: float, validation_time: float) -> tuple[float, float]:
    """Train and validate on copies, for about the given times; return the seconds per step and per validation."""
    to_train, held_out = split_text(state.config, state.model.config, ids)
    to_score = validation_text(held_out)
    per_step = seconds_per_step(state, to_train, step_time)
    return per_step, seconds_per_char(state, to_score, validation_time) * len(to_score)


def seconds_per_step(state: TrainState, to_train: Ids, seconds: float) -> float:
    """Train a copy for about this many seconds; return the median time per step."""
    trial = copy.deepcopy(state)
    trial.config = replace(trial.config, val_fraction=0, holdout="tail", held_out=None, patience=0, steps=2**52)
    times = [time.perf_counter()]
    for _ in train(trial, to_train, executor, score):
        times.append(time.perf_counter())
        if times[-1] - times[0] > seconds and len(times) > 3:
            break
    return float(np.median(np.diff(times)[1:]))  # without the first step, which is slower


def seconds_per_char(state: TrainState, to_score: Ids, seconds: float) -> float:
    """Score held-out text for about this many seconds; return the time per character."""
    start, done, warm = time.perf_counter(), Score(), (0.0, 0)
    for done in score(state.model, [to_score], state.vocab.start_id):
        now = time.perf_counter()
        if warm[1] and now - start > seconds:
            break
        if not warm[1] and done.chars > WINDOW:  # the first part of a long text is mostly warm-up
            warm = now, done.chars
    now = time.perf_counter()
    if done.chars > warm[1] > 0:
        return (now - warm[0]) / (done.chars - warm[1])
    return (now - start) / max(1, done.chars)
