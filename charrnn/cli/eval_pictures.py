"""charrnn eval --heatmap, --neurons and --neuron: a text in colours, by its surprisal or by what a unit holds."""

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, tee

import numpy as np

from charrnn.cli.eval_characters import record
from charrnn.cli.picture_files import PictureFiles
from charrnn.cli.streams import Output
from charrnn.cli.texts import Scorer, in_form, tell_unknown, texts_to_score
from charrnn.errors import TextError
from charrnn.evaluate import bits, expectations
from charrnn.neurons import Unit, find, followed, shown, unit_named
from charrnn.pictures import BITS, Piece, Shading, both_ways, page, text_html, text_svg
from charrnn.terminal import shaded
from charrnn.vocab import UNKNOWN

PIECE = 1024  # characters that are drawn at a time
PICTURES = 4  # of units at most, with --neurons


class Easel:
    """Where texts are drawn: on stdout as they are read, or into files; with --json stdout has values instead."""

    def __init__(self, scorer: Scorer, output: Output, files: PictureFiles, json: bool, quiet: bool) -> None:
        self.scorer, self.output, self.files, self.json, self.quiet = scorer, output, files, json, quiet
        self.begun = False

    def texts(self, names: Sequence[str]) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield each text's name and its pieces, in the model's form."""
        for name, blocks in texts_to_score(names, self.scorer.trained, self.quiet):
            yield name, self.pieces(name, in_form(blocks, self.scorer.vocab))

    def pieces(self, name: str, blocks: Iterable[str]) -> Iterator[str]:
        """Cut blocks, so that a text is drawn as it is read; at its end say how much of it the model does not know.

        Raises TextError if that is all of it.
        """
        chars = unknown = 0
        for piece in (block[i : i + PIECE] for block in blocks for i in range(0, len(block), PIECE)):
            chars += len(piece)
            unknown += int(np.count_nonzero(self.scorer.vocab.encode(piece) == UNKNOWN))
            yield piece
        if chars == unknown:
            raise TextError(f"{name}: holds no character that the model knows: there is nothing to draw")
        tell_unknown(name, [unknown], [self.scorer], self.quiet)

    def draw(self, shadings: Iterable[Shading], title: str) -> None:
        """Draw pictures of texts, all of them in one file of each kind."""
        if self.files:
            kept = [shading.kept() for shading in shadings]
            self.files.save(lambda: page(title, *map(text_html, kept)), lambda: text_svg(kept))
            return
        for shading in shadings:
            if self.json:
                deque(shading.pieces, maxlen=0)  # which writes the values as they come
            else:
                self.part()
                for line in shaded(shading, sys.stdout):
                    self.output.raw(line)
                    self.output.flush()

    def part(self) -> None:
        """Leave a line empty between one thing and the next."""
        if self.begun and not self.json:
            self.output.write("\n")
        self.begun = True


# ---- surprise ----


def draw_heatmap(names: Sequence[str], easel: Easel) -> None:
    """Draw each text in the colours of its surprisal."""
    texts = ((name, surprisals(name, text, easel)) for name, text in easel.texts(names))
    shadings = (Shading(f"{name}: surprise in bits", BITS, found) for name, found in texts)
    easel.draw(shadings, f"{easel.scorer.path.stem}: surprise in bits")


def surprisals(name: str, text: Iterable[str], easel: Easel) -> Iterator[Piece]:
    """Read a text as one stream; yield its pieces with the bits of each character, NaN for unknown ones."""
    scorer = easel.scorer
    to_score, to_draw = tee(text)
    found = expectations(scorer.trained.model, map(scorer.vocab.encode, to_score), scorer.vocab.start_id)
    for piece in to_draw:
        values = np.full(len(piece), math.nan)
        for n, (character, expected) in enumerate(zip(piece, islice(found, len(piece)), strict=True)):
            if expected:
                values[n] = bits(expected.nats)
            if easel.json:
                easel.output.record(record(name, scorer, character, expected))
        yield piece, values


# ---- units ----


def draw_neuron(names: Sequence[str], neuron: str, easel: Easel) -> None:
    """Draw each text in the colours of what a unit holds; it is held in memory, for the colours to fit the values."""
    unit = unit_named(neuron, easel.scorer.trained.model.config)
    texts = ((name, activations(name, text, unit, easel)) for name, text in easel.texts(names))
    shadings = (of_unit(f"{name}: unit {unit}", list(found)) for name, found in texts)
    easel.draw(shadings, f"{easel.scorer.path.stem}: unit {unit}")


def activations(name: str, text: Iterable[str], unit: Unit, easel: Easel) -> Iterator[Piece]:
    """Read a text as one stream; yield its pieces with what a unit holds after each character."""
    scorer = easel.scorer
    for piece, values in followed(scorer.trained.model, text, scorer.vocab, unit):
        if easel.json:
            for character, value in zip(piece, values.tolist(), strict=True):
                known = {"char": character, "activation": None if math.isnan(value) else value}
                easel.output.record({"text": name, "model": str(scorer.path), "unit": str(unit), **known})
        yield piece, values


def of_unit(title: str, pieces: Sequence[Piece], largest: float = 0) -> Shading:
    """Return a picture of a unit whose colours go from its largest activation to as much below zero."""
    largest = largest or max((float(np.nanmax(np.abs(h), initial=0)) for _, h in pieces), default=0)
    return Shading(title, both_ways(largest or 1), pieces)


def draw_neurons(names: Sequence[str], easel: Easel) -> None:
    """Write the units that are easiest to read, a row each, and draw a part of the text as the best of them see it."""
    shadings = (shading for name, text in easel.texts(names) for shading in units(name, text, easel))
    easel.draw(shadings, f"{easel.scorer.path.stem}: the units that are easiest to read")


def units(name: str, text: Iterable[str], easel: Easel) -> Iterator[Shading]:
    """Write the rows of a text: correlation, unit, property, name; yield the pictures of the best units."""
    scorer = easel.scorer
    model, vocab = scorer.trained.model, scorer.vocab
    findings = find(model, text, vocab)
    easel.part()
    for unit, what, r, *_ in findings:
        if easel.json:
            row = {"unit": str(unit), "property": what, "correlation": r}
            easel.output.record({"text": name, "model": str(scorer.path), **row})
        else:
            easel.output.write(f"{r:+.3f}\t{unit}\t{what}\t{name}\n")
    best = {found.unit: found for found in reversed(findings)}  # of each unit what it follows best
    for unit, what, r, largest, excerpt in [found for found in findings if best[found.unit] == found][:PICTURES]:
        values = shown(model, excerpt, vocab, unit)
        yield of_unit(f"{name}: unit {unit}, {what} ({r:+.3f})", [(excerpt.text, values)], largest)
