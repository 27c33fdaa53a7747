"""The predictions of a model: for each character of a text, and for the one that would come next."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np

from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from charrnn.core.score import check_finite, read
from charrnn.core.vocab import UNKNOWN, Vocab
from charrnn.data.ignoring import IGNORED, Ignore

MAX_CONTEXT = 1024  # characters that are read before the next one: earlier ones hardly change the prediction


class Prediction(NamedTuple):
    """A character, its probability, its rank by probability among all characters, and -log of the probability."""

    id: int
    probability: float
    rank: int  # 1 is the likeliest
    nats: float
    likeliest: tuple[tuple[int, float], ...] = ()  # the characters that were the likeliest, with their probabilities


def predictions(
    model: CharRNN, blocks: Iterable[Ids], start_id: int, likeliest: int = 0
) -> Iterator[Prediction | None]:
    """Read ids as one stream; yield the prediction of each, None for one that the vocabulary lacks.

    Each has the `likeliest` characters that the model expected there, the likeliest first.
    """
    for reading in read(model, blocks, start_id):
        chosen = np.take_along_axis(reading.probs, reading.y[:, None], axis=1)  # (T, 1, 1)
        ranks = 1 + np.count_nonzero(reading.probs > chosen, axis=1)
        columns = (reading.y[:, 0], chosen[:, 0, 0], ranks[:, 0], reading.nats[:, 0])
        expected = top(reading.probs[..., 0], likeliest) if likeliest else [()] * len(chosen)
        known = iter(zip(*(column.tolist() for column in columns), expected, strict=True))
        yield from (None if i == UNKNOWN else Prediction(*next(known)) for i in reading.window.tolist())


def top(probs: Array, count: int) -> list[tuple[tuple[int, float], ...]]:
    """Return the `count` likeliest ids of each step (T, V) with their probabilities, the likeliest first."""
    order = np.argsort(-probs, axis=1, kind="stable")[:, :count]  # (T, count)
    shares = np.take_along_axis(probs, order, axis=1)
    return [tuple(zip(*pair, strict=True)) for pair in zip(order.tolist(), shares.tolist(), strict=True)]


def line_predictions(
    model: CharRNN, vocab: Vocab, ignore: Ignore | None, line: str, likeliest: int = 0
) -> Iterator[Prediction | None]:
    """Read a normalized line as a text of its own; yield the prediction of each character.

    It is None for one that the vocabulary lacks, and for those that `ignore` matches: the network reads one character
    in the place of each match.
    """
    read_as = ignore.replaced(line) if ignore else line
    places = ignore.positions(line) if ignore else [(i, i + 1) for i in range(len(line))]
    found = predictions(model, [vocab.encode(read_as)], vocab.start_id, likeliest)
    for (start, end), character, prediction in zip(places, read_as, found, strict=True):
        yield from repeat(None if ignore and character == IGNORED else prediction, end - start)


def likeliest(model: CharRNN, blocks: Iterable[Ids], start_id: int, count: int) -> list[Prediction]:
    """Return the `count` likeliest characters after a text, the likeliest first.

    Only the last MAX_CONTEXT characters of a long text are read.
    """
    tail = np.empty(0, np.int64)
    for block in blocks:
        tail = np.concatenate([tail, block[block != UNKNOWN]])[-MAX_CONTEXT:]
    x = np.concatenate([[start_id], tail])[:, None]
    logits, _ = model.forward(x, model.zero_state(1), model.cache(len(x), 1))
    last = logits[-1, :, 0].astype(np.float64)
    ids = np.argsort(-last, kind="stable")[:count]
    check_finite(float(last[ids].sum()))
    nats = np.log(np.exp(last - last.max()).sum()) + last.max() - last[ids]
    found = zip(ids.tolist(), np.exp(-nats).tolist(), nats.tolist(), strict=True)
    return [Prediction(i, p, rank, loss) for rank, (i, p, loss) in enumerate(found, 1)]
