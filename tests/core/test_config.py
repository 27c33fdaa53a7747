import math
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import pytest

from charrnn.core.cells import CELLS
from charrnn.core.config import (
    ACTIVATION_NAMES,
    CELL_NAMES,
    OPTIMIZER_NAMES,
    SCHEDULE_NAMES,
    ModelConfig,
    TrainConfig,
)
from charrnn.core.errors import UsageError

HUGE = 2**53
NUMBERS = [math.nan, math.inf, -math.inf]

# record, field, the option in messages, values at the bounds, values beyond them
BOUNDS: list[tuple[type, str, str, list[Any], list[Any]]] = [
    (ModelConfig, "vocab_size", "vocabulary", [1, 1_114_113], [0, -1]),
    (ModelConfig, "cell", "--cell", list(CELL_NAMES), ["", "RNN", "transformer"]),
    (ModelConfig, "activation", "--activation", list(ACTIVATION_NAMES), ["", "gelu"]),
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
FREE = {
    "budget",
    "encoding",
    "encoding_errors",
    "holdout",
    "held_out",
}  # text; the reader checks the encoding; a test of their own
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
        "holdout": "tail",
        "held_out": None,
        "encoding_errors": "strict",
    }


@pytest.mark.parametrize(("record", "field", "option", "good", "bad"), BOUNDS)
def test_every_value_has_its_bounds(record: type, field: str, option: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(record(**REQUIRED[record] | {field: value}), field) == value
    for value in [*bad, *(NUMBERS if option.startswith("--") else [])]:
        with pytest.raises(UsageError) as caught:
            record(**REQUIRED[record] | {field: value})
        assert str(caught.value).startswith(f"{option} {value}: must be ")


def test_every_field_has_bounds() -> None:
    bounded = [(record, field) for record, field, *_ in BOUNDS]
    assert bounded == [(kind, field.name) for kind in REQUIRED for field in fields(kind) if field.name not in FREE]


def test_the_two_kinds_of_dropout_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"--dropout and --variational-dropout .*: give only one of them"):
        TrainConfig(100, "100 steps", dropout=0.1, variational_dropout=0.1)


def test_patience_needs_validations() -> None:
    with pytest.raises(UsageError, match=r"--patience 3: needs held-out text: .* --val-fraction"):
        TrainConfig(100, "100 steps", patience=3, val_fraction=0)


@pytest.mark.parametrize(
    ("holdout", "held_out"), [("head", None), ("tail", 5), ("each", None), ("lines", 0), ("lines", -1), ("each", HUGE)]
)
def test_a_number_of_held_out_characters_belongs_to_all_kinds_but_the_tail(holdout: str, held_out: int | None) -> None:
    for good in (("tail", None), ("each", 1), ("lines", HUGE - 1)):
        assert TrainConfig(100, "100 steps", holdout=good[0], held_out=good[1]).held_out == good[1]
    with pytest.raises(UsageError, match=r"^(--holdout head|characters held out (None|-?\d+)): must be "):
        TrainConfig(100, "100 steps", holdout=holdout, held_out=held_out)


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelConfig(7).hidden_size = 9  # type: ignore[misc]


def test_the_settings_of_a_network_have_the_names_of_options() -> None:
    fields = asdict(ModelConfig(7, zoneout=0.5, line_end=0))
    assert fields.pop("vocab_size") == 7
    assert ModelConfig(7, zoneout=0.5, line_end=fields.pop("line_end")).settings == fields | {"lines": True}
    assert ModelConfig(7).settings["lines"] is False


def test_each_cell_and_activation_is_an_entry_of_the_table_of_cells() -> None:
    names = {ModelConfig(7, cell, activation).recurrence for cell in CELL_NAMES for activation in ACTIVATION_NAMES}
    assert names == set(CELLS)
