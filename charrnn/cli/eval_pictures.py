"""charrnn eval --heatmap, --neurons and --neuron: a text in colours, by its surprisal or by a unit's activation."""

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from charrnn.analysis.correlations import BestUnit, best_units, excerpt_activations, unit_activations
from charrnn.analysis.units import Unit, unit_named
from charrnn.api.model import Model
from charrnn.cli.eval_characters import CharacterReader, character_record
from charrnn.cli.eval_inputs import note_unknown, open_texts
from charrnn.cli.picture_files import save_pictures
from charrnn.cli.streams import Output
from charrnn.core.errors import TextError
from charrnn.core.score import bits
from charrnn.core.vocab import UNKNOWN
from charrnn.data.normalization import normalized_blocks
from charrnn.evaluation.characters import Prediction
from charrnn.plots.heatmap import BITS, Guesses, Heatmap, Piece, diverging_scale, quantile_scale
from charrnn.plots.html import page, text_html
from charrnn.plots.svg import text_svg
from charrnn.terminal.pictures import heatmap_lines
from charrnn.terminal.progress import Wait
from charrnn.terminal.streams import has_color

CHARS_PER_PIECE = 1024  # characters that are drawn at a time
HOVER_TOP = 3  # likeliest characters in a picture file without --top, shown where a pointer rests
MAX_UNITS_DRAWN = 4  # per text, with --neurons


