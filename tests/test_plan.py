import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from charrnn import plan
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.config import Budget, ModelConfig, TrainConfig, default_batch_size, default_eval_every, default_steps
from charrnn.corpus import Corpus
from charrnn.errors import ResumeError, TextError, UsageError
from charrnn.network import Network
from charrnn.plan import CHANGEABLE, Deadline, amended, configure, counted, fit_to_time
from charrnn.train import parts, train
from tests.helpers.files import corpus_of, random_text, tiny_run
from tests.helpers.models import B, T

LEARNT, HELD_OUT = 101, 599
FRACTION = 0.855


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(LEARNT + HELD_OUT))


@pytest.fixture
def checkpoint(corpus: Corpus) -> Checkpoint:
    return tiny_run(corpus, val_fraction=FRACTION)


# ---- what a new run is ----


@pytest.mark.parametrize(
    ("budget", "steps", "name"),
    [
        (Budget("steps", 9), 9, "9 steps"),
        (Budget("epochs", 3), 3 * math.ceil(math.ceil(LEARNT / B) / T), "3 epochs"),
        (Budget(), default_steps(LEARNT, B, T), "default"),
        (Budget("seconds", 90), 1, ""),  # until fit_to_time has measured
    ],
)
def test_a_budget_becomes_steps(budget: Budget, steps: int, name: str, corpus: Corpus) -> None:
    given: dict[str, Any] = {"batch_size": B, "seq_len": T, "val_fraction": FRACTION}
    model, run = configure(corpus, given, budget)
    assert model == ModelConfig(len(corpus.vocab))
    assert run == TrainConfig(steps, name, **given, dropout=0.3, eval_every=default_eval_every(steps, HELD_OUT, B, T))


def test_what_is_given_wins_and_the_rest_suits_the_text(corpus: Corpus) -> None:
    given = {"hidden_size": 9, "cell": "rnn", "activation": "relu", "lr": 0.5, "eval_every": 2, "normalize": "nfc"}
    model, run = configure(corpus, given, Budget("steps", 9))
    size = default_batch_size(630, TrainConfig.seq_len)
    assert model == ModelConfig(len(corpus.vocab), cell="rnn", hidden_size=9, activation="relu")
    assert run == TrainConfig(9, "9 steps", batch_size=size, dropout=0.3, lr=0.5, eval_every=2)
    assert configure(corpus, {"dropout": 0.0}, Budget())[1].dropout == 0
    assert configure(corpus, {"variational_dropout": 0.1}, Budget())[1].dropout == 0


def test_lines_end_at_the_newline_and_the_held_out_part_begins_with_one(corpus: Corpus) -> None:
    given = {"lines": True, "val_fraction": FRACTION, "batch_size": 1, "seq_len": T}
    model, run = configure(corpus, given, Budget("epochs", 1))
    assert model == ModelConfig(len(corpus.vocab), line_end=corpus.vocab.encode("\n")[0])
    to_learn = corpus.vocab.decode(corpus.ids).index("\n", LEARNT - 1) + 1
    assert run.steps == math.ceil(to_learn / T) > math.ceil(LEARNT / T)
    assert configure(corpus, given | {"lines": False}, Budget())[0] == ModelConfig(len(corpus.vocab))


@pytest.mark.parametrize(
    ("text", "min_count", "words"),
    [("abc" * 9, 1, "no newlines where"), ("ab" * 9 + "\n", 2, "fewer than --min-count")],
)
def test_lines_are_refused_where_there_are_none(text: str, min_count: int, words: str) -> None:
    with pytest.raises(TextError, match=f"^a.txt: .*{words}.*leave out --lines"):
        configure(corpus_of(text, min_count), {"lines": True}, Budget())


@pytest.mark.parametrize("given", [{"activation": "relu"}, {"activation": "tanh", "cell": "lstm"}])
def test_an_activation_is_refused_where_it_would_do_nothing(given: dict[str, Any], corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"--activation .*--cell rnn"):
        configure(corpus, given, Budget())


@pytest.mark.parametrize("name", ["seq_len", "batch_size", "val_fraction", "min_count"])
@pytest.mark.parametrize("value", [-1, 2**70, math.nan, math.inf])
def test_a_value_that_cannot_be_is_refused_before_anything_follows_from_it(
    name: str, value: float, corpus: Corpus
) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} .*: must be "):
        configure(corpus, {name: value}, Budget("epochs", 1))


