"""The options that commands share, and what their values mean: model names and threads."""

import re
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, TypeVar

import typer

from charrnn.checkpoint.paths import english_model, folder, models, named_model
from charrnn.cli import streams
from charrnn.core.errors import UsageError
from charrnn.parallel import cores
from charrnn.terminal import streams as terminal
from charrnn.terminal.streams import Color, say

Command = TypeVar("Command", bound=Callable[..., None])
Setting = tuple[Any, str | None, str]  # type, metavar, help

NEEDS_NO_QUOTES = re.compile(r"\w[\w.,+@%-]*")  # names that mean themselves in bash, zsh and fish
ENGLISH_NOTE = "using the English model that comes with the program; `charrnn train TEXT` trains your own"


def option(names: str, text: str, default: object = None, *, shown: object = None, **more: Any) -> Any:
    """Return a typer option named like "--length -n N", with CHARRNN_LENGTH as its variable.

    The help has the default, or the one `shown`, unless it is None or False.
    """
    words = names.split()
    metavar = None if words[-1].startswith("-") else words.pop()
    variable = "CHARRNN_" + words[0].removeprefix("--").upper().replace("-", "_")
    shown = default if shown is None else shown
    help_text = text if shown is None or shown is False else f"{text} Default: {shown}."
    more |= {"help": help_text, "show_default": False, "envvar": variable, "show_envvar": False}
    return typer.Option(default, *words, metavar=metavar, **more)


def argument(metavar: str, text: str, **more: Any) -> Any:
    """Return a typer argument that may be left out, and repeated if its parameter is a list."""
    return typer.Argument(None, metavar=metavar, show_default=False, help=text, **more)


def with_settings(settings: Mapping[str, Setting], defaults: Mapping[str, object]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each setting, in place of its **parameters.

    An option is named like its setting, and None if it was not given; its help shows the setting's default.
    """

    def decorate(command: Command) -> Command:
        added = []
        for name, (kind, metavar, text) in settings.items():
            declared = option(f"--{name.replace('_', '-')} {metavar or ''}", text, shown=defaults.get(name))
            added.append(Parameter(name, Parameter.KEYWORD_ONLY, default=declared, annotation=kind | None))
        own = [p for p in signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
        before = [p.name for p in own].index("model") + 1
        ordered = [*own[:before], *added, *own[before:]]
        command.__signature__ = Signature([p.replace(kind=Parameter.KEYWORD_ONLY) for p in ordered])  # type: ignore[attr-defined]
        return command

    return decorate


def set_debug(value: bool) -> bool:
    """Turn tracebacks on or off."""
    streams.tracebacks = value
    return value


def set_color(value: Color) -> Color:
    """Set the use of colours."""
    terminal.color = value
    return value


def model_names(incomplete: str) -> list[str]:
    """Return the names of models for shell completion; the shell itself completes paths.

    Shells insert what they are offered as it is, and zsh evaluates it: so only names that need no quoting are offered.
    """
    names = (path.stem for path in folder().glob("[!.]*.npz") if path.is_file())
    return sorted(name for name in names if name.startswith(incomplete) and NEEDS_NO_QUOTES.fullmatch(name))


MODEL = option(
    "--model -m MODEL",
    "Model file: a path (with a / or ending in .npz), or a name in checkpoints/.",
    autocompletion=model_names,
)
THREADS = option("--threads N", "Number of cores to use; all by default.", min=1)
JSON = option("--json", "Write JSON, one object per line.", False)
QUIET = option("--quiet -q", "Write no progress and no notes to stderr, only warnings and errors.", False)
COLOR = option("--color", "When to use colours.", "auto", callback=set_color, is_eager=True)
DEBUG = option("--debug", "Show the traceback of an error.", False, callback=set_debug, is_eager=True)


def existing_model(name: str | None, quiet: bool, argument: str | None = None) -> Path:
    """Return the file of the model that --model names, or an argument; without a name the newest, noted on stderr."""
    if name is not None and argument is not None:
        raise UsageError(f"{argument} and --model {name}: name the model once")
    given = argument if name is None else name
    if given is not None:
        return named_model(given, "--model")
    found = models()
    if not quiet:
        say(f"model: {found[0]}" if found else f"{folder()}: no models yet: {ENGLISH_NOTE}")
    return found[0] if found else english_model()


def use_threads(count: int | None, *, shared: bool = False) -> None:
    """Use `count` cores, or all if None, and one per matrix product or all if `shared`; call before importing numpy.

    More cores than there are would only be processes that wait for each other, so a larger count means all.
    """
    cores.limit = None
    cores.limit = count and min(count, cores.core_count())
    cores.limit_product_threads(1 + cores.startable_threads(cores.core_count() - 1) if shared else 1)
