"""Settings of train from elsewhere than the command line: a preset, and a TOML file as `charrnn info --toml` writes it.

They become defaults of the options, so that an option that is given, or set by a variable, overrides them; an entry of
the file overrides the preset.
"""

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from charrnn.cli.train_settings import SETTINGS
from charrnn.core.errors import UsageError
from charrnn.data.settings import read_settings
from charrnn.plots.display_width import one_line
from charrnn.training.presets import PRESETS

if TYPE_CHECKING:
    from charrnn.core.state import TrainState

NOT_IN_A_FILE = ("config", "preset", "help", "debug", "color")  # as options that are read before the file


def use_preset(context: typer.Context, name: str | None) -> str | None:
    """Make the settings of a preset the defaults, except those that a file has set."""
    if name is not None:
        context.default_map = {**words(PRESETS[name]), **(context.default_map or {})}
    return name


def use_file(context: typer.Context, path: str | None) -> str | None:
    """Make the entries of a TOML file the defaults; raises UsageError for an entry that is no option of the command."""
    if path is None:
        return None
    parameters = {name_in_a_file(parameter): parameter for parameter in context.command.params}
    defaults = {}
    for name, value in read_settings(path).items():
        parameter = parameters.get(name.replace("_", "-"))
        if parameter is None or name in NOT_IN_A_FILE:
            raise UsageError(f"--config {path}: {name} is not an option that a file can set")
        kinds = list if parameter.nargs == -1 or parameter.multiple else (str, int, float)
        if not isinstance(value, kinds):
            raise UsageError(f"--config {path}: {name} must be {'a list of texts' if kinds is list else 'one value'}")
        defaults[parameter.name or ""] = value
    context.default_map = {**(context.default_map or {}), **words(defaults)}
    return path


def name_in_a_file(parameter: Any) -> str:
    """Return the long name of an option without its hyphens in front, or the name of an argument."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    return str(flags[0] if flags else parameter.name).removeprefix("--")


def words(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they would be typed, so that they are parsed and checked like those of the command line."""
    return {name: [*map(word, value)] if isinstance(value, list) else word(value) for name, value in values.items()}


def word(value: object) -> str:
    """Return a value as it would be typed."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def typed(settings: dict[str, Any]) -> str:
    """Return settings as they would be typed on the command line."""
    return " ".join(f"--{name.replace('_', '-')} {word(value)}" for name, value in settings.items())


def toml_text(state: "TrainState") -> str:
    """Return the settings and the start of a run as a TOML file for `train --config`, with its texts in a comment."""
    from charrnn.training.start import NONE

    start = {"init_from": state.init_from or NONE, "ignore": [*state.origin.ignore] or None}
    values = {**state.model.config.settings, "normalize": state.vocab.normalize, **asdict(state.config), **start}
    if values["cell"] != "rnn":
        del values["activation"]  # train refuses it for other cells
    names = [name for name in (*SETTINGS, "steps", *start) if values.get(name) is not None]
    lines = [f"{name.replace('_', '-')} = {json.dumps(values[name], ensure_ascii=False)}" for name in names]
    title = f"# charrnn train {one_line(shlex.join(state.origin.sources))} --config FILE"  # one line whatever the names
    return "\n".join([title, *lines, ""]).encode("utf-8", "replace").decode()