@pytest.mark.parametrize("window", [(0, T), (B, 0), (-1, -T), (2**70, T)])
def test_what_is_no_window_has_no_epochs(window: tuple[int, int], corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"^--(batch-size|seq-len) .*: must be 1 to 65536"):
        counted(Budget("epochs", 1), corpus.ids, *window)


# ---- what a run that goes on may be ----


def test_a_run_goes_on_as_it_was_unless_told(checkpoint: Checkpoint, corpus: Corpus) -> None:
    same = {"hidden_size": 4, "seq_len": T, "seed": 0, "normalize": "none", "lr": checkpoint.train.lr}
    for budget in (Budget(), Budget("seconds", 9), Budget("steps", 16)):
        assert amended(checkpoint, corpus, same, budget) == checkpoint.train


def test_a_run_over_lines_goes_on_as_one(corpus: Corpus) -> None:
    checkpoint = tiny_run(corpus, {"line_end": corpus.vocab.newline_id}, val_fraction=FRACTION, batch_size=1)
    epochs = amended(checkpoint, corpus, {"lines": True}, Budget("epochs", 1))
    assert epochs.steps == math.ceil(len(parts(checkpoint, corpus.ids)[0]) / T) > math.ceil(LEARNT / T)
    with pytest.raises(ResumeError, match="--lines was True, not False"):
        amended(checkpoint, corpus, {"lines": False}, Budget())


def test_its_budget_and_some_settings_may_change(checkpoint: Checkpoint, corpus: Corpus) -> None:
    given: dict[str, Any] = {
        "lr": 0.5,
        "schedule": "linear",
        "warmup": 7,
        "weight_decay": 0.25,
        "grad_clip": 3.0,
        "eval_every": 5,
        "patience": 2,
    }
    assert given.keys() == set(CHANGEABLE)
    longer = amended(checkpoint, corpus, given, Budget("epochs", 4))
    assert longer == replace(checkpoint.train, **given, steps=28, budget="4 epochs")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden_size": 5}, "--hidden-size was 4, not 5"),
        ({"seed": 1, "lr": 0.5}, "--seed was 0, not 1"),
        ({"normalize": "nfc"}, "--normalize was none, not nfc"),
        ({"lines": True}, "--lines was False, not True"),
        ({"activation": "relu", "batch_size": 2}, "--activation was tanh, not relu; --batch-size was 3, not 2"),
    ],
)
def test_what_may_not_change_is_named(
    given: dict[str, Any], words: str, checkpoint: Checkpoint, corpus: Corpus
) -> None:
    with pytest.raises(ResumeError, match=f"cannot change the run: {words}: "):
        amended(checkpoint, corpus, given, Budget())


def test_another_text_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ResumeError, match=r"a\.txt: .* the text that the model has been trained on"):
        amended(checkpoint, corpus_of(random_text(700, seed=1)), {}, Budget())


# ---- how much fits a time ----

