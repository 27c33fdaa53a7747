"""A text read as one stream, character after character with carried state: each window after the one before."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.cells.cell import Cache
from charrnn.errors import DivergedError
from charrnn.evaluate.figures import Score, Tally
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids, cross_entropy_forward
from charrnn.vocab import UNKNOWN

WINDOW = 256  # ids read at a time: a fixed number, so that a score does not depend on how its text arrives

Hits = NDArray[np.bool_]


def windows(blocks: Iterable[Ids], size: int) -> Iterator[Ids]:
    """Cut a stream of ids anew into arrays of `size`, the last one shorter."""
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


def costs(logits: Array, y: Ids) -> tuple[Array, Hits]:
    """Return what targets y (T, B) cost in nats, and which of them were thought likeliest, each (T, B).

    Turns logits (T, V, B) into the probabilities in place. A target below 0 is none: it costs nothing.
    """
    target = np.take_along_axis(logits, np.maximum(y, 0)[:, None], axis=1)[:, 0]
    hits = (target == logits.max(axis=1)) & (y >= 0)
    return cross_entropy_forward(logits, y), hits


def check_finite(nats: float) -> None:
    """Raise DivergedError unless a sum of costs is a number."""
    if not math.isfinite(nats):
        raise DivergedError("the model has diverged: its scores are not finite; train again with a smaller --lr")


class Reading(NamedTuple):
    """A window was read: the score so far, what the window was, and what a backward pass through it needs."""

    score: Score
    window: Ids  # (N,), all ids of it, N ≥ T
    x: Ids  # (T, 1), what was read; T is 0 if the vocabulary knows nothing of the window
    y: Ids  # (T, 1), what followed
    nats: Array  # (T, 1), what each of y cost
    probs: Array  # (T, V, 1), a view into the cache
    cache: Cache


def read(model: CharRNN, blocks: Iterable[Ids], start_id: int, size: int) -> Iterator[Reading]:
    """Read ids as one stream with carried state, in windows of `size` ids, in constant memory.

    Every character is predicted, the first after the start id. Ids of -1 are characters that the vocabulary lacks:
    they are counted and passed over. Raises DivergedError if a score is not finite.
    """
    cache, state, before, tally = model.cache(size, 1), model.zero_state(1), start_id, Tally()
    for window in windows(blocks, size):
        known = window[window != UNKNOWN].astype(np.int64)
        x, y = np.concatenate([[before], known[:-1]])[: len(known), None], known[:, None]
        logits, state = model.forward(x, state, cache)
        nats, hits = costs(logits, y)
        tally.add(nats[:, 0], int(np.count_nonzero(hits)), len(window) - len(known))
        check_finite(tally.nats)
        before = int(known[-1]) if len(known) else before
        yield Reading(tally.score, window, x, y, nats, logits, cache)
