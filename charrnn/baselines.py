"""Yardsticks: what a text costs methods that count and copy, given the text that the network learnt from.

An interpolated character model of order n (Kneser & Ney 1995, in the modified form of Chen & Goodman 1999), and
general compressors, which are charged for the bytes that the text adds to the training text.
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.ops import Ids
from charrnn.vocab import Vocab, codes_of, text_of

ORDER = 7  # the character and the six before it
LONGEST = 1 << 23  # training characters that a baseline learns from, the last ones: so 800 MB of memory will do
PIECE = 1 << 18  # characters scored or compressed at a time
FALLBACK = (0.5, 1.0, 1.5)  # discounts where counts are too few to estimate them from; the values are KenLM's

Baseline = Callable[[Ids], float]  # ids of a text (N,), none of them UNKNOWN -> what it costs, in nats


class Order(NamedTuple):
    """The k-grams seen in training; one that was not has the rank -1, and so the last entry of each array."""

    grams: NDArray[np.int64]  # (K,), ascending: rank of the k-1 characters before, times V, plus the id
    kept: NDArray[np.float64]  # (K + 1,): probability left to each by the discount; the last is 0
    backoff: NDArray[np.float64]  # (contexts + 1,): what discounts in a context freed for lower orders; the last is 1

    def rank(self, grams: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rank of each k-gram, (N,); -1 for one that training has not seen."""
        at = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
        return np.where(self.grams[at] == grams, at, -1)


class KneserNey:
    """An interpolated Kneser-Ney model of order n over V characters, fitted to ids (N,), N > 0.

    Lower orders count in how many contexts a k-gram occurs, not how often, and the lowest one falls back on the
    uniform distribution, so that nothing is impossible. The training text is read as a ring: then each of its
    characters has a context of every length, and no order needs an exception at the beginning.
    """

    def __init__(self, ids: Ids, V: int, n: int = ORDER) -> None:
        self.V, self.n = V, n
        self.orders: list[Order] = []
        below, rank = np.empty(0, np.int64), np.zeros(len(ids), np.int64)
        for k in range(n):
            codes = np.roll(rank, 1) * V + ids
            grams, first, ranks, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
            if k:  # each k-gram is one context more for what it ends with
                self.orders.append(discounted(below, np.bincount(rank[first]), V))
            below, rank = grams, ranks
        self.orders.append(discounted(below, counts, V))

    def probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Return how likely each of ids (N,) is after the n-1 before it, (N-n+1,): from the lowest order upwards."""
        rank, p = np.zeros(len(ids) + 1, np.int64), np.full(len(ids) + 1, 1 / self.V)
        for k, order in enumerate(self.orders):
            context, rank = rank[:-1], order.rank(rank[:-1] * self.V + ids[k:])
            p = order.kept[rank] + order.backoff[context] * p[1:]
        return p

    def nats(self, ids: Ids, start_id: int) -> float:
        """Return what a text costs, in nats, ids (N,); before its first character stand start ids."""
        total, before = 0.0, np.full(self.n - 1, start_id)
        for piece in pieces(ids):
            window = np.concatenate([before, piece])
            total -= float(np.log(self.probabilities(window)).sum())
            before = window[len(piece) :]
        return total


def discounted(grams: NDArray[np.int64], counts: NDArray[np.int64], V: int) -> Order:
    """Share out the probability of each context: every k-gram gives up a discount, which goes to lower orders."""
    context = grams // V
    discount = np.array(discounts(counts))[np.minimum(counts, 3) - 1]
    total = np.bincount(context, counts)
    kept = (counts - discount) / total[context]
    return Order(grams, np.append(kept, 0.0), np.append(np.bincount(context, discount) / total, 1.0))


def discounts(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the discounts of counts 1, 2 and more, estimated from how many k-grams have counts 1 to 4.

    D_i = i - (i + 1) Y n_{i+1} / n_i with Y = n_1 / (n_1 + 2 n_2): Chen & Goodman 1999, equation 26.
    """
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == i)) for i in range(1, 5))
    if not (n1 and n2 and n3):
        return FALLBACK
    Y = n1 / (n1 + 2 * n2)
    D = 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3
    return D if min(D) > 0 else FALLBACK


class Compressor(Protocol):
    """What zlib, bz2 and lzma have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take in bytes, and give out what is ready."""

    def flush(self) -> bytes:
        """Give out the rest."""


# gzip looks back 32 kB only, bz2 has blocks of 900 kB, xz looks back 64 MB: twice LONGEST, of 4 bytes each
COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "gzip": lambda: zlib.compressobj(9, wbits=31),
    "bz2": lambda: bz2.BZ2Compressor(9),
    "xz": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
}


def compression(compressor: Callable[[], Compressor], train: Ids, vocab: Vocab) -> Baseline:
    """Charge a text for the bytes by which the compressed training text grows when the text follows it."""

    def size(*texts: Ids) -> int:
        file = compressor()
        return sum(len(file.compress(utf8(piece, vocab))) for ids in texts for piece in pieces(ids)) + len(file.flush())

    alone = size(train)
    return lambda ids: (size(train, ids) - alone) * 8 * math.log(2)


def utf8(ids: Ids, vocab: Vocab) -> bytes:
    """Return the text of ids in UTF-8."""
    return text_of(codes_of("".join(vocab.characters))[ids]).encode()


def pieces(ids: Ids) -> Iterator[Ids]:
    """Cut ids into parts of PIECE, the last one shorter."""
    return (ids[i : i + PIECE] for i in range(0, len(ids), PIECE))


def baselines(train: Ids, vocab: Vocab) -> dict[str, Baseline]:
    """Return every baseline by its name, fitted to the last LONGEST of the training ids."""
    train = train[-LONGEST:]
    model = KneserNey(train, len(vocab))
    counting: dict[str, Baseline] = {f"order-{ORDER} Kneser-Ney": lambda ids: model.nats(ids, vocab.start_id)}
    return counting | {name: compression(compressor, train, vocab) for name, compressor in COMPRESSORS.items()}
