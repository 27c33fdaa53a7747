"""The loss of a text: a model reads it as one stream, and each character costs -log p nats (1 nat = 1.4427 bits)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.cells.cell import Cache
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids, cross_entropy_forward
from charrnn.core.vocab import UNKNOWN

WINDOW = 256  # ids read at a time: fixed, so that a score does not depend on how its text arrives
PIECE = 256  # characters in the smallest piece of a score
MAX_PIECES = 512  # when a text has more of them, neighbours are merged

Hits = NDArray[np.bool_]
Pieces = tuple[tuple[int, float], ...]  # characters and nats of consecutive stretches of a text


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)


@dataclass(frozen=True)
class Score:
    """The loss of a text in nats, summed over `chars` characters, and the number of characters not scored."""

    chars: int = 0
    nats: float = 0.0
    hits: int | None = 0  # characters that were the most likely ones; None if not known
    unknown: int = 0
    pieces: Pieces = field(default=(), compare=False, repr=False)  # for confidence intervals

    def __add__(self, other: "Score") -> "Score":
        """Return the score of two texts together."""
        hits = None if self.hits is None or other.hits is None else self.hits + other.hits
        pieces = tuple(merged([*self.pieces, *other.pieces]))
        return Score(self.chars + other.chars, self.nats + other.nats, hits, self.unknown + other.unknown, pieces)

    @property
    def nats_per_char(self) -> float | None:
        """The mean loss in nats per character; like the next ones None if no character was scored."""
        return self.nats / self.chars if self.chars else None

    @property
    def bits_per_char(self) -> float | None:
        """The mean loss in bits per character."""
        return bits(self.nats / self.chars) if self.chars else None

    @property
    def perplexity(self) -> float | None:
        """exp(nats per character): the number of equally likely characters with the same loss."""
        return math.exp(min(self.nats / self.chars, 700.0)) if self.chars else None  # larger ones overflow

    @property
    def accuracy(self) -> float | None:
        """The share of characters that were the most likely ones."""
        return None if self.hits is None or not self.chars else self.hits / self.chars


class Tally:
    """Adds up a score while a text is read."""

    def __init__(self) -> None:
        self.chars, self.nats, self.hits, self.unknown = 0, 0.0, 0, 0
        self.pieces: list[tuple[int, float]] = []
        self.size = PIECE

    def add(self, nats: Array, hits: int, unknown: int) -> None:
        """Add the next characters: their losses (N,), the number of hits, the number of unknown characters."""
        self.chars, self.hits, self.unknown = self.chars + len(nats), self.hits + hits, self.unknown + unknown
        self.nats += float(nats.sum(dtype=np.float64))
        for piece in (nats[i : i + PIECE] for i in range(0, len(nats), PIECE)):
            is_full = not self.pieces or self.pieces[-1][0] >= self.size
            chars, before = (0, 0.0) if is_full else self.pieces.pop()
            self.pieces.append((chars + len(piece), before + float(piece.sum(dtype=np.float64))))
            if len(self.pieces) > MAX_PIECES:
                self.pieces, self.size = merged(self.pieces), 2 * self.size

    @property
    def score(self) -> Score:
        """The score so far."""
        return Score(self.chars, self.nats, self.hits, self.unknown, tuple(self.pieces))


def merged(pieces: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Merge neighbours until there are at most MAX_PIECES."""
    while len(pieces) > MAX_PIECES:
        pairs = [pieces[i : i + 2] for i in range(0, len(pieces), 2)]
        pieces = [(sum(chars for chars, _ in pair), math.fsum(nats for _, nats in pair)) for pair in pairs]
    return pieces


def losses(logits: Array, y: Ids) -> tuple[Array, Hits]:
    """Return the losses of targets y (T, B) in nats, and which of them were the most likely ones, each (T, B).

    Turns logits (T, V, B) into probabilities in place. A target below 0 means none: its loss is 0.
    """
    target = np.take_along_axis(logits, np.maximum(y, 0)[:, None], axis=1)[:, 0]
    hits = (target == logits.max(axis=1)) & (y >= 0)
    return cross_entropy_forward(logits, y), hits


def check_finite(nats: float) -> None:
    """Raise DivergedError unless a sum of losses is finite."""
    if not math.isfinite(nats):
        raise DivergedError("the model has diverged: its scores are not finite; train again with a smaller --lr")


def windows(blocks: Iterable[Ids], size: int) -> Iterator[Ids]:
    """Regroup a sequence of id arrays into arrays of `size`, the last one shorter."""
    held, count = list[Ids](), 0
    for piece in (block[i : i + size] for block in blocks for i in range(0, len(block), size)):
        held.append(piece)
        count += len(piece)
        if count >= size:
            joined = np.concatenate(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(held)


class Reading(NamedTuple):
    """The result of reading one window, and what a backward pass through it needs."""

    score: Score  # of the text so far
    window: Ids  # (N,), N ≥ T
    x: Ids  # (T, 1), the inputs; T is 0 if no id of the window is known
    y: Ids  # (T, 1), the targets
    nats: Array  # (T, 1), the loss of each target
    probs: Array  # (T, V, 1), a view into the cache
    cache: Cache


def read(model: CharRNN, blocks: Iterable[Ids], start_id: int, size: int = WINDOW) -> Iterator[Reading]:
    """Read ids as one stream with carried state, in windows of `size` ids, in constant memory.

    Every character is predicted, the first after the start id. Ids of -1, characters that the vocabulary lacks, are
    counted and skipped. Raises DivergedError if a loss is not finite.
    """
    cache, state, before, tally = model.cache(size, 1), model.zero_state(1), start_id, Tally()
    for window in windows(blocks, size):
        known = window[window != UNKNOWN].astype(np.int64)
        x, y = np.concatenate([[before], known[:-1]])[: len(known), None], known[:, None]
        logits, state = model.forward(x, state, cache)
        nats, hits = losses(logits, y)
        tally.add(nats[:, 0], int(np.count_nonzero(hits)), len(window) - len(known))
        check_finite(tally.nats)
        before = int(known[-1]) if len(known) else before
        yield Reading(tally.score, window, x, y, nats, logits, cache)


def score(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Score]:
    """Read ids as one stream, as `read` does; yield the score so far after each window."""
    return (reading.score for reading in read(model, blocks, start_id))
