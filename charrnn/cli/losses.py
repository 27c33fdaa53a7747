"""The losses of a run as curves in bits per character: drawn on a terminal, or written as SVG or CSV."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from charrnn.checkpoint.store import save_text
from charrnn.cli.picture_files import new_files
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.core.score import bits
from charrnn.core.state import TrainState, loss_stride
from charrnn.plots.line_plot import line_plot
from charrnn.plots.terminal_chart import Points
from charrnn.terminal.pictures import line_chart

TRAINING, HELD_OUT = "training", "held out"
UNIT = "bits per character"
FALL = 0.05  # of the steps: until then the training loss falls so fast that it would fill the chart


def curves(state: TrainState) -> dict[str, list[tuple[float, float]]]:
    """Return the points (step, bits per character) of the losses of a run; without those that it does not have.

    A point of the training losses is the mean of some steps, at the last of them; there are at most 512.
    """
    stride = loss_stride(state.step)
    ends = [min((i + 1) * stride, state.step) for i in range(len(state.losses))]
    pairs = zip(ends, state.losses, strict=True)
    training = [(float(end), bits(total / ((end - 1) % stride + 1))) for end, total in pairs]
    held_out = [(float(step), bits(loss)) for step, _, loss in state.history]
    return {name: points for name, points in {TRAINING: training, HELD_OUT: held_out}.items() if points}


def cut(lines: Mapping[str, list[tuple[float, float]]]) -> dict[str, Points]:
    """Return curves without what is higher than every loss after the first FALL of the steps."""
    last = max(step for points in lines.values() for step, _ in points)
    top = max((loss for points in lines.values() for step, loss in points if step >= FALL * last), default=0.0)
    kept = {name: [point for point in points if point[1] <= top] for name, points in lines.items()}
    return {name: points for name, points in kept.items() if points}


def loss_chart(lines: Mapping[str, list[tuple[float, float]]], stream: TextIO) -> str:
    """Return the curves as a chart as wide as a stream, with a key below; empty if there are fewer than two points."""
    shown = cut(lines) if lines else {}
    if len({step for points in shown.values() for step, _ in points}) < 2:
        return ""
    return f"{line_chart(shown, 'step', stream, linear=True)}   ({UNIT})\n"


def loss_svg(models: Mapping[str, TrainState]) -> str:
    """Return the losses as SVG: of one model both curves, of several a panel for each curve."""
    own = {name: cut(curves(state)) for name, state in models.items() if state.step}
    if len(own) == 1:
        ((name, lines),) = own.items()
        panels = {f"{name}: {UNIT}": {line: (points, ()) for line, points in lines.items()}}
    else:
        panels = {
            f"{line}, {UNIT}": {name: (lines[line], ()) for name, lines in own.items() if line in lines}
            for line in (TRAINING, HELD_OUT)
        }
    return line_plot(panels, "step", [("linear", "linear")] * len(panels))


def check_files(files: Mapping[str, str], models: Mapping[str, TrainState]) -> None:
    """Raise UsageError for files of --svg and --csv that cannot be written, or if there are no losses to write."""
    if files and not any(state.step for state in models.values()):
        raise UsageError(f"{' and '.join(files)}: no step has been trained yet, so there are no curves")
    sources = [source for state in models.values() for source in state.origin.sources]
    new_files(files, map(Path, [*models, *sources]))


def save_losses(files: Mapping[str, str], models: Mapping[str, TrainState], output: Output) -> None:
    """Write the losses to the files of --svg and --csv, each whole or not at all, and note their names."""
    for option, name in files.items():
        save_text(Path(name), loss_svg(models) if option == "--svg" else loss_csv(models))
        output.note(f"losses: {name}")


def loss_csv(models: Mapping[str, TrainState]) -> str:
    """Return the losses as CSV: a row for each point, with model, curve, step and bits per character."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["model", "losses", "step", "bits_per_char"])
    for name, state in models.items():
        for line, points in curves(state).items():
            table.writerows([name, line, f"{step:.0f}", f"{loss:.6f}"] for step, loss in points)
    return text.getvalue()
