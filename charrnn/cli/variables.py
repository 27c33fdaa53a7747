"""Options that come from variables or files: they never contradict what is typed, and an error names the variables."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from charrnn.core.errors import CharRNNError

PLACES = ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")  # of values, by typer's names; the last are files and presets
RIVALS = (  # options that exclude each other: those of the first place where one is given are kept
    {"dropout", "variational_dropout"},
    {"prompt", "prompt_file"},
    {"name", "model", "all_"},
    {"regex", "regex_file", "grammar", "json_schema", "stop"},
    {"steps", "epochs", "time_", "more"},
    {"lines", "per_char", "next_count", "novelty", "heatmap", "neurons", "neuron", "memory", "dynamic"},
    {"lines", "per_char", "next_count", "novelty", "heatmap", "neurons", "neuron", "memory", "against_baselines"},
    {"against", "per_char", "next_count", "novelty", "heatmap", "neurons", "neuron", "against_baselines"},
    {"against", "threshold"},
    {"against", "summary"},
    {"interactive", "json"},
    {"interactive", "count"},
    {"interactive", "unique"},
    {"context", "json"},
    {"context", "summary"},
    {"toml", "json"},
    {"all_", "toml"},
    {"all_", "svg"},
    {"all_", "csv"},
)


def prefer_own(command: str, parameters: Iterable[Any]) -> None:
    """Let the variable of this command alone, such as CHARRNN_EVAL_LINES, come before that of all, CHARRNN_LINES."""
    for parameter in parameters:
        if isinstance(parameter.envvar, str):
            general = parameter.envvar.removeprefix("CHARRNN_")
            parameter.envvar = [f"CHARRNN_{command.upper()}_{general}", parameter.envvar]


def variable(parameter: Any) -> str:
    """Return the variable that gives a parameter's value; empty if none does."""
    return next((name for name in parameter.envvar or () if os.environ.get(name)), "")


def from_variables(context: Any) -> set[str]:
    """Return the names of the parameters of a command whose values come from variables."""
    return {name for name in context.params if place(context, name) == "ENVIRONMENT"}


def settle(context: Any, parameters: Iterable[Any]) -> None:
    """Ignore what excludes an option that is given in an earlier place; take a variable with blanks as one value."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in from_variables(context):
        if known[name].multiple:
            context.params[name] = [os.environ[variable(known[name])]]
    for rivals in RIVALS:
        places = {name: place(context, name) for name in rivals & known.keys()}
        first = next((each for each in PLACES if each in places.values()), None)
        for name, own in places.items():
            if own in PLACES and own != first:
                context.params[name] = known[name].default


def place(context: Any, name: str) -> str:
    """Return where the value of an option comes from: one of PLACES, DEFAULT, or another of typer's names."""
    source = context.get_parameter_source(name)
    return source.name if source else ""


@contextmanager
def named_in_errors(context: Any, parameters: Iterable[Any]) -> Iterator[None]:
    """Add to an error about options which of them come from variables."""
    try:
        yield
    except CharRNNError as error:
        message = str(error)
        flags = {
            f"{flag} ": p for p in parameters for flag in p.opts if p.name and place(context, p.name) != "COMMANDLINE"
        }
        named = {variable(p) for flag, p in flags.items() if flag in f"{message} ".replace(":", " ")}
        given = sorted(named - {""})
        if not given:
            raise
        raise type(error)(f"{message} ({' and '.join(given)} in the environment)") from error