CHAR = 1 / 1024  # seconds that a network takes to read a character of one stream
STEP = B * T * CHAR


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that moves when a network reads."""
    clock = SimpleNamespace(now=0.0)
    forward = Network.layers_forward

    def timed(*args: Any) -> Any:
        clock.now += args[1].size * CHAR
        return forward(*args)

    monkeypatch.setattr(Network, "layers_forward", timed)
    monkeypatch.setattr(plan, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


@pytest.mark.parametrize(("seconds", "validations"), [(100, 10), (25, 3), (9, 1)])
def test_steps_and_validations_fill_the_time_that_is_left(
    seconds: float, validations: int, checkpoint: Checkpoint, corpus: Corpus, clock: SimpleNamespace
) -> None:
    before = to_bytes(checkpoint)
    config, per_validation = fit_to_time(checkpoint, corpus.ids, Budget("seconds", seconds), used=2.0)
    assert per_validation == HELD_OUT * CHAR
    left = seconds - 2 - clock.now
    assert math.ceil(config.steps / config.eval_every) == validations
    assert 0 <= left - config.steps * STEP - validations * HELD_OUT * CHAR < STEP
    assert validations == 1 or validations * HELD_OUT * CHAR <= 0.1 * left
    unchanged = checkpoint.train
    assert config == replace(unchanged, steps=config.steps, eval_every=config.eval_every, budget=f"{seconds} seconds")
    assert to_bytes(checkpoint) == before


def test_only_what_a_validation_scores_of_the_held_out_text_takes_time(
    checkpoint: Checkpoint, corpus: Corpus, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.train.VALIDATION_CHARS", 100)
    config, per_validation = fit_to_time(checkpoint, corpus.ids, Budget("seconds", 25), used=0.0)
    assert per_validation == 100 * CHAR
    assert math.ceil(config.steps / config.eval_every) == 10


def test_without_held_out_text_all_the_time_is_for_steps(corpus: Corpus, clock: SimpleNamespace) -> None:
    config, _ = fit_to_time(tiny_run(corpus, val_fraction=0.0), corpus.ids, Budget("seconds", 9), used=0.0)
    assert 0 <= 9 - clock.now - config.steps * STEP < STEP


def test_time_is_given_to_the_steps_that_are_still_to_do(
    checkpoint: Checkpoint, corpus: Corpus, clock: SimpleNamespace
) -> None:
    fresh, _ = fit_to_time(checkpoint, corpus.ids, Budget("seconds", 25), used=0.0)
    next(
        report for report in train(checkpoint, corpus.ids) if report.step == 7
    )  # one epoch, so the windows are the same
    assert fit_to_time(checkpoint, corpus.ids, Budget("seconds", 25), used=0.0)[0].steps == 7 + fresh.steps


def test_a_run_without_patience_left_is_measured_too(
    checkpoint: Checkpoint, corpus: Corpus, clock: SimpleNamespace
) -> None:
    for _ in train(checkpoint, corpus.ids):
        pass
    checkpoint.train = replace(checkpoint.train, patience=1)
    assert checkpoint.best
    checkpoint.best = replace(checkpoint.best, step=1)
    assert list(train(checkpoint, corpus.ids)) == []
    assert fit_to_time(checkpoint, corpus.ids, Budget("seconds", 25), used=0.0)[0].steps > 16


@pytest.mark.usefixtures("clock")
def test_a_time_that_is_up_leaves_one_step(checkpoint: Checkpoint, corpus: Corpus) -> None:
    config, _ = fit_to_time(checkpoint, corpus.ids, Budget("seconds", 1), used=5.0)
    assert (config.steps, config.eval_every) == (1, 1)


@pytest.mark.parametrize(
    ("done", "after", "steps"),
    [
        (10, 20, 10 + 40),  # half a step a second, 80 seconds left
        (40, 20, 40 + 160),  # twice as fast
        (10, 99.5, 10),  # nothing left for another step
        (10, 130, 10),  # late already
        (0, 20, 1000),  # nothing seen yet
    ],
)
@pytest.mark.parametrize("once", [True, False])
def test_the_steps_left_follow_the_speed_that_is_seen(
    checkpoint: Checkpoint, clock: SimpleNamespace, done: int, after: float, steps: int, once: bool
) -> None:
    checkpoint.train = replace(checkpoint.train, steps=1000, eval_every=1000 if once else 300)
    deadline = Deadline(checkpoint, clock.now + 100, per_validation=0.0)
    clock.now += after
    checkpoint.step = done
    deadline.refit(checkpoint)
    assert checkpoint.train == replace(checkpoint.train, steps=steps, eval_every=steps if once else 300)


@pytest.mark.parametrize(("eval_every", "done", "steps"), [(1000, 0, 10 + 40), (400, 0, 10 + 30), (10, 1, 10 + 35)])
def test_time_is_kept_for_validations_to_come_and_those_done_count_for_no_step(
    checkpoint: Checkpoint, clock: SimpleNamespace, eval_every: int, done: int, steps: int
) -> None:
    checkpoint.train = replace(checkpoint.train, steps=1000 if eval_every > 10 else 20, eval_every=eval_every)
    deadline = Deadline(checkpoint, clock.now + 110, per_validation=10.0)
    checkpoint.step, checkpoint.history = 10, [(10, 1.0, 1.0)] * done
    clock.now += 20 + 10 * done  # half a step a second
    deadline.refit(checkpoint)
    assert checkpoint.train.steps == steps


def test_a_run_at_its_last_step_is_not_made_longer(checkpoint: Checkpoint, clock: SimpleNamespace) -> None:
    deadline = Deadline(checkpoint, clock.now + 100, per_validation=0.0)
    clock.now += 1
    checkpoint.step = checkpoint.train.steps
    deadline.refit(checkpoint)
    assert checkpoint.step == checkpoint.train.steps
