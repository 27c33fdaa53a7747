"""What a model finds in a text: the score of a line, a likely character, the surprisal of each character."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.score import Score
from charrnn.plots.heatmap import BITS, Heatmap
from charrnn.plots.html import embedded


class Validation(NamedTuple):
    """A validation during training; losses in nats per character."""

    step: int
    train_nats_per_char: float  # mean over the steps since the last one
    val_nats_per_char: float


class Candidate(NamedTuple):
    """A character that may come next."""

    character: str
    probability: float
    bits: float


class Line(NamedTuple):
    """A line without its newline, its figure in bits, None if no character was scored, and its score."""

    text: str
    bits: float | None
    score: Score


@dataclass(frozen=True, eq=False)
class Surprisal:
    """The bits of each character of a text, (N,), NaN for one outside the vocabulary; a notebook shows a heat map.

    `text` is in the model's Unicode form, which may have another length than the text that was given.
    """

    text: str
    bits: NDArray[np.float64]
    model: str  # its name

    def __len__(self) -> int:
        return len(self.text)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Yield each character with its bits."""
        return zip(self.text, self.bits.tolist(), strict=True)

    def __repr__(self) -> str:
        known = self.bits[~np.isnan(self.bits)]
        mean = f", {known.mean():.2f} bits per character" if len(known) else ""
        return f"<Surprisal of {len(self.text):,} characters{mean}>"

    def _repr_html_(self) -> str:
        """Return the heat map, as a notebook shows it."""
        return embedded(Heatmap(f"{self.model}: surprise in bits", BITS, [(self.text, self.bits)]))
