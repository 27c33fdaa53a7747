"""Scores of a text: how surprised a model is by each character, in nats (1 nat = 1.4427 bits)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import Cache
from charrnn.errors import DivergedError
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids, cross_entropy_forward
from charrnn.vocab import UNKNOWN

WINDOW = 256  # ids read at a time: a fixed number, so that a score does not depend on how its text arrives


@dataclass(frozen=True)
class Score:
    """What a text costs a model: sums over `chars` characters, and how many others it could not score."""

    chars: int = 0
    nats: float = 0.0
    hits: int | None = 0  # characters that the model thought likeliest; None of one that only tells what they cost
    unknown: int = 0

    @property
    def nats_per_char(self) -> float:
        """The mean cost of a character; of none it is nothing, and a ZeroDivisionError."""
        return self.nats / self.chars

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return bits(self.nats_per_char)

    @property
    def perplexity(self) -> float:
        """exp(nats a character): as if the model chose among so many equally likely characters."""
        return math.exp(min(self.nats_per_char, 700.0))  # what is larger has no float

    @property
    def accuracy(self) -> float | None:
        """The share of characters that the model thought likeliest."""
        return None if self.hits is None else self.hits / self.chars


def bits(nats: float) -> float:
    """Turn nats into bits."""
    return nats / math.log(2)


def windows(blocks: Iterable[Ids], size: int) -> Iterator[Ids]:
    """Cut a stream of ids anew into arrays of `size`, the last one shorter."""
    held: Ids = np.empty(0, np.int64)
    for piece in (block[i : i + size] for block in blocks for i in range(0, len(block), size)):
        held = np.concatenate([held, piece])
        if len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held


class Reading(NamedTuple):
    """A window was read: the score so far, what the window was, and what a backward pass through it needs."""

    score: Score
    x: Ids  # (T, 1), what was read; T is 0 if the vocabulary knows nothing of the window
    y: Ids  # (T, 1), what followed
    probs: Array  # (T, V, 1), a view into the cache
    cache: Cache


def read(model: CharRNN, blocks: Iterable[Ids], start_id: int, size: int) -> Iterator[Reading]:
    """Read ids as one stream with carried state, in windows of `size` ids, in constant memory.

    Every character is predicted, the first after the start id. Ids of -1 are characters that the vocabulary lacks:
    they are counted and passed over. Raises DivergedError if a score is not finite.
    """
    cache, state, before = model.cache(size, 1), model.zero_state(1), start_id
    chars, nats, hits, unknown = 0, 0.0, 0, 0
    for window in windows(blocks, size):
        known = window[window != UNKNOWN].astype(np.int64)
        x, y = np.concatenate([[before], known[:-1]])[: len(known), None], known[:, None]
        logits, state = model.forward(x, state, cache)
        hits += int(np.count_nonzero(logits.argmax(axis=1) == y))
        with np.errstate(invalid="ignore"):
            nats += float(cross_entropy_forward(logits, y).sum(dtype=np.float64))
        if not math.isfinite(nats):
            raise DivergedError("the model has diverged: its scores are not finite; train again with a smaller --lr")
        chars, unknown = chars + len(y), unknown + len(window) - len(y)
        before = int(known[-1]) if len(known) else before
        yield Reading(Score(chars, nats, hits, unknown), x, y, logits, cache)


def score(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Score]:
    """Read ids as `read` does; yield the score so far after each window."""
    return (reading.score for reading in read(model, blocks, start_id, WINDOW))


def last(scores: Iterable[Score]) -> Score:
    """Return the last of the scores so far, which is that of the whole; none at all score nothing."""
    return max(scores, key=lambda result: result.chars + result.unknown, default=Score())


def score_ids(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Score:
    """Score ids to their end."""
    return last(score(model, blocks, start_id))
