"""Parsing of option values: numbers, switches, choices.

Typer would leave this to pydantic, whose import and set-up take as long as numpy's (docs/decisions.md). So each
parameter gets a parser in the attribute where Typer caches the one that it builds on first use. A version of Typer
that does not use this attribute builds its own parsers and is only slower.
"""

from collections.abc import Callable, Iterable
from typing import Any

from charrnn.core.errors import UsageError

SWITCHES = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("", "0", "false", "f", "no", "n", "off"), False),
}


def switch(word: str) -> bool:
    """Return the value of the variable of an option without a value; raises KeyError for other words."""
    return SWITCHES[word.strip().lower()]


KINDS: dict[object, tuple[Callable[[str], Any], str]] = {  # by type: the conversion, and what it accepts
    int: (int, "a whole number"),
    float: (float, "a number"),  # infinity and NaN too: they are checked where the number is used
    bool: (switch, "1 or 0"),
    str: (str, "text"),
    list[str]: (str, "text"),
}


class Parser:
    """The parser of one parameter, with the method that Typer calls."""

    def __init__(self, name: str, convert: Callable[[str], Any], accepted: str, minimum: float | None = None) -> None:
        self.name, self.convert, self.accepted, self.minimum = name, convert, accepted, minimum

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of a word, of a list of words, or of a default that needs no parsing."""
        if param.multiple or param.nargs == -1:
            return tuple(map(self.parse, value or ()))
        return self.parse(value) if isinstance(value, str) else value

    def parse(self, word: str) -> Any:
        """Return the value of a word; raises UsageError if it is not accepted or below the minimum."""
        try:
            value = self.convert(word)
        except (ValueError, KeyError) as error:
            raise UsageError(f"{self.name} {word}: must be {self.accepted}") from error
        if self.minimum is not None and value < self.minimum:
            raise UsageError(f"{self.name} {word}: must be {self.minimum:g} or more")
        return value


def prepare(parameters: Iterable[Any]) -> None:
    """Give each parameter of a command its parser; Typer builds those of types that KINDS does not have."""
    for parameter in parameters:
        kind = parameter.type_descriptor
        convert, accepted = KINDS.get(kind.annotation, (None, ""))
        if kind.choices:
            convert, accepted = {word: word for word in kind.choices}.__getitem__, " or ".join(kind.choices)
        if convert and kind.parameter_info.max is None:
            name = next((flag for flag in parameter.opts if flag.startswith("--")), parameter.metavar or parameter.name)
            parameter._runtime_param = Parser(name, convert, accepted, kind.parameter_info.min)
