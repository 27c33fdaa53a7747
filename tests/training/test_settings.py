"""Settings and budgets by name, as the command and the library take them."""

from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from charrnn.cli import app
from charrnn.core.errors import UsageError
from charrnn.training.defaults import Budget
from charrnn.training.settings import DEFAULTS, NAMES, checked_settings, given_budget


def test_settings_have_the_types_of_their_defaults() -> None:
    given = {
        "hidden_size": np.int64(8),
        "lr": 1,
        "dropout": np.float32(0.5),
        "cell": "lstm",
        "lines": True,
        "seed": None,
    }
    found = checked_settings({**given, "seed": None})
    assert found == {"hidden_size": 8, "lr": 1.0, "dropout": 0.5, "cell": "lstm", "lines": True}
    assert {name: type(value) for name, value in found.items()} == {name: type(DEFAULTS[name]) for name in found}


def test_what_follows_from_the_text_is_no_setting() -> None:
    for name in ("vocab_size", "line_end", "steps", "budget", "held_out"):
        with pytest.raises(UsageError, match=f"{name}: no setting of a run; there are activation, batch_size"):
            checked_settings({name: 1})
    options = {parameter.name for parameter in get_command(app).commands["train"].params}  # type: ignore[attr-defined]
    assert options >= NAMES > {"seed", "lines", "normalize", "hidden_size"}


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ({}, Budget()),
        ({"steps": 20, "epochs": None}, Budget("steps", 20)),
        ({"epochs": 3}, Budget("epochs", 3)),
        ({"time": "1h30m"}, Budget("seconds", 5400)),
        ({"time": 1.5}, Budget("seconds", 1.5)),
        ({"more": "2000"}, Budget("steps", 2000, more=True)),
        ({"more": 2000}, Budget("steps", 2000, more=True)),
        ({"more": "5m"}, Budget("seconds", 300, more=True)),
    ],
    ids=str,
)
def test_a_budget_has_the_name_of_its_option(given: dict[str, Any], budget: Budget) -> None:
    assert given_budget(given, resume=True) == budget
