"""The options that commands share, and what their values mean: model names, durations, cores."""

import math
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn import threads
from charrnn.cli import streams
from charrnn.errors import CheckpointError, UsageError
from charrnn.places import folder, model_path
from charrnn.terminal import Color, say, use_color

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def option(*flags: str, text: str, default: object = None, **more: Any) -> Any:
    """Return an option: its help names its default, its variable is CHARRNN_ and its name."""
    name = next(flag for flag in flags if flag.startswith("--"))
    variable = "CHARRNN_" + name.lstrip("-").upper().replace("-", "_")
    told = text if default is None else f"{text} Default: {default}."
    return typer.Option(*flags, help=told, show_default=False, envvar=variable, show_envvar=False, **more)


def remember_debug(value: bool) -> bool:
    """Show tracebacks from now on."""
    streams.tracebacks = value
    return value


def remember_color(value: Color) -> Color:
    """Colour from now on as the option says."""
    use_color(value)
    return value


def model_names(incomplete: str) -> list[str]:
    """Return the models that a shell may complete a name to; of a path it completes the file itself."""
    return sorted(path.stem for path in folder().glob("[!.]*.npz") if path.name.startswith(incomplete))


ModelOption = Annotated[
    str | None,
    option(
        "--model",
        "-m",
        metavar="MODEL",
        text="A path (with a / or ending in .npz), or a name in checkpoints/.",
        autocompletion=model_names,
    ),
]
JsonOption = Annotated[bool, option("--json", text="Write JSON, one object a line.")]
QuietOption = Annotated[
    bool, option("--quiet", "-q", text="No progress and no notes on stderr; warnings and errors stay.")
]
ColorOption = Annotated[
    Color, option("--color", text="When to use colours.", default="auto", callback=remember_color, is_eager=True)
]
DebugOption = Annotated[
    bool, option("--debug", text="Show the traceback of an error.", callback=remember_debug, is_eager=True)
]
ThreadsOption = Annotated[
    int | None, option("--threads", metavar="N", min=1, text="Cores to use; all of them by default.")
]


def named_model(name: str, option: str) -> Path:
    """Return the file of a model to read that an option names."""
    path = model_path(name, option)
    if not path.exists():
        raise CheckpointError(f"{path}: no such model: make it with `charrnn train`, or name another with {option}")
    return path


def existing_model(name: str | None, quiet: bool) -> Path:
    """Return the file of a model to read: the one named, else the newest one, said on stderr."""
    if name is not None:
        return named_model(name, "--model")
    models = sorted(folder().glob("[!.]*.npz"), key=lambda path: path.stat().st_mtime_ns)
    if not models:
        raise CheckpointError(f"{folder()}: no model here yet: make one with `charrnn train`, or name one with -m")
    if not quiet:
        say(f"model: {models[-1]}")
    return models[-1]


def duration(text: str, option: str) -> float:
    """Return the seconds of a time such as 90, 30s, 3m or 1h30m."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        parts = [(text, "s")]
    if "".join(number + unit for number, unit in parts) not in (text, f"{text}s") or not parts:
        raise UsageError(f"{option} {text}: not a time: write 90, 30s, 3m or 1h30m")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} {text}: must be more than nothing")
    return seconds


def in_units(seconds: float) -> str:
    """Return seconds as a time that can be given back, in its two largest units: 4.2s, 3m5s, 1h30m."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    large, small = next(pair for pair in (("d", "h"), ("h", "m"), ("m", "s")) if round(seconds) >= UNITS[pair[0]])
    count, rest = divmod(round(seconds / UNITS[small]), round(UNITS[large] / UNITS[small]))
    return f"{count}{large}" + (f"{rest}{small}" if rest else "")


def use_threads(count: int | None, *, shared: bool = False) -> None:
    """Use all cores or so many, one a product or all for each; numpy must not have been imported yet."""
    threads.limit = count
    threads.cores_a_product(threads.cores() if shared else 1)


def was_typed(context: typer.Context, name: str) -> bool:
    """Tell whether an option stood on the command line, not in a variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
