import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from charrnn.checkpoint.format import to_bytes
from charrnn.core.network import Network
from charrnn.core.state import TrainState
from charrnn.core.train import train
from charrnn.data.corpus import Corpus
from charrnn.training import time_budget
from charrnn.training.defaults import Budget
from charrnn.training.time_budget import Deadline, Stopwatch, config_for_time, seconds_done
from tests.helpers.files import corpus_of, random_text, tiny_run
from tests.helpers.models import B, T

TRAINED, HELD_OUT = 101, 599
FRACTION = 0.855
CHAR = 1 / 1024  # seconds per character and stream that a network reads
STEP = B * T * CHAR


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(TRAINED + HELD_OUT))


@pytest.fixture
def state(corpus: Corpus) -> TrainState:
    return tiny_run(corpus, val_fraction=FRACTION)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only advances when a network reads."""
    clock = SimpleNamespace(now=0.0)
    forward = Network.layers_forward

    def timed(*args: Any) -> Any:
        clock.now += args[1].size * CHAR
        return forward(*args)

    monkeypatch.setattr(Network, "layers_forward", timed)
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


@pytest.mark.parametrize(("seconds", "validations"), [(100, 10), (25, 3), (9, 1)])
def test_steps_and_validations_fill_the_remaining_time(
    seconds: float, validations: int, state: TrainState, corpus: Corpus, clock: SimpleNamespace
) -> None:
    before = to_bytes(state)
    config, per_validation = config_for_time(state, corpus.ids, Budget("seconds", seconds), used=2.0)
    assert per_validation == HELD_OUT * CHAR
    left = seconds - 2 - clock.now
    assert math.ceil(config.steps / config.eval_every) == validations
    assert 0 <= left - config.steps * STEP - validations * HELD_OUT * CHAR < STEP
    assert validations == 1 or validations * HELD_OUT * CHAR <= 0.1 * left
    unchanged = state.config
    assert config == replace(unchanged, steps=config.steps, eval_every=config.eval_every, budget=f"{seconds} seconds")
    assert to_bytes(state) == before


def test_a_validation_takes_time_only_for_the_characters_that_it_scores(
    state: TrainState, corpus: Corpus, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.core.train.VALIDATION_CHARS", 100)
    config, per_validation = config_for_time(state, corpus.ids, Budget("seconds", 25), used=0.0)
    assert per_validation == 100 * CHAR
    assert math.ceil(config.steps / config.eval_every) == 10


def test_without_held_out_text_all_time_is_for_steps(corpus: Corpus, clock: SimpleNamespace) -> None:
    config, _ = config_for_time(tiny_run(corpus, val_fraction=0.0), corpus.ids, Budget("seconds", 9), used=0.0)
    assert 0 <= 9 - clock.now - config.steps * STEP < STEP


def test_the_budget_is_for_the_remaining_steps(state: TrainState, corpus: Corpus, clock: SimpleNamespace) -> None:
    fresh, _ = config_for_time(state, corpus.ids, Budget("seconds", 25), used=0.0)
    next(report for report in train(state, corpus.ids) if report.step == 7)  # one epoch, so the windows are the same
    assert config_for_time(state, corpus.ids, Budget("seconds", 25), used=0.0)[0].steps == 7 + fresh.steps


def test_a_run_out_of_patience_is_measured_too(state: TrainState, corpus: Corpus, clock: SimpleNamespace) -> None:
    for _ in train(state, corpus.ids):
        pass
    state.config = replace(state.config, patience=1)
    assert state.best
    state.best = replace(state.best, step=1)
    assert list(train(state, corpus.ids)) == []
    assert config_for_time(state, corpus.ids, Budget("seconds", 25), used=0.0)[0].steps > 16


@pytest.mark.usefixtures("clock")
def test_a_budget_that_is_used_up_leaves_one_step(state: TrainState, corpus: Corpus) -> None:
    config, _ = config_for_time(state, corpus.ids, Budget("seconds", 1), used=5.0)
    assert (config.steps, config.eval_every) == (1, 1)


@pytest.mark.parametrize(
    ("done", "after", "steps"),
    [
        (10, 20, 10 + 40),  # half a step per second, 80 seconds left
        (40, 20, 40 + 160),  # twice as fast
        (10, 99.5, 10),  # nothing left for another step
        (10, 130, 10),  # already late
        (0, 20, 1000),  # nothing measured yet
    ],
)
@pytest.mark.parametrize("once", [True, False])
def test_the_remaining_steps_follow_the_measured_speed(
    state: TrainState, clock: SimpleNamespace, done: int, after: float, steps: int, once: bool
) -> None:
    state.config = replace(state.config, steps=1000, eval_every=1000 if once else 300)
    deadline = Deadline(state, clock.now + 100, per_validation=0.0)
    clock.now += after
    state.step = done
    deadline.adjust_steps(state)
    assert state.config == replace(state.config, steps=steps, eval_every=steps if once else 300)


@pytest.mark.parametrize(("eval_every", "done", "steps"), [(1000, 0, 10 + 40), (400, 0, 10 + 30), (10, 1, 10 + 35)])
def test_time_is_reserved_for_remaining_validations_and_past_ones_do_not_count_as_steps(
    state: TrainState, clock: SimpleNamespace, eval_every: int, done: int, steps: int
) -> None:
    state.config = replace(state.config, steps=1000 if eval_every > 10 else 20, eval_every=eval_every)
    deadline = Deadline(state, clock.now + 110, per_validation=10.0)
    state.step, state.history = 10, [(10, 1.0, 1.0)] * done
    clock.now += 20 + 10 * done  # half a step per second
    deadline.adjust_steps(state)
    assert state.config.steps == steps


def test_validations_that_were_thought_to_take_longer_leave_time_for_the_steps(
    state: TrainState, clock: SimpleNamespace
) -> None:
    state.config = replace(state.config, steps=1000, eval_every=1000)
    deadline = Deadline(state, clock.now + 120, per_validation=10.0)
    state.step, state.history = 10, [(10, 1.0, 1.0)] * 9
    clock.now += 20  # 90 seconds by the estimate
    deadline.adjust_steps(state)
    assert state.config.steps == 10 + 450  # a fifth of a second for each, in the 90 seconds before the last validation


def test_a_run_at_its_last_step_is_not_extended(state: TrainState, clock: SimpleNamespace) -> None:
    deadline = Deadline(state, clock.now + 100, per_validation=0.0)
    clock.now += 1
    state.step = state.config.steps
    deadline.adjust_steps(state)
    assert state.step == state.config.steps


# ---- the seconds of a run ----


def test_the_seconds_of_a_run_that_did_not_count_them_follow_from_its_speed(
    state: TrainState, corpus: Corpus, clock: SimpleNamespace
) -> None:
    assert seconds_done(state, corpus.ids) == clock.now == 0
    for _ in train(state, corpus.ids):
        pass
    done = state.step * STEP + len(state.history) * HELD_OUT * CHAR
    assert len(state.history) == 4
    assert seconds_done(state, corpus.ids) == done
    state.seconds = 7.5
    assert seconds_done(state, corpus.ids) == 7.5


@pytest.mark.parametrize("before", [None, 0.0, 20.0])
def test_seconds_are_counted_over_all_processes_once_the_run_has_a_budget_in_time(
    before: float | None, state: TrainState, clock: SimpleNamespace
) -> None:
    state.seconds = before
    clock.now = 100.0
    stopwatch = Stopwatch(state, began=98.0)
    stopwatch.update(state)
    assert state.seconds == before  # nothing was done
    state.step = 3
    for now in (101.0, 105.5):
        clock.now = now
        stopwatch.update(state)
    assert state.seconds == (None if before is None else before + 7.5)
