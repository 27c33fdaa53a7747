"""charrnn export: a model for others."""

import os
from pathlib import Path
from typing import Literal

import typer

from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.streams import Output
from charrnn.core.errors import CheckpointError, UsageError
from charrnn.terminal.streams import Color

KINDS = (".npz", ".safetensors", ".html")


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
    path = Path(target)
    if path.suffix not in KINDS:
        raise UsageError(f"{target}: must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    from charrnn.checkpoint.export import safetensors_bytes, weights_alone
    from charrnn.checkpoint.page import model_page
    from charrnn.checkpoint.store import CheckpointStore, save_bytes, save_text

    source = options.existing_model(model, quiet)
    store, kind = CheckpointStore(path), f"<{dtype or ('f4' if path.suffix == '.safetensors' else 'f2')}"
    if store.path == CheckpointStore(source).path:
        raise UsageError(f"{target}: is the model itself: name another file")
    if store.exists() and not force:
        raise CheckpointError(f"{target}: already exists: use --force to replace it")
    state = CheckpointStore(source).load()
    alone = weights_alone(state, kind)
    if path.suffix == ".npz":
        with store.lock():
            store.save(alone)
    elif path.suffix == ".html":
        save_text(path, model_page(alone.model, state.vocab, source.stem, kind))
    else:
        save_bytes(path, safetensors_bytes(alone.model, state.vocab, kind))
    output = Output(json, quiet)
    if json:
        return output.record(
            {"path": target, "model": str(source), "dtype": kind[1:], "file_bytes": os.path.getsize(path)}
        )
    output.write(f"{target}\n")
