"""The table of commands. The module of a command is imported when that command runs, so that the others stay fast."""

from collections import UserDict
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from charrnn.cli.parsing import prepare
from charrnn.cli.variables import named_in_errors, prefer_own, settle

COMMANDS = {  # name, which is that of the module: (function, first line of its help)
    "train": ("train", "Learn from texts."),
    "sample": ("sample", "Write text with a trained model."),
    "eval": ("evaluate", "Score texts in bits per character."),
    "info": ("info", "Show what a model file holds."),
    "export": ("export", "Write a model for others: its weights, or a page that writes."),
}


class Command(TyperCommand):
    """A command that parses its values without pydantic, and lists its options in groups."""

    groups: Mapping[str, Sequence[str]] = {}  # title -> names of parameters; the other options come last

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line and variables; refuse an option of another program with the name that it has here."""
        parameters = self.get_params(ctx)
        prepare(parameters)
        prefer_own(ctx.info_name, parameters)
        try:
            with named_in_errors(ctx, parameters):
                rest = super().parse_args(ctx, args)
        except TyperException as error:
            from charrnn.cli.foreign_options import with_hint

            raise with_hint(error, [flag for parameter in parameters for flag in parameter.opts]) from error
        settle(ctx, parameters)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with named_in_errors(ctx, self.params):
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, each group of options and the other options into the help."""
        left, arguments = dict[str, tuple[str, str]](), list[tuple[str, str]]()
        for parameter in self.get_params(ctx):
            name, text = parameter.get_help_record(ctx) or ("", "")
            if parameter.param_type_name == "argument":
                arguments.append((parameter.metavar or "", text))
            else:
                left[parameter.name] = name, text
        groups = {title: [left.pop(name) for name in names if name in left] for title, names in self.groups.items()}
        for title, rows in {"Arguments": arguments, **groups, "Options": [*left.values()]}.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class LazyCommands(UserDict[str, Any]):
    """The commands by name, each imported on first access."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            module, (function, _) = import_module(f"charrnn.cli.{name}"), COMMANDS[name]
            program = typer.Typer(add_completion=False, rich_markup_mode=None)
            program.command(name, cls=Command)(getattr(module, function))
            self.data[name] = command = get_command(program)
            command.groups = getattr(module, "HELP_GROUPS", {})  # type: ignore[attr-defined]
        return self.data[name]


class Commands(TyperGroup):
    """The program: its own options and its commands, listed in the help without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands(dict.fromkeys(COMMANDS))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line up to the command."""
        prepare(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return [*COMMANDS]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
