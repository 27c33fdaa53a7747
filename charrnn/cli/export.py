"""charrnn export: a model for others."""

import os
from typing import Literal

import typer

from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.streams import Output
from charrnn.terminal.streams import Color


def export(
    target: str = typer.Argument(..., metavar="TARGET", help="File to write, ending in .npz, .safetensors or .html."),
    model: str | None = options.MODEL,
    dtype: Literal["f2", "f4"] | None = option("--dtype", "Type of the weights; f4 for .safetensors, otherwise f2."),
    force: bool = option("--force", "Replace an existing file.", False),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
) -> None:
    """Write a model for others: its weights, or a page that writes.

    For example: charrnn export -m plays plays.html
    """
    from charrnn.checkpoint.targets import check_target, export_model

    check_target(target)
    output = Output(json, quiet)  # before anything is written: a signal then removes what is unfinished
    source = options.existing_model(model, quiet)
    kind = export_model(source, target, dtype, force)
    if json:
        return output.record(
            {"path": target, "model": str(source), "dtype": kind, "file_bytes": os.path.getsize(target)}
        )
    output.write(f"{target}\n")
