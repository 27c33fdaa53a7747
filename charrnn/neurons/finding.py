"""Which units are easiest to read: those whose activation goes with a simple property of the text.

The correlation (Pearson's) of every unit with every property, from sums that are added up as the text is read.
Karpathy, Johnson & Fei-Fei 2015 (arXiv:1506.02078) found such units by eye.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.model import CharRNN
from charrnn.neurons.properties import PROPERTIES, Values, properties, stretches
from charrnn.neurons.units import Reader, Unit, column_of, unit_at
from charrnn.ops import Array
from charrnn.vocab import Vocab

LOOK_BACK = 1024  # characters before an excerpt that are read to know what a unit holds there
EXCERPT = 600  # characters of one at most
LEAST_VARIANCE = 1e-12  # what varies less is constant, but for rounding


class Excerpt(NamedTuple):
    """A part of a text that shows a property well, and what stands before it."""

    before: str
    text: str


class Finding(NamedTuple):
    """The unit that goes best with a property: their correlation, its largest activation, and where to see it."""

    unit: Unit
    property: str
    correlation: float
    largest: float
    excerpt: Excerpt


class Correlations:
    """The sums from which the correlations of U units with P properties follow, and each unit's largest activation."""

    def __init__(self, units: int, count: int) -> None:
        self.n = 0
        self.h, self.hh, self.largest = np.zeros((3, units))
        self.p, self.pp = np.zeros((2, count))
        self.hp = np.zeros((units, count))

    def add(self, h: Array, p: Values) -> None:
        """Add characters: activations (N, U) and properties (N, P); those of unknown characters are passed over."""
        known = ~np.isnan(h[:, 0])
        h, p = h[known].astype(np.float64), p[known]
        self.n += len(h)
        self.h += h.sum(axis=0)
        self.hh += np.square(h).sum(axis=0)
        self.p += p.sum(axis=0)
        self.pp += np.square(p).sum(axis=0)
        self.hp += h.T @ p
        self.largest = np.maximum(self.largest, np.abs(h).max(axis=0, initial=0))

    def values(self) -> NDArray[np.float64]:
        """Return the correlations (U, P), 0 with what does not vary."""
        n = max(1, self.n)
        covariance = self.hp / n - np.outer(self.h / n, self.p / n)
        h, p = self.hh / n - (self.h / n) ** 2, self.pp / n - (self.p / n) ** 2
        varies = np.logical_and.outer(h > LEAST_VARIANCE, p > LEAST_VARIANCE)
        return np.where(varies, covariance / np.sqrt(np.where(varies, np.outer(h, p), 1)), 0)


class Excerpts:
    """For each property the part of a text in which it varies most, of parts that begin as stretches do."""

    def __init__(self, count: int) -> None:
        self.before, self.variance = "", np.zeros(count)
        self.best = [Excerpt("", "")] * count

    def offer(self, stretch: str, p: Values) -> None:
        """Look at the beginning of the next stretch, whose properties are p (N, P)."""
        size = stretch.rfind("\n", 0, EXCERPT) + 1 or EXCERPT
        variance = p[:size].var(axis=0)
        for k in np.flatnonzero(variance > self.variance):
            self.best[k] = Excerpt(self.before, stretch[:size])
        self.variance = np.maximum(self.variance, variance)
        self.before = (self.before + stretch)[-LOOK_BACK:]


def find(model: CharRNN, blocks: Iterable[str], vocab: Vocab) -> list[Finding]:
    """Read a text as one stream, in constant memory; return the unit of each property that varies in it, best first."""
    reader = Reader(model, vocab.start_id)
    sums, excerpts = Correlations(reader.size, len(PROPERTIES)), Excerpts(len(PROPERTIES))
    for stretch in stretches(blocks):
        p = properties(stretch)
        excerpts.offer(stretch, p)
        begin = 0
        for h in reader.read(vocab.encode(stretch)):
            sums.add(h, p[begin : begin + len(h)])
            begin += len(h)
    values, findings = sums.values(), list[Finding]()
    for k, name in enumerate(PROPERTIES):
        u = int(np.abs(values[:, k]).argmax())
        unit, r, largest = unit_at(u, model.config), float(values[u, k]), float(sums.largest[u])
        findings += [Finding(unit, name, r, largest, excerpts.best[k])] if r else []
    return sorted(findings, key=lambda finding: -abs(finding.correlation))


def followed(model: CharRNN, blocks: Iterable[str], vocab: Vocab, unit: Unit) -> Iterator[tuple[str, Array]]:
    """Read a text as one stream; yield it piece by piece with what a unit holds after each character, (N,)."""
    reader, column = Reader(model, vocab.start_id), column_of(unit, model.config)
    for stretch in stretches(blocks):
        found = [h[:, column] for h in reader.read(vocab.encode(stretch))]
        yield stretch, np.concatenate(found)


def shown(model: CharRNN, excerpt: Excerpt, vocab: Vocab, unit: Unit) -> Array:
    """Return what a unit holds after each character of an excerpt, (N,)."""
    pieces = followed(model, [excerpt.before + excerpt.text], vocab, unit)
    return np.concatenate([h for _, h in pieces])[len(excerpt.before) :]
