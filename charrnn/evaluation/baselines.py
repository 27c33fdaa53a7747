"""Baselines for the score of a text: methods that count n-grams or compress, given the network's training text.

An interpolated character model of order n (Kneser & Ney 1995, in the modified form of Chen & Goodman 1999), and
general compressors, charged for the bytes that the text adds to the compressed training text.
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.core.ops import Ids
from charrnn.core.vocab import Vocab, codes_of, text_of

ORDER = 7  # the character and the six before it
MAX_TRAINING_CHARS = 1 << 23  # the end of a longer training text is used, so that 800 MB of memory are enough
IDS_PER_PIECE = 1 << 18  # scored or compressed at a time
DEFAULT_DISCOUNTS = (0.5, 1.0, 1.5)  # where counts are too few to estimate them from; the values are KenLM's

Compressor: TypeAlias = "zlib._Compress | bz2.BZ2Compressor | lzma.LZMACompressor"
Baseline = Callable[[Ids], float]  # ids of a text (N,), none of them UNKNOWN -> its loss in nats


class NgramTable(NamedTuple):
    """The k-grams of the training text. One that is not among them has rank -1, the last entry of each array."""

    ngrams: NDArray[np.int64]  # (K,), ascending: rank of the k-1 characters before, times V, plus the id
    kept: NDArray[np.float64]  # (K + 1,): probability of each after the discount; the last is 0
    backoff: NDArray[np.float64]  # (contexts + 1,): share of each context that goes to lower orders; the last is 1

    def rank(self, ngrams: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rank of each k-gram, (N,); -1 for one that does not occur in the training text."""
        at = np.minimum(np.searchsorted(self.ngrams, ngrams), len(self.ngrams) - 1)
        return np.where(self.ngrams[at] == ngrams, at, -1)


class KneserNey:
    """An interpolated Kneser-Ney model of order n over V characters, fitted to ids (N,), N > 0.

    Lower orders count the contexts in which a k-gram occurs, not its occurrences, and the lowest one backs off to the
    uniform distribution, so that no character has probability 0. The training text is read as a ring, so that each of
    its characters has a context of every length and the beginning is no exception.
    """

    def __init__(self, ids: Ids, V: int, n: int = ORDER) -> None:
        self.V, self.n = V, n
        self.orders: list[NgramTable] = []
        below, rank = np.empty(0, np.int64), np.zeros(len(ids), np.int64)
        for k in range(n):
            codes = np.roll(rank, 1) * V + ids
            ngrams, first, ranks, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
            if k:  # each k-gram is one more context of its own last k-1 characters
                self.orders.append(discounted(below, np.bincount(rank[first]), V))
            below, rank = ngrams, ranks
        self.orders.append(discounted(below, counts, V))

    def probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return the probability of each of ids (N,) after the n-1 before it, (N-n+1,), from the lowest order up."""
        rank, p = np.zeros(len(ids) + 1, np.int64), np.full(len(ids) + 1, 1 / self.V)
        for k, order in enumerate(self.orders):
            context, rank = rank[:-1], order.rank(rank[:-1] * self.V + ids[k:])
            p = order.kept[rank] + order.backoff[context] * p[1:]
        return p

    def nats(self, ids: Ids, start_id: int) -> float:
        """Return the loss of a text, ids (N,), in nats; start ids are assumed before its first character."""
        total, before = 0.0, np.full(self.n - 1, start_id)
        for piece in pieces(ids):
            window = np.concatenate([before, piece])
            total -= float(np.log(self.probabilities(window)).sum())
            before = window[len(piece) :]
        return total


def discounted(ngrams: NDArray[np.int64], counts: NDArray[np.int64], V: int) -> NgramTable:
    """Return the table of k-grams with these counts: each gives up a discount, which goes to lower orders."""
    context = ngrams // V
    discount = np.array(discounts(counts))[np.minimum(counts, 3) - 1]
    total = np.bincount(context, counts)
    kept = (counts - discount) / total[context]
    return NgramTable(ngrams, np.append(kept, 0.0), np.append(np.bincount(context, discount) / total, 1.0))


def discounts(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the discounts of counts 1, 2 and more, estimated from the numbers of k-grams with counts 1 to 4.

    D_i = i - (i + 1) Y n_{i+1} / n_i with Y = n_1 / (n_1 + 2 n_2): Chen & Goodman 1999, equation 26.
    """
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == i)) for i in range(1, 5))
    if not (n1 and n2 and n3):
        return DEFAULT_DISCOUNTS
    Y = n1 / (n1 + 2 * n2)
    D = 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3
    return D if min(D) > 0 else DEFAULT_DISCOUNTS


# gzip looks back 32 kB only, bz2 has blocks of 900 kB, xz looks back 64 MB: twice MAX_TRAINING_CHARS of 4 bytes each
COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "gzip": lambda: zlib.compressobj(9, wbits=31),
    "bz2": lambda: bz2.BZ2Compressor(9),
    "xz": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
}


def compression(compressor: Callable[[], Compressor], train: Ids, vocab: Vocab) -> Baseline:
    """Return the baseline that charges the bytes by which the compressed training text grows with a text after it."""
    codes = codes_of("".join(vocab.characters))

    def size(*texts: Ids) -> int:
        file = compressor()
        utf8 = (text_of(codes[piece]).encode() for ids in texts for piece in pieces(ids))
        return sum(len(file.compress(data)) for data in utf8) + len(file.flush())

    alone = size(train)
    return lambda ids: (size(train, ids) - alone) * 8 * math.log(2)


def pieces(ids: Ids) -> Iterator[Ids]:
    """Return ids in pieces of IDS_PER_PIECE, the last one shorter."""
    return (ids[i : i + IDS_PER_PIECE] for i in range(0, len(ids), IDS_PER_PIECE))


def baselines(train: Ids, vocab: Vocab) -> dict[str, Baseline]:
    """Return every baseline by its name, fitted to the last MAX_TRAINING_CHARS of the training ids."""
    train = train[-MAX_TRAINING_CHARS:]
    model = KneserNey(train, len(vocab))
    counting: dict[str, Baseline] = {f"order-{ORDER} Kneser-Ney": lambda ids: model.nats(ids, vocab.start_id)}
    return counting | {name: compression(compressor, train, vocab) for name, compressor in COMPRESSORS.items()}
