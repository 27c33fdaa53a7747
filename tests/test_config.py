import math
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.cells import CELLS
from charrnn.config import (
    CELL_NAMES,
    OPTIMIZER_NAMES,
    SCHEDULE_NAMES,
    VALIDATION_CHARS,
    Budget,
    ModelConfig,
    TrainConfig,
    default_batch_size,
    default_dropout,
    default_eval_every,
    default_steps,
)
from charrnn.errors import UsageError

HUGE = 2**53
NUMBERS = [math.nan, math.inf, -math.inf]

# record, field, the option in messages, values at the bounds, values beyond them
BOUNDS: list[tuple[type, str, str, list[Any], list[Any]]] = [
    (ModelConfig, "vocab_size", "vocabulary", [1, 1_114_113], [0, -1]),
    (ModelConfig, "cell", "--cell", list(CELL_NAMES), ["", "RNN", "transformer"]),
    (ModelConfig, "activation", "--activation", ["tanh", "relu"], ["", "sigmoid"]),
    (ModelConfig, "hidden_size", "--hidden-size", [1, 16384], [0, -1, 16385]),
    (ModelConfig, "num_layers", "--num-layers", [1, 12], [0, -1, 13]),
    (ModelConfig, "embed_size", "--embed-size", [1, 16384], [0, -1, 16385]),
    (ModelConfig, "zoneout", "--zoneout", [0.0, 0.999], [-0.1, 1.0, 2.0]),
    (ModelConfig, "line_end", "end of lines", [None, 0, 6], [-1, 7]),
    (ModelConfig, "ensemble", "--ensemble", [1, 4], [0, -1, 5]),
    (TrainConfig, "steps", "--steps", [1, HUGE - 1], [0, -1, HUGE]),
    (TrainConfig, "batch_size", "--batch-size", [1, 65536], [0, -1, 65537]),
    (TrainConfig, "seq_len", "--seq-len", [1, 65536], [0, -1, 65537]),
    (TrainConfig, "dropout", "--dropout", [0.0, 0.999], [-0.1, 1.0, 2.0]),
    (TrainConfig, "variational_dropout", "--variational-dropout", [0.0, 0.999], [-0.1, 1.0, 2.0]),
    (TrainConfig, "optimizer", "--optimizer", list(OPTIMIZER_NAMES), ["", "Adam", "lion"]),
    (TrainConfig, "lr", "--lr", [1e-300, 1e300], [0.0, -1e-3]),
    (TrainConfig, "schedule", "--schedule", list(SCHEDULE_NAMES), ["", "step"]),
    (TrainConfig, "warmup", "--warmup", [0, HUGE - 1], [-1, HUGE]),
    (TrainConfig, "weight_decay", "--weight-decay", [0.0, 1e300], [-1e-9]),
    (TrainConfig, "grad_clip", "--grad-clip", [1e-300, 1e300], [0.0, -1.0]),
    (TrainConfig, "eval_every", "--eval-every", [1, HUGE - 1], [0, -1, HUGE]),
    (TrainConfig, "patience", "--patience", [0, HUGE - 1], [-1, HUGE]),
    (TrainConfig, "val_fraction", "--val-fraction", [0.0, 0.999], [-0.1, 1.0, 2.0]),
    (TrainConfig, "seed", "--seed", [0, 2**63 - 1], [-1, 2**63]),
    (TrainConfig, "min_count", "--min-count", [1, HUGE - 1], [0, -1, HUGE]),
]
FREE = {"budget", "encoding"}  # words; the corpus checks the encoding
REQUIRED: dict[type, dict[str, Any]] = {
    ModelConfig: {"vocab_size": 7},
    TrainConfig: {"steps": 100, "budget": "100 steps"},
}


def test_the_defaults() -> None:
    assert asdict(ModelConfig(7)) == {
        "vocab_size": 7,
        "cell": "gru",
        "activation": "tanh",
        "hidden_size": 256,
        "num_layers": 2,
        "embed_size": 64,
        "zoneout": 0.0,
        "line_end": None,
        "ensemble": 1,
    }
    assert asdict(TrainConfig(100, "100 steps")) == {
        "steps": 100,
        "budget": "100 steps",
        "batch_size": 32,
        "seq_len": 64,
        "dropout": 0.0,
        "variational_dropout": 0.0,
        "optimizer": "adamw",
        "lr": 4e-3,
        "schedule": "cosine",
        "warmup": 50,
        "weight_decay": 0.2,
        "grad_clip": 1.0,
        "eval_every": 200,
        "patience": 0,
        "val_fraction": 0.1,
        "seed": 0,
        "encoding": "utf-8",
        "min_count": 1,
    }


