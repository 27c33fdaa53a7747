import math
from dataclasses import replace
from typing import Any

import pytest

from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.errors import ResumeError, TextError, UsageError
from charrnn.core.state import TrainState
from charrnn.core.train import split_text
from charrnn.data.corpus import Corpus
from charrnn.training import defaults
from charrnn.training.configure import CHANGEABLE, budget_in_steps, configure, resumed_config
from charrnn.training.defaults import Budget, default_batch_size, default_eval_every, default_steps
from tests.helpers.files import corpus_of, random_text, tiny_run
from tests.helpers.models import B, T

TRAINED, HELD_OUT = 101, 599
FRACTION = 0.855


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(TRAINED + HELD_OUT))


@pytest.fixture
def state(corpus: Corpus) -> TrainState:
    return tiny_run(corpus, val_fraction=FRACTION)


# ---- a new run ----


@pytest.mark.parametrize(
    ("budget", "steps", "name"),
    [
        (Budget("steps", 9), 9, "9 steps"),
        (Budget("epochs", 3), 3 * math.ceil(math.ceil(TRAINED / B) / T), "3 epochs"),
        (Budget(), default_steps(TRAINED, B, T), "default"),
        (Budget("seconds", 90), 1, ""),  # until config_for_time has measured
    ],
)
def test_a_budget_becomes_steps(budget: Budget, steps: int, name: str, corpus: Corpus) -> None:
    given: dict[str, Any] = {"batch_size": B, "seq_len": T, "val_fraction": FRACTION}
    model, run = configure(corpus, given, budget)
    assert model == ModelConfig(len(corpus.vocab))
    assert run == TrainConfig(steps, name, **given, dropout=0.3, eval_every=default_eval_every(steps, HELD_OUT, B, T))


def test_given_settings_take_precedence_and_the_others_suit_the_text(corpus: Corpus) -> None:
    given = {"hidden_size": 9, "cell": "rnn", "activation": "relu", "lr": 0.5, "eval_every": 2, "normalize": "nfc"}
    model, run = configure(corpus, given, Budget("steps", 9))
    size = default_batch_size(630, TrainConfig.seq_len)
    assert model == ModelConfig(len(corpus.vocab), cell="rnn", hidden_size=9, activation="relu")
    assert run == TrainConfig(9, "9 steps", batch_size=size, dropout=0.3, lr=0.5, eval_every=2)
    assert configure(corpus, {"dropout": 0.0}, Budget())[1].dropout == 0
    assert configure(corpus, {"variational_dropout": 0.1}, Budget())[1].dropout == 0


def test_the_learning_rate_suits_the_optimizer(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> None:
    def chosen(**given: Any) -> tuple[str, float]:
        run = configure(corpus, given, Budget("steps", 9))[1]
        return run.optimizer, run.lr

    monkeypatch.setattr(defaults, "SOAP_FROM", 631)  # 630 characters are trained on
    assert chosen() == ("adamw", 4e-3)
    assert chosen(optimizer="soap") == ("soap", 7e-3)
    monkeypatch.setattr(defaults, "SOAP_FROM", 630)
    assert chosen() == ("soap", 7e-3)
    assert chosen(lr=0.5) == ("soap", 0.5)
    assert chosen(optimizer="adam") == ("adam", 4e-3)
    assert chosen(optimizer="sgd") == ("sgd", 4e-3)


def test_lines_end_at_the_newline_and_the_held_out_part_starts_with_a_line(corpus: Corpus) -> None:
    given = {"lines": True, "val_fraction": FRACTION, "batch_size": 1, "seq_len": T}
    model, run = configure(corpus, given, Budget("epochs", 1))
    assert model == ModelConfig(len(corpus.vocab), line_end=corpus.vocab.encode("\n")[0])
    to_train = corpus.vocab.decode(corpus.ids).index("\n", TRAINED - 1) + 1
    assert run.steps == math.ceil(to_train / T) > math.ceil(TRAINED / T)
    assert configure(corpus, given | {"lines": False}, Budget())[0] == ModelConfig(len(corpus.vocab))


@pytest.mark.parametrize(
    ("text", "min_count", "words"),
    [("abc" * 9, 1, "no newlines, so"), ("ab" * 9 + "\n", 2, "fewer than --min-count")],
)
def test_lines_are_refused_for_a_text_without_newlines(text: str, min_count: int, words: str) -> None:
    with pytest.raises(TextError, match=f"^a.txt: .*{words}.*leave out --lines"):
        configure(corpus_of(text, min_count), {"lines": True}, Budget())


@pytest.mark.parametrize("given", [{"activation": "relu"}, {"activation": "tanh", "cell": "lstm"}])
def test_an_activation_is_refused_where_it_would_have_no_effect(given: dict[str, Any], corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"--activation .*--cell rnn"):
        configure(corpus, given, Budget())


@pytest.mark.parametrize("name", ["seq_len", "batch_size", "val_fraction", "min_count"])
@pytest.mark.parametrize("value", [-1, 2**70, math.nan, math.inf])
def test_an_invalid_value_is_refused_before_anything_is_derived_from_it(
    name: str, value: float, corpus: Corpus
) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} .*: must be "):
        configure(corpus, {name: value}, Budget("epochs", 1))


