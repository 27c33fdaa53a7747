"""What a model expects: of each character of a text, and of the one that would come next."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from charrnn.evaluate.stream import WINDOW, check_finite, read
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.vocab import UNKNOWN

LOOK_BACK = 1024  # characters before the next one that are read: those before them hardly change what is expected


class Expectation(NamedTuple):
    """How a model expected a character: its probability, its place among all by that, and -log of it in nats."""

    id: int
    probability: float
    rank: int  # 1 is the likeliest
    nats: float


def expectations(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Expectation | None]:
    """Read ids as one stream; yield how each was expected, None for one that the vocabulary lacks."""
    for reading in read(model, blocks, start_id, WINDOW):
        chosen = np.take_along_axis(reading.probs, reading.y[:, None], axis=1)  # (T, 1, 1)
        ranks = 1 + np.count_nonzero(reading.probs > chosen, axis=1)
        columns = (reading.y[:, 0], chosen[:, 0, 0], ranks[:, 0], reading.nats[:, 0])
        known = iter(zip(*(column.tolist() for column in columns), strict=True))
        yield from (None if i == UNKNOWN else Expectation(*next(known)) for i in reading.window.tolist())


def likeliest(model: CharRNN, blocks: Iterable[Ids], start_id: int, count: int) -> list[Expectation]:
    """Return the characters that a model expects most after a text, the likeliest first.

    Of a long text the last LOOK_BACK characters are read.
    """
    tail = np.empty(0, np.int64)
    for block in blocks:
        tail = np.concatenate([tail, block[block != UNKNOWN]])[-LOOK_BACK:]
    x = np.concatenate([[start_id], tail])[:, None]
    logits, _ = model.forward(x, model.zero_state(1), model.cache(len(x), 1))
    last = logits[-1, :, 0].astype(np.float64)
    ids = np.argsort(-last, kind="stable")[:count]
    check_finite(float(last[ids].sum()))
    nats = np.log(np.exp(last - last.max()).sum()) + last.max() - last[ids]
    found = zip(ids.tolist(), np.exp(-nats).tolist(), nats.tolist(), strict=True)
    return [Expectation(i, p, rank, cost) for rank, (i, p, cost) in enumerate(found, 1)]