@pytest.mark.parametrize(("record", "field", "option", "good", "bad"), BOUNDS)
def test_every_value_has_its_bounds(record: type, field: str, option: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(record(**REQUIRED[record] | {field: value}), field) == value
    for value in [*bad, *(NUMBERS if option.startswith("--") else [])]:
        with pytest.raises(UsageError) as caught:
            record(**REQUIRED[record] | {field: value})
        assert str(caught.value).startswith(f"{option} {value}: must be ")


def test_no_value_is_without_bounds() -> None:
    bounded = [(record, field) for record, field, *_ in BOUNDS]
    assert bounded == [(kind, field.name) for kind in REQUIRED for field in fields(kind) if field.name not in FREE]


def test_the_two_kinds_of_dropout_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--dropout and --variational-dropout: give one of them"):
        TrainConfig(100, "100 steps", dropout=0.1, variational_dropout=0.1)


def test_patience_needs_validations() -> None:
    with pytest.raises(UsageError, match=r"--patience 3: needs held-out text: .* --val-fraction"):
        TrainConfig(100, "100 steps", patience=3, val_fraction=0)


def test_a_configuration_stays_as_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelConfig(7).hidden_size = 9  # type: ignore[misc]


def test_the_settings_of_a_network_have_the_names_of_options() -> None:
    fields = asdict(ModelConfig(7, zoneout=0.5, line_end=0))
    assert fields.pop("vocab_size") == 7
    assert ModelConfig(7, zoneout=0.5, line_end=fields.pop("line_end")).settings == fields | {"lines": True}
    assert ModelConfig(7).settings["lines"] is False


def test_each_cell_and_activation_is_a_line_in_the_table_of_cells() -> None:
    names = {ModelConfig(7, cell, activation).recurrence for cell in CELL_NAMES for activation in ("tanh", "relu")}
    assert names == set(CELLS)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(), "default"),
        (Budget("steps", 12_345_678), "12345678 steps"),
        (Budget("epochs", 2.5), "2.5 epochs"),
        (Budget("seconds", 150.0), "150 seconds"),
    ],
)
def test_a_budget_is_kept_as_words(budget: Budget, text: str) -> None:
    assert str(budget) == text


@pytest.mark.parametrize(
    ("train_chars", "val_chars", "batch_size", "steps", "eval_every"),
    [
        (18_000, 2_000, 8, 352, 36),  # 20 KB: ten epochs, ten validations
        (900_000, 100_000, 32, 3_706, 371),  # 1 MB: 8 epochs, ten validations
        (45_000_000, 5_000_000, 32, 26_204, 2_621),  # 50 MB: 1.2 epochs, ten validations
        (5_760_000, 640_000, 32, 9_375, 1_563),  # 6.4 MB: 3.3 epochs, six validations
        (9_000_000_000, 1_000_000_000, 32, 370_580, 37_058),  # 10 GB: 0.08 epochs, ten validations
        (6_144, 0, 3, 320, 32),  # streams of 32 windows each
        (900, 100, 1, 141, 15),
        (1, 0, 1, 1, 1),
    ],
)
def test_the_default_budget_suits_the_text(
    train_chars: int, val_chars: int, batch_size: int, steps: int, eval_every: int
) -> None:
    assert default_batch_size(train_chars, seq_len=64) == batch_size
    assert default_steps(train_chars, batch_size, seq_len=64) == steps
    assert default_eval_every(steps, val_chars, batch_size, seq_len=64) == eval_every


@pytest.mark.parametrize(
    ("train_chars", "dropout"), [(1, 0.3), (49_999, 0.3), (50_000, 0.2), (149_999, 0.2), (150_000, 0.1), (500_000, 0.0)]
)
def test_the_smaller_a_text_the_more_is_dropped(train_chars: int, dropout: float) -> None:
    assert default_dropout(train_chars) == dropout


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(1, 10**8), st.floats(0, 0.99), st.integers(1, 600))
def test_default_budgets_fit_any_text(train_chars: int, val_fraction: float, seq_len: int) -> None:
    batch_size = default_batch_size(train_chars, seq_len)
    steps = default_steps(train_chars, batch_size, seq_len)
    val_chars = int(train_chars * val_fraction / (1 - val_fraction))
    eval_every = default_eval_every(steps, val_chars, batch_size, seq_len)
    TrainConfig(steps, "default", batch_size, seq_len, eval_every=eval_every)
    assert batch_size * seq_len <= train_chars or batch_size == 1
    validations = math.ceil(steps / eval_every)
    assert 1 <= validations <= 10
    assert validations == 1 or validations * min(val_chars, VALIDATION_CHARS) <= 0.2 * steps * batch_size * seq_len


@pytest.mark.parametrize("value", [0, -1, 65537, 10**30, *NUMBERS])
def test_what_is_no_window_is_refused_wherever_something_follows_from_it(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^--seq-len .*: must be 1 to 65536"):
        default_batch_size(1000, value)
    with pytest.raises(UsageError, match=r"^--seq-len .*: must be 1 to 65536"):
        default_steps(1000, 32, value)
    with pytest.raises(UsageError, match=r"^--batch-size .*: must be 1 to 65536"):
        default_steps(1000, value, 64)


@pytest.mark.parametrize("kind", ["steps", "epochs", "seconds"])
@pytest.mark.parametrize("amount", [0, -1, HUGE, *NUMBERS])
def test_a_budget_of_nothing_or_beyond_counting_is_refused(kind: Any, amount: float) -> None:
    with pytest.raises(UsageError, match=r"^--(steps|epochs|time) .*: must be above 0"):
        Budget(kind, amount)


def test_a_budget_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^budget years: must be steps, epochs or seconds"):
        Budget("years", 1)  # type: ignore[arg-type]
