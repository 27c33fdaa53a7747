"""The units that are easiest to interpret: those with activations that correlate with a simple property of the text.

Pearson's correlation of every unit with every property, from sums that are accumulated as the text is read.
Karpathy, Johnson & Fei-Fei 2015 (arXiv:1506.02078) found such units by eye.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.properties import PROPERTIES, Values, properties, sections
from charrnn.analysis.units import ActivationReader, Unit
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array
from charrnn.core.vocab import Vocab

MAX_CONTEXT = 1024  # characters before an excerpt that are read for the activations in it
MAX_EXCERPT = 600  # characters
MIN_VARIANCE = 1e-12  # a smaller variance is rounding: the values are constant


class Excerpt(NamedTuple):
    """A part of a text in which a property varies, and the context before it."""

    before: str
    text: str


class BestUnit(NamedTuple):
    """The unit that correlates best with a property, its largest absolute activation, and an excerpt that shows it."""

    unit: Unit
    property: str
    correlation: float
    largest: float
    excerpt: Excerpt


class Correlations:
    """The sums that give the correlations of U units with P properties, and each unit's largest absolute activation."""

    def __init__(self, units: int, count: int) -> None:
        self.n = 0
        self.h, self.hh, self.largest = np.zeros((3, units))
        self.p, self.pp = np.zeros((2, count))
        self.hp = np.zeros((units, count))

    def add(self, h: Array, p: Values) -> None:
        """Add characters: activations (N, U) and properties (N, P); unknown characters are skipped."""
        known = ~np.isnan(h[:, 0])
        h, p = h[known].astype(np.float64), p[known]
        self.n += len(h)
        self.h += h.sum(axis=0)
        self.hh += np.square(h).sum(axis=0)
        self.p += p.sum(axis=0)
        self.pp += np.square(p).sum(axis=0)
        self.hp += h.T @ p
        self.largest = np.maximum(self.largest, np.abs(h).max(axis=0, initial=0))

    def matrix(self) -> NDArray[np.float64]:
        """Return the correlations (U, P), 0 where a unit or a property is constant."""
        n = max(1, self.n)
        covariance = self.hp / n - np.outer(self.h / n, self.p / n)
        h, p = self.hh / n - (self.h / n) ** 2, self.pp / n - (self.p / n) ** 2
        varies = np.logical_and.outer(h > MIN_VARIANCE, p > MIN_VARIANCE)
        return np.where(varies, covariance / np.sqrt(np.where(varies, np.outer(h, p), 1)), 0)


def best_units(model: CharRNN, blocks: Iterable[str], vocab: Vocab) -> list[BestUnit]:
    """Read a text as one stream, in constant memory; return the best unit for each property that varies, best first.

    The excerpt is the one in which the property varies most, among the beginnings of all sections.
    """
    reader, P = ActivationReader(model, vocab.start_id), len(PROPERTIES)
    sums, excerpts, before = Correlations(reader.size, P), [Excerpt("", "")] * P, ""
    highest = np.full(P, -1.0)  # so the first section is shown if a property varies nowhere but after the beginnings
    for section in sections(blocks):
        p = properties(section)
        size = section.rfind("\n", 0, MAX_EXCERPT) + 1 or MAX_EXCERPT
        variance = p[:size].var(axis=0)
        for k in np.flatnonzero(variance > highest).tolist():
            excerpts[k] = Excerpt(before, section[:size])
        highest, before = np.maximum(highest, variance), (before + section)[-MAX_CONTEXT:]
        begin = 0
        for h in reader.activations(vocab.encode(section)):
            sums.add(h, p[begin : begin + len(h)])
            begin += len(h)
    matrix, found = sums.matrix(), list[BestUnit]()
    for k, name in enumerate(PROPERTIES):
        u = int(np.abs(matrix[:, k]).argmax())
        unit, r, largest = Unit(*divmod(u, model.config.hidden_size)), float(matrix[u, k]), float(sums.largest[u])
        found += [BestUnit(unit, name, r, largest, excerpts[k])] if r else []
    return sorted(found, key=lambda best: -abs(best.correlation))


def unit_activations(model: CharRNN, blocks: Iterable[str], vocab: Vocab, unit: Unit) -> Iterator[tuple[str, Array]]:
    """Read a text as one stream; yield it piece by piece with the activation of a unit after each character, (N,)."""
    reader, column = ActivationReader(model, vocab.start_id), unit.layer * model.config.hidden_size + unit.number
    for section in sections(blocks):
        yield section, np.concatenate([h[:, column] for h in reader.activations(vocab.encode(section))])


def excerpt_activations(model: CharRNN, excerpt: Excerpt, vocab: Vocab, unit: Unit) -> Array:
    """Return the activation of a unit after each character of an excerpt, (N,)."""
    pieces = unit_activations(model, [excerpt.before + excerpt.text], vocab, unit)
    return np.concatenate([h for _, h in pieces])[len(excerpt.before) :]
