"""The command line: parses options, calls the library, prints results. Heavy modules are imported by the commands."""

from typing import Annotated, NoReturn

import typer

from charrnn.cli import streams
from charrnn.cli.commands import Commands
from charrnn.cli.completion import join_options
from charrnn.parallel.launcher import has_launcher

app = typer.Typer(
    name="charrnn",
    cls=Commands,
    help="Learn from any text, character by character, with a NumPy RNN; write and score text like it.",
    epilog="Every option can also be set by a variable: CHARRNN_HIDDEN_SIZE=512 is --hidden-size 512.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def show_version(requested: bool) -> None:
    """Print the version and exit."""
    if requested:
        from charrnn.core import __version__

        print(f"charrnn {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Declare the options of the program itself; without a command, print the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main() -> NoReturn:
    """Run the command line; several ranks of an MPI program run one command together."""

    def command() -> object:
        return app(prog_name="charrnn", standalone_mode=False)

    join_options()
    if not has_launcher():
        streams.run(command)
    from charrnn.parallel.mpi import run_on_ranks

    streams.run(lambda: run_on_ranks(command))
