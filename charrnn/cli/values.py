"""What the words of a command line mean: numbers, switches, choices.

Typer has pydantic do this, whose import and preparation take as long as numpy's (docs/decisions.md). So each
parameter is given a reader of its own in advance, where Typer would make one when it is first needed; a Typer that
does not look there makes its own, and is only slower.
"""

from collections.abc import Callable, Iterable
from typing import Any

from charrnn.errors import UsageError

SWITCHES = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("", "0", "false", "f", "no", "n", "off"), False),
}


class Reader:
    """Turns the words of one parameter into a value, by the annotation that Typer found."""

    def __init__(self, name: str, read: Callable[[str, str], object]) -> None:
        self.name, self.read = name, read

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of a word, of several, or of a default, which may be a value already."""
        if param.multiple or param.nargs == -1:
            return tuple(self.read(self.name, word) for word in value or ())
        return self.read(self.name, value) if isinstance(value, str) else value


def integer(name: str, word: str) -> int:
    """Read a whole number."""
    try:
        return int(word)
    except ValueError as error:
        raise UsageError(f"{name} {word}: must be a whole number") from error


def number(name: str, word: str) -> float:
    """Read a number; whether infinity or NaN will do is for its user to say."""
    try:
        return float(word)
    except ValueError as error:
        raise UsageError(f"{name} {word}: must be a number") from error


def switch(name: str, word: str) -> bool:
    """Read what a variable says of an option that is there or not."""
    value = SWITCHES.get(word.strip().lower())
    if value is None:
        raise UsageError(f"{name} {word}: must be 1 or 0")
    return value


def text(name: str, word: str) -> str:
    """Take a word as it is."""
    return word


READERS: dict[object, Callable[[str, str], Any]] = {
    int: integer,
    float: number,
    bool: switch,
    str: text,
    list[str]: text,
    list[int]: integer,
    list[float]: number,
}


def one_of(choices: Iterable[str]) -> Callable[[str, str], str]:
    """Return the reader of a choice."""
    words = tuple(choices)

    def choice(name: str, word: str) -> str:
        if word not in words:
            raise UsageError(f"{name} {word}: must be {' or '.join(words)}")
        return word

    return choice


def at_least(least: float | None, read: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """Return a reader that refuses what is less."""
    if least is None:
        return read

    def bounded(name: str, word: str) -> Any:
        value = read(name, word)
        if value < least:
            raise UsageError(f"{name} {word}: must be {least:g} or more")
        return value

    return bounded


def prepare(parameters: Iterable[Any]) -> None:
    """Give each parameter of a command its reader; of a type that is not known here, Typer makes one."""
    for parameter in parameters:
        kind = parameter.type_descriptor
        read = one_of(kind.choices) if kind.choices else READERS.get(kind.annotation)
        if read and kind.parameter_info.max is None:
            name = next((flag for flag in parameter.opts if flag.startswith("--")), parameter.metavar or parameter.name)
            parameter._runtime_param = Reader(name, at_least(kind.parameter_info.min, read))
