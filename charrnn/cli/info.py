"""charrnn info: what a model file holds, and how its training went."""

import sys

from charrnn.cli import options
from charrnn.cli.streams import Output
from charrnn.terminal.streams import Color


def info(
    model: str | None = options.MODEL,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
) -> None:
    """Show what a model file holds.

    For example: charrnn info -m plays
    """
    from charrnn.checkpoint.store import CheckpointStore
    from charrnn.cli.summary import model_record, model_rows
    from charrnn.terminal.card import card

    path = options.existing_model(model, quiet)
    state, size = CheckpointStore(path).load(), path.stat().st_size
    output = Output(json, quiet)
    if json:
        output.record(model_record(path, state, size))
    else:
        output.raw(card(str(path), model_rows(state, size), sys.stdout))
