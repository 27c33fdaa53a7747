"""Scores of a text: how surprised a model is by each character, in nats (1 nat = 1.4427 bits)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.errors import DivergedError
from charrnn.model import CharRNN
from charrnn.ops import Ids, cross_entropy_forward
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


def score(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Score]:
    """Read ids as one stream with carried state; yield the score so far after each window, in constant memory.

    Every character is predicted, the first after the start id. Ids of -1 are characters that the vocabulary lacks:
    they are counted and passed over. Raises DivergedError if a score is not finite.
    """
    cache, state, before = model.cache(WINDOW, 1), model.zero_state(1), start_id
    chars, nats, hits, unknown = 0, 0.0, 0, 0
    for window in windows(blocks, WINDOW):
        y = window[window != UNKNOWN].astype(np.int64)[:, None]  # (T, 1)
        unknown += len(window) - len(y)
        if len(y):
            x = np.concatenate([[[before]], y[:-1]])
            logits, state = model.forward(x, state, cache)
            hits += int(np.count_nonzero(logits.argmax(axis=1) == y))
            with np.errstate(invalid="ignore"):
                nats += float(cross_entropy_forward(logits, y).sum(dtype=np.float64))
            chars, before = chars + len(y), int(y[-1, 0])
            if not math.isfinite(nats):
                raise DivergedError(
                    "the model has diverged: its scores are not finite; train again with a smaller --lr"
                )
        yield Score(chars, nats, hits, unknown)


def score_ids(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Score:
    """Score ids to their end; none at all score nothing."""
    return max(score(model, blocks, start_id), key=lambda result: result.chars + result.unknown, default=Score())