class Canvas:
    """Draws texts on stdout as they are read, or into files; with --json, stdout has the values instead."""

    def __init__(self, model: Model, output: Output, files: Mapping[str, Path]) -> None:
        self.model, self.output, self.files = model, output, files
        self.started = False

    def texts(self, names: Sequence[str], as_read: bool = False) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield the name and the pieces of each text, normalized for the model; `as_read`, they are drawn at once."""
        for name, blocks in open_texts(names, self.model, self.output):
            seen = self.output.to_terminal and (as_read or self.output.json)  # no line can move between the rows
            wait = Wait(name, blocks.expected, self.output.quiet or seen)
            yield name, self.pieces(name, normalized_blocks(blocks, self.model.vocab.normalize), wait)

    def pieces(self, name: str, blocks: Iterable[str], wait: Wait) -> Iterator[str]:
        """Cut blocks into pieces, so that a text is drawn as it is read; at its end note the unknown characters.

        Raises TextError if all of them are unknown.
        """
        chars = unknown = 0
        with wait:
            for piece in (
                block[i : i + CHARS_PER_PIECE] for block in blocks for i in range(0, len(block), CHARS_PER_PIECE)
            ):
                chars += len(piece)
                unknown += int(np.count_nonzero(self.model.vocab.encode(piece) == UNKNOWN))
                yield piece
                wait(len(piece))
        if chars == unknown:
            raise TextError(f"{name}: contains no character that the model knows: nothing to draw")
        note_unknown(self.output, name, [unknown], [self.model])

    def draw(self, heatmaps: Iterable[Heatmap], title: str) -> None:
        """Draw heat maps, all of them in one file of each kind."""
        if self.files:
            kept = [replace(heatmap, pieces=list(heatmap.pieces)) for heatmap in heatmaps]
            title = f"{self.model.path.stem}: {title}"
            return save_pictures(
                self.files, lambda: page(title, *map(text_html, kept)), lambda: text_svg(kept), self.output
            )
        for heatmap in heatmaps:
            if self.output.json:
                deque(heatmap.pieces, maxlen=0)  # values are written as they are computed
                continue
            self.separate()
            for line in heatmap_lines(heatmap, sys.stdout):
                self.output.raw(line)
                self.output.flush()

    def separate(self) -> None:
        """Write an empty line, except before the first part of the output."""
        if self.started and not self.output.json:
            self.output.write("\n")
        self.started = True


def draw_texts(
    names: Sequence[str], canvas: Canvas, reader: CharacterReader, neurons: bool, neuron: str | None
) -> None:
    """Draw each text coloured by a unit, by the units that are easiest to interpret, or by its surprisal."""
    if neuron is not None:
        draw_neuron(names, neuron, canvas)
    elif neurons:
        draw_neurons(names, canvas)
    else:
        draw_heatmap(names, canvas, reader)


# ---- surprisal ----


def draw_heatmap(names: Sequence[str], canvas: Canvas, reader: CharacterReader) -> None:
    """Draw each text coloured by its surprisal.

    Where there are colours, the text is held in memory, to fit them to its values; elsewhere it is drawn as it is read.
    """
    written = min(reader.top, len(canvas.model.vocab))  # below each line, or with --json
    if canvas.files and not reader.top:
        reader = replace(reader, top=HOVER_TOP)
    in_color = bool(canvas.files) or (has_color(sys.stdout) and not canvas.output.json)
    texts = (
        (f"{name}: surprise in bits", surprisals(name, text, canvas, reader, written))
        for name, text in canvas.texts(names, as_read=not in_color)
    )
    heatmaps = (
        surprise_heatmap(title, list(pieces), written) if in_color else Heatmap(title, BITS, pieces, written)
        for title, pieces in texts
    )
    canvas.draw(heatmaps, "surprise in bits")


def surprise_heatmap(title: str, pieces: Sequence[Piece], guess_rows: int) -> Heatmap:
    """Return a heat map with colours from the quantiles of the values."""
    return Heatmap(title, quantile_scale(np.concatenate([piece[1] for piece in pieces])), pieces, guess_rows)


def surprisals(
    name: str, text: Iterable[str], canvas: Canvas, reader: CharacterReader, written: int
) -> Iterator[Piece]:
    """Yield the pieces of a text with the bits of each character, NaN for unknown ones, and the likeliest ones."""
    model, found = canvas.model, reader.read(text)
    while part := list(islice(found, CHARS_PER_PIECE)):
        if canvas.output.json:
            for character, prediction in part:
                shown = prediction and prediction._replace(likeliest=prediction.likeliest[:written])
                canvas.output.record(character_record(name, model, character, shown))
        values = np.array([bits(prediction.nats) if prediction else math.nan for _, prediction in part])
        yield "".join(character for character, _ in part), values, [guesses(model, each) for _, each in part]


def guesses(model: Model, prediction: Prediction | None) -> Guesses:
    """Return the characters that were the likeliest, with their probabilities."""
    return [(model.vocab.characters[i], share) for i, share in prediction.likeliest] if prediction else ()


# ---- units ----


def draw_neuron(names: Sequence[str], unit_name: str, canvas: Canvas) -> None:
    """Draw each text coloured by the activation of a unit; it is held in memory, to fit the colours to the values."""
    unit = unit_named(unit_name, canvas.model.network.config)
    texts = ((name, activations(name, text, unit, canvas)) for name, text in canvas.texts(names))
    canvas.draw((unit_heatmap(f"{name}: unit {unit}", list(pieces)) for name, pieces in texts), f"unit {unit}")


def activations(name: str, text: Iterable[str], unit: Unit, canvas: Canvas) -> Iterator[Piece]:
    """Read a text as one stream; yield its pieces with the activation of a unit after each character."""
    model = canvas.model
    for piece, values in unit_activations(model.network, text, model.vocab, unit):
        if canvas.output.json:
            for character, value in zip(piece, values.tolist(), strict=True):
                known = {"char": character, "activation": None if math.isnan(value) else value}
                canvas.output.record({"text": name, "model": str(model.path), "unit": str(unit), **known})
        yield piece, values


def unit_heatmap(title: str, pieces: Sequence[Piece], largest: float = 0) -> Heatmap:
    """Return a heat map with colours from minus the largest activation to plus the largest; 0: find the largest."""
    largest = largest or max((float(np.nanmax(np.abs(piece[1]), initial=0)) for piece in pieces), default=0)
    return Heatmap(title, diverging_scale(largest or 1), pieces)


def draw_neurons(names: Sequence[str], canvas: Canvas) -> None:
    """Write the units that are easiest to interpret, one row per property, and draw an excerpt for the best of them."""
    heatmaps = (heatmap for name, text in canvas.texts(names) for heatmap in unit_heatmaps(name, text, canvas))
    canvas.draw(heatmaps, "the units that are easiest to read")


def unit_heatmaps(name: str, text: Iterable[str], canvas: Canvas) -> Iterator[Heatmap]:
    """Write the rows of a text (correlation, unit, property, name); yield the heat maps of the best units."""
    model, output = canvas.model, canvas.output
    findings = best_units(model.network, text, model.vocab)
    canvas.separate()
    for unit, what, r, *_ in findings:
        if output.json:
            row = {"unit": str(unit), "property": what, "correlation": r}
            output.record({"text": name, "model": str(model.path), **row})
        else:
            output.row(f"{r:+.3f}", str(unit), what, name)
    best = dict[Unit, BestUnit]()
    for found in findings:
        best.setdefault(found.unit, found)
    for unit, what, r, largest, excerpt in islice(best.values(), MAX_UNITS_DRAWN):
        values = excerpt_activations(model.network, excerpt, model.vocab, unit)
        yield unit_heatmap(f"{name}: unit {unit}, {what} ({r:+.3f})", [(excerpt.text, values)], largest)
