"""charrnn eval --memory: how far back models remember, as a table, a chart and pictures."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.analysis.gradient_reach import GradientReach, measure_reach
from charrnn.api.model import Model
from charrnn.cli.eval_inputs import EncodedText, note_unknown, open_texts
from charrnn.cli.picture_files import save_pictures
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.core.ops import Array
from charrnn.core.score import bits
from charrnn.core.vocab import UNKNOWN
from charrnn.plots.display_width import visible
from charrnn.plots.html import page
from charrnn.plots.line_plot import line_plot
from charrnn.plots.terminal_chart import Points
from charrnn.terminal.pictures import line_chart
from charrnn.terminal.streams import is_terminal

MAX_CHARS = 1 << 22  # characters of a text that are read
MIN_NORM = 1e-8  # norms below it, relative to that at lag 0, are not drawn: float32 loses them in a sum with the others
X_LABEL = "characters back"
TITLES = "gradient, as a multiple of that at lag 0", "bits per character, if the state is cut off there"


def write_memory(names: Sequence[str], models: Sequence[Model], output: Output, files: Mapping[str, Path]) -> None:
    """Write what is measured of each model on one text, and draw it on a terminal or into files."""
    if len(names) > 1:
        raise UsageError(f"--memory: takes one text, not {len(names)}: join them with cat and name -")
    models = list({model.name: model for model in models}.values())  # each once
    ((name, blocks),) = open_texts(names, models[0], output)
    text = "".join(islice(chain.from_iterable(blocks), MAX_CHARS))
    if len(text) == MAX_CHARS:
        output.note(f"{name}: only its first {MAX_CHARS:,} characters are read")
    encoded = [EncodedText([text], model.vocab) for model in models]
    ids = [np.concatenate([np.empty(0, np.int32), *each]) for each in encoded]
    unknown = [each.unknown for each in encoded]
    note_unknown(output, name, unknown, models)
    found = dict[str, GradientReach]()
    for model, own in zip(models, ids, strict=True):
        if is_terminal(sys.stderr):
            output.note(f"measuring how far back {model.name} remembers: this may take half a minute")
        found[model.name] = measure_reach(model.network, own[own != UNKNOWN])
    if output.json:
        for model, own, missing, reach in zip(models, ids, unknown, found.values(), strict=True):
            output.record(memory_record(name, model, len(own), missing, reach))
    else:
        write_table(output, name, found, with_chart=not files)
    title = f"How far back: {', '.join(found)} on {name}"
    save_pictures(files, lambda: page(title, memory_svg(found)), lambda: memory_svg(found), output)


def memory_record(text: str, model: Model, chars: int, unknown: int, reach: GradientReach) -> dict[str, Any]:
    """Return the JSON object of a model."""
    return {
        "text": text,
        "model": str(model.path),
        "chars": chars - unknown,
        "unknown": unknown,
        "stretches": reach.stretches,
        "gradient_mean": finite(reach.mean),
        "gradient_median": finite(reach.median),
        "gradient_parts": {name: finite(norms) for name, norms in reach.parts.items()},
        "bits_per_char": bits(reach.full),
        "cut": [
            {"context": k, "bits_per_char": bits(nats), "positions": reach.positions[k]}
            for k, nats in reach.cut.items()
        ],
    }


def finite(values: Array) -> list[float | None]:
    """Return numbers for JSON, with None for those that are not finite."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


# ---- the table and the chart ----


def write_table(output: Output, name: str, found: Mapping[str, GradientReach], with_chart: bool) -> None:
    """Write one row per lag, tab-separated; on a terminal in columns under titles, and with a chart if wanted."""
    table = list(rows(list(found.values())))
    if not is_terminal(sys.stdout):
        for row in table:
            output.row(*row)
        return
    titles = ["lag", *(title for _ in found for title in ("gradient", "bits"))]
    output.write(f"{name}\n{aligned(titles, list(found) if len(found) > 1 else [], table)}")
    lines = {visible(model): points for model, reach in found.items() if (points := gradient_points(reach))}
    if with_chart and lines:
        output.raw(f"\n{TITLES[0]}\n{line_chart(lines, X_LABEL, sys.stdout)}\n")
        output.flush()


def rows(found: Sequence[GradientReach]) -> Iterator[list[str]]:
    """Yield a row for lag 0 and each power of two, with the gradient and the bits of each model, then one for all."""
    for lag in (0, *max((reach.cut for reach in found), key=len)):
        yield [str(lag), *(cell for reach in found for cell in cells(reach, lag))]
    yield ["all", *(cell for reach in found for cell in ("-", f"{bits(reach.full):.4f}"))]


def cells(reach: GradientReach, lag: int) -> tuple[str, str]:
    """Return the relative norm and the bits at a lag, a dash for one that was not measured."""
    norm = f"{reach.relative[lag]:.3g}" if lag < len(reach.mean) else "-"
    return norm, f"{bits(reach.cut[lag]):.4f}" if lag in reach.cut else "-"


def aligned(titles: Sequence[str], models: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Return a table in aligned columns under their titles, each pair of columns under the name of its model."""
    widths = [max(map(len, column)) + 2 for column in zip(titles, *table, strict=True)]
    lines = ["".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in (titles, *table)]
    pairs = [left + right for left, right in zip(widths[1::2], widths[2::2], strict=True)]
    names = "".join(f"{model[: pair - 2]:>{pair}}" for model, pair in zip(models, pairs, strict=False))
    return "\n".join([f"{'':{widths[0]}}{names}"] * bool(models) + lines) + "\n"


# ---- the curves ----


def gradient_points(reach: GradientReach) -> Points:
    """Return the relative norms by lag, up to the first that cannot be drawn."""
    return list(takewhile(lambda point: MIN_NORM <= point[1] < math.inf, enumerate(reach.relative.tolist())))


def loss_points(reach: GradientReach) -> Points:
    """Return the bits per character by the characters of context."""
    return [(k, bits(nats)) for k, nats in reach.cut.items()]


def memory_svg(found: Mapping[str, GradientReach]) -> str:
    """Return the SVG: two panels, each with one line per model."""
    panels: dict[str, dict[str, tuple[Points, Points]]] = {
        title: {model: (points(reach), []) for model, reach in found.items()}
        for title, points in zip(TITLES, (gradient_points, loss_points), strict=True)
    }
    return line_plot(panels, X_LABEL, [("linear", "decades"), ("doublings", "linear")])
