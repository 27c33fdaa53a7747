"""Whether the held-out part of a text is like the rest, as the choice of the best weights by its loss assumes.

It is not if symbols occur only there, or if a count model of the training part finds it much harder to predict than
pieces of the training part that the model has not counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.core.ops import Ids
from charrnn.core.vocab import Vocab, named
from charrnn.data.corpus import Corpus

PIECE, PIECES = 4096, 48  # characters per piece, and pieces that are counted; half as many are scored of each part
ORDER = 3  # characters of context
WEIGHT = 4.0  # of the next shorter context, as a number of occurrences
HARDER = 0.8  # bits per character; parts of one book differ by up to 0.7 (docs/decisions.md)
ERRORS = 4.0  # standard errors that the difference must exceed
ONLY_THERE = 0.001  # share of the held-out characters that the training part lacks
FEW = 8  # such characters may be an accident
COUNTED = 1 << 20  # ids counted at a time

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Likeness:
    """What distinguishes the held-out part."""

    new_symbols: tuple[str, ...]  # that only it has
    new_share: float  # of its characters
    harder: float  # bits per character by which it is harder to predict
    certain: bool  # whether that is far beyond chance

    @property
    def unlike(self) -> bool:
        """Whether the loss of the held-out part says little about the rest."""
        return bool(self.new_symbols) or self.certain


def likeness(text: Corpus, to_train: Ids, held_out: Ids) -> Likeness:
    """Compare the held-out part of a text with the part to train on."""
    symbols, share = only_there(text, held_out)
    harder, error = piece_costs(to_train, held_out, len(text.vocab))
    return Likeness(symbols, share, harder, harder > max(HARDER, ERRORS * error))


def only_there(text: Corpus, held_out: Ids) -> tuple[tuple[str, ...], float]:
    """Return the symbols that occur only in the held-out part, and their share of it; none if they are very few."""
    if text.counts is None or not len(held_out):
        return (), 0.0
    there = symbol_counts(held_out, text.vocab)
    new = (there > 0) & (there == text.counts)
    count = int(there[new].sum())
    if count <= max(FEW, ONLY_THERE * len(held_out)):
        return (), 0.0
    return tuple(text.vocab.characters[i] for i in np.flatnonzero(new)), count / len(held_out)


def symbol_counts(ids: Ids, vocab: Vocab) -> NDArray[np.int64]:
    """Return the occurrences of each symbol, (V,)."""
    counts = np.zeros(len(vocab), np.int64)
    for start in range(0, len(ids), COUNTED):
        counts += np.bincount(ids[start : start + COUNTED], minlength=len(vocab))
    return counts


def piece_costs(to_train: Ids, held_out: Ids, V: int) -> tuple[float, float]:
    """Return by how many bits per character held-out pieces are harder than others, and the error of that figure.

    Every third piece of the training part is not counted but scored, for comparison.
    """
    pieces = spread(to_train, PIECES * 3 // 2)
    parts = pieces[2::3], spread(held_out, PIECES // 2)
    if min(map(len, parts)) < 2:
        return 0.0, 0.0
    counted = [piece for i, piece in enumerate(pieces) if i % 3 != 2]
    models = [counts_of(counted, order) for order in range(ORDER + 1)]
    like, there = (np.array([cost(piece, models, V) for piece in part]) for part in parts)
    error = np.sqrt(like.var(ddof=1) / len(like) + there.var(ddof=1) / len(there))
    return float(there.mean() - like.mean()), float(error)


def spread(ids: Ids, pieces: int) -> list[NDArray[np.uint64]]:
    """Return pieces from all of a text, of PIECE characters if it is long enough, and fewer of a short one."""
    size = min(PIECE, max(ORDER + 1, len(ids) // pieces))
    starts = np.linspace(0, max(0, len(ids) - size), min(pieces, len(ids) // size)).astype(np.int64)
    return [np.asarray(ids[start : start + size]).astype(np.uint64) for start in starts]


def contexts(piece: NDArray[np.uint64], order: int) -> tuple[Hashes, Hashes]:
    """Return a hash of the `order` characters before each character from position ORDER on, and one with itself."""
    context = np.zeros(len(piece) - ORDER, np.uint64)
    for back in range(order, 0, -1):
        context = (context + piece[ORDER - back : len(piece) - back] + 1) * np.uint64(0x9E3779B97F4A7C15)
    return context, (context + piece[ORDER:] + 1) * np.uint64(0xC2B2AE3D27D4EB4F)


def counts_of(pieces: list[NDArray[np.uint64]], order: int) -> list[tuple[Hashes, NDArray[np.int64]]]:
    """Return the counts of contexts and of contexts with their next character, each as sorted hashes and numbers."""
    both = [contexts(piece, order) for piece in pieces]
    return [np.unique(np.concatenate([pair[k] for pair in both]), return_counts=True) for k in range(2)]


def cost(piece: NDArray[np.uint64], models: list[list[tuple[Hashes, NDArray[np.int64]]]], V: int) -> float:
    """Return the bits per character of a piece by counts of order 0 to ORDER, each smoothed by the next shorter one."""
    p = np.full(len(piece) - ORDER, 1 / V)
    for order, tables in enumerate(models):
        context, whole = (
            number_of(table, hashes) for table, hashes in zip(tables, contexts(piece, order), strict=True)
        )
        p = (whole + WEIGHT * p) / (context + WEIGHT)
    return float(-np.log2(p).mean())


def number_of(table: tuple[Hashes, NDArray[np.int64]], hashes: Hashes) -> NDArray[np.int64]:
    """Return how often each hash was counted."""
    known, counts = table
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[at] == hashes, counts[at], 0)


def warning(found: Likeness, holdout: str, texts: int) -> str:
    """Return one line that says how the held-out part differs and what to do; empty if it does not."""
    if not found.unlike:
        return ""
    new = f"{named(list(found.new_symbols), 3)}: only there, {found.new_share:.1%} of it" if found.new_symbols else ""
    harder = f"{found.harder:.2f} bits per character harder to predict" if found.certain else ""
    better = "each" if holdout == "tail" and texts > 1 else "lines"
    advice = f"--holdout {better} or more, mixed text" if holdout != "lines" else "more text, or another --seed"
    return (
        f"the held-out text is unlike the rest ({'; '.join(filter(None, (new, harder)))}), so the best "
        f"weights are chosen by what was hardly learned: try {advice}"
    )
