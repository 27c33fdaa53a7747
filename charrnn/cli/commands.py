"""The table of commands. The module of a command is imported when that command runs, so that the others stay fast."""

from collections import UserDict
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from charrnn.cli.parsing import prepare

COMMANDS = {  # name, which is that of the module: (function, first line of its help)
    "train": ("train", "Learn from texts."),
    "sample": ("sample", "Write text with a trained model."),
    "eval": ("evaluate", "Score texts in bits per character."),
    "info": ("info", "Show what a model file holds."),
}


class Command(TyperCommand):
    """A command that parses its values without pydantic."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        prepare(self.get_params(ctx))
        return super().parse_args(ctx, args)


class LazyCommands(UserDict[str, Any]):
    """The commands by name, each imported on first access."""

    def __getitem__(self, name: str) -> Any:
        if self.data[name] is None:
            module, (function, _) = import_module(f"charrnn.cli.{name}"), COMMANDS[name]
            program = typer.Typer(add_completion=False, rich_markup_mode=None)
            program.command(name, cls=Command)(getattr(module, function))
            self.data[name] = get_command(program)
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
