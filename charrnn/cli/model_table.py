"""Several models at once: the list of the folder, and models side by side."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from charrnn.checkpoint.paths import folder, models
from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.losses import HELD_OUT, curves, loss_chart
from charrnn.cli.streams import Output
from charrnn.cli.summary import model_record
from charrnn.core.errors import CheckpointError
from charrnn.core.score import bits
from charrnn.core.state import TrainState
from charrnn.data.sources import shown
from charrnn.plots.display_width import one_line
from charrnn.terminal.streams import say
from charrnn.terminal.table import table
from charrnn.training.durations import in_units

HEAD = ("model", "bits", "network", "text", "steps", "size", "age")
RESULTS = ("held out, bits per character", "steps", "parameters")  # compared even if they are the same


def listing(output: Output) -> None:
    """Write one row or JSON object for each model in the folder, the newest first; warn of files that are no models."""
    paths, rows = models(), []
    if not paths:
        raise CheckpointError(f"{folder()}: no models yet: train one with `charrnn train`")
    for path in paths:
        try:
            state = CheckpointStore(path).load()
        except CheckpointError as error:
            say(f"warning: {error}")
            continue
        if output.json:
            output.record(model_record(path, state, path.stat().st_size))
        else:
            rows.append(row(path, state))
    if rows:
        output.raw(table(HEAD, rows, sys.stdout))


def row(path: Path, state: TrainState) -> tuple[str, ...]:
    """Return the row of a model in the list: as in HEAD."""
    status, origin = path.stat(), state.origin
    age = in_units(max(0.0, time.time() - status.st_mtime))
    text = f"{one_line(shown(origin.sources))} ({origin.chars:,})"
    steps = f"{state.step:,} of {state.config.steps:,}"
    return (
        one_line(path.stem),
        best_bits(state),
        str(state.model.config),
        text,
        steps,
        f"{status.st_size / 1e6:,.1f} MB",
        age,
    )


def best_bits(state: TrainState) -> str:
    """Return the best held-out loss in bits per character; a hyphen if the model was never scored."""
    return f"{bits(state.best.nats):.4f}" if state.best else "-"


def comparison(paths: Sequence[Path], states: Sequence[TrainState], output: Output) -> None:
    """Write models side by side: results, settings in which they differ, on a terminal their held-out losses."""
    columns = [facts(path, state) for path, state in zip(paths, states, strict=True)]
    rows = [(name, *(column.get(name, "-") for column in columns)) for name in columns[0]]
    kept = [each for each in rows if each[0] in RESULTS or len({*each[1:]}) > 1]
    stems = [path.stem for path in paths]
    names = [*map(one_line, stems if len({*stems}) == len(stems) else map(str, paths))]
    head = ("", *names)
    output.raw(table(head, kept if output.to_terminal else [head, *kept], sys.stdout))
    if output.to_terminal:
        held_out = {name: curves(state).get(HELD_OUT, []) for name, state in zip(names, states, strict=True)}
        output.raw(loss_chart({name: points for name, points in held_out.items() if points}, sys.stdout))


def facts(path: Path, state: TrainState) -> dict[str, str]:
    """Return what is known of a model, by name: its results, its text, and its settings by their options."""
    origin, best = state.origin, state.best
    settings = {**state.model.config.settings, **asdict(state.config)}
    return {
        RESULTS[0]: best_bits(state),
        "best at step": f"{best.step:,}" if best else "-",
        "steps": f"{state.step:,}",
        "parameters": f"{len(state.model.vector):,}",
        "text": one_line(shown(origin.sources)),
        "characters": f"{origin.chars:,}",
        "SHA-256 of the text": f"{origin.sha256[:16]}…",
        "vocabulary": f"{len(state.vocab):,} symbols",
        "started from": one_line(state.init_from or "-"),
        **{name.replace("_", " "): in_words(value) for name, value in settings.items() if name != "steps"},
        "file": f"{path.stat().st_size / 1e6:,.1f} MB",
    }


def in_words(value: object) -> str:
    """Return the value of a setting as the command line would have it."""
    return f"{value:g}" if isinstance(value, float) else "-" if value is None else str(value)
