"""Options that come from variables: they never contradict what is typed, and an error names them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from charrnn.core.errors import CharRNNError

RIVALS = (  # options that exclude each other: the variable of one is ignored where another is typed
    {"dropout", "variational_dropout"},
    {"prompt", "prompt_file"},
    {"regex", "regex_file", "grammar", "json_schema", "stop"},
    {"steps", "epochs", "time_", "more"},
    {"lines", "per_char", "next_count", "novelty", "heatmap", "neurons", "neuron", "memory", "dynamic"},
    {"against", "against_baselines"},
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
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "ENVIRONMENT"}


def settle(context: Any, parameters: Iterable[Any]) -> None:
    """Ignore the variables that exclude a typed option, and take a value with blanks as one value."""
    variables, known = from_variables(context), {parameter.name: parameter for parameter in parameters}
    for name in variables:
        if known[name].multiple:
            context.params[name] = [os.environ[variable(known[name])]]
    for rivals in RIVALS:
        typed = {name for name in rivals & known.keys() if is_typed(context, name)}
        for name in rivals & variables if typed else ():
            context.params[name] = known[name].default


def is_typed(context: Any, name: str) -> bool:
    """Return whether an option is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def named_in_errors(context: Any, parameters: Iterable[Any]) -> Iterator[None]:
    """Add to an error about options which of them come from variables."""
    try:
        yield
    except CharRNNError as error:
        message = str(error)
        flags = {f"{flag} ": p for p in parameters for flag in p.opts if p.name and not is_typed(context, p.name)}
        named = {variable(p) for flag, p in flags.items() if flag in f"{message} ".replace(":", " ")}
        given = sorted(named - {""})
        if not given:
            raise
        raise type(error)(f"{message} ({' and '.join(given)} in the environment)") from error