@pytest.mark.parametrize("window", [(0, T), (B, 0), (-1, -T), (2**70, T)])
def test_an_invalid_window_is_refused(window: tuple[int, int], corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"^--(batch-size|seq-len) .*: must be 1 to 65536"):
        budget_in_steps(Budget("epochs", 1), corpus.ids, *window)


# ---- a resumed run ----


def test_a_run_resumes_unchanged_by_default(state: TrainState, corpus: Corpus) -> None:
    same = {"hidden_size": 4, "seq_len": T, "seed": 0, "normalize": "none", "lr": state.config.lr}
    for budget in (Budget(), Budget("seconds", 9), Budget("steps", 16)):
        assert resumed_config(state, corpus, same, budget) == state.config


def test_a_run_over_lines_resumes_as_one(corpus: Corpus) -> None:
    state = tiny_run(corpus, {"line_end": corpus.vocab.newline_id}, val_fraction=FRACTION, batch_size=1)
    to_train, _ = split_text(state.config, state.model.config, corpus.ids)
    epochs = resumed_config(state, corpus, {"lines": True}, Budget("epochs", 1))
    assert epochs.steps == math.ceil(len(to_train) / T) > math.ceil(TRAINED / T)
    with pytest.raises(ResumeError, match="--lines was True, not False"):
        resumed_config(state, corpus, {"lines": False}, Budget())


def test_the_budget_and_some_settings_may_change(state: TrainState, corpus: Corpus) -> None:
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
    longer = resumed_config(state, corpus, given, Budget("epochs", 4))
    assert longer == replace(state.config, **given, steps=28, budget="4 epochs")


def test_a_budget_of_more_steps_is_added_to_those_done(state: TrainState, corpus: Corpus) -> None:
    state.step = 7
    more = resumed_config(state, corpus, {}, Budget("steps", 20, more=True))
    assert more == replace(state.config, steps=27, budget="27 steps")
    assert Budget("seconds", 1.5, more=True).after(2.25) == Budget("seconds", 3.75)
    assert Budget("seconds", 1.5).after(2.25) == Budget("seconds", 1.5)


def test_a_longer_run_is_validated_as_often_as_a_new_one_unless_asked(state: TrainState, corpus: Corpus) -> None:
    usual, longer = (default_eval_every(steps, HELD_OUT, B, T) for steps in (20, 20_000))
    assert usual < longer
    state.config = replace(state.config, steps=20, eval_every=usual)
    assert resumed_config(state, corpus, {}, Budget("steps", 20_000)).eval_every == longer
    assert resumed_config(state, corpus, {"eval_every": 7}, Budget("steps", 20_000)).eval_every == 7
    state.config = replace(state.config, eval_every=usual + 1)
    assert resumed_config(state, corpus, {}, Budget("steps", 20_000)).eval_every == usual + 1


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
def test_a_change_that_is_not_allowed_is_named(
    given: dict[str, Any], words: str, state: TrainState, corpus: Corpus
) -> None:
    with pytest.raises(ResumeError, match=f"cannot change the run: {words}: "):
        resumed_config(state, corpus, given, Budget())


def test_another_text_is_refused(state: TrainState) -> None:
    with pytest.raises(ResumeError, match=r"a\.txt: .* the text that the model was trained on"):
        resumed_config(state, corpus_of(random_text(700, seed=1)), {}, Budget())
