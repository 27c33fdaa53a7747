"""The settings of a run by name, and its budget, as the command and the library take them."""

from collections.abc import Mapping
from dataclasses import fields
from operator import index
from typing import Any

from charrnn.core.config import HOLDOUT_NAMES, ModelConfig, TrainConfig, require
from charrnn.core.errors import UsageError
from charrnn.training.defaults import Budget
from charrnn.training.durations import duration

DERIVED = {"vocab_size", "line_end", "steps", "budget", "held_out"}  # from the text and the budget
DEFAULTS: dict[str, Any] = {
    **{field.name: field.default for kind in (ModelConfig, TrainConfig) for field in fields(kind)},
    **{"lines": False, "normalize": "none"},
}
NAMES = DEFAULTS.keys() - DERIVED
TYPES: dict[type, str] = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}


def checked_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not None, by name; raises UsageError for an unknown name and for a wrong value."""
    settings = {name: of_its_type(name, value) for name, value in given.items() if value is not None}
    require(settings.get("holdout", "tail") in HOLDOUT_NAMES, "--holdout", given.get("holdout"), "tail, each or lines")
    checked = settings.keys() & TrainConfig.__dataclass_fields__.keys() - {"holdout"}  # which needs its held-out part
    TrainConfig(1, "", **{name: settings[name] for name in checked})
    return settings


def of_its_type(name: str, value: object) -> Any:
    """Return the value of a setting as a number, text or truth value like its default."""
    if name not in NAMES:
        raise UsageError(f"{name}: no setting of a run; there are {', '.join(sorted(NAMES))}")
    kind = type(DEFAULTS[name])
    try:
        if kind in (int, float) and not isinstance(value, str | bool):
            return index(value) if kind is int else float(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    require(isinstance(value, kind), f"--{name.replace('_', '-')}", repr(value), TYPES[kind])
    return value


def named_budget(name: str, value: str | float) -> Budget:
    """Return a budget by the name of its option: steps, epochs, time, or more on top of what is done.

    Times are texts such as 3m or numbers of seconds; `more` is a number of steps or a time such as 5m.
    """
    if name == "time":
        return Budget("seconds", duration(str(value), "--time"))
    if name == "more" and not (str(value).isascii() and str(value).isdecimal()):
        return Budget("seconds", duration(str(value), "--more"), more=True)
    try:
        amount = index(int(value) if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UsageError(f"--{name} {value!r}: must be a whole number") from error
    require(amount >= 1, f"--{name}", value, "at least 1")
    return Budget("epochs" if name == "epochs" else "steps", amount, more=name == "more")


def given_budget(given: Mapping[str, str | float | None], resume: bool) -> Budget:
    """Return the budget that was given by the name of its option, or the default one.

    Raises UsageError for more than one, and for `more` without `resume`.
    """
    budgets = {name: value for name, value in given.items() if value is not None}
    if len(budgets) > 1:
        raise UsageError("--steps, --epochs, --time and --more: give one of them")
    for name, value in budgets.items():
        if name == "more" and not resume:
            raise UsageError(
                f"--more {value}: adds to a run that exists: give --resume with it, or --steps or --time instead"
            )
        return named_budget(name, value)
    return Budget()
