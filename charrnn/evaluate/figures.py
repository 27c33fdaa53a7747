"""What a text costs a model: sums over its characters, and the figures that follow from them."""

import math
from dataclasses import dataclass, field

import numpy as np

from charrnn.ops import Array

PIECE = 256  # characters in a row that the bootstrap takes as one, at the least
FEWEST_PIECES = 8  # that tell how much they differ
MOST_PIECES = 512  # where a text has more of them, two neighbours become one
RESAMPLES = 1000

Pieces = tuple[tuple[int, float], ...]  # characters and nats of stretches of a text, in its order


def bits(nats: float) -> float:
    """Turn nats into bits."""
    return nats / math.log(2)


@dataclass(frozen=True)
class Score:
    """What a text costs a model: sums over `chars` characters, and how many others it could not score."""

    chars: int = 0
    nats: float = 0.0
    hits: int | None = 0  # characters that the model thought likeliest; None of one that only tells what they cost
    unknown: int = 0
    pieces: Pieces = field(default=(), compare=False, repr=False)  # the same by stretches, for the interval

    def __add__(self, other: "Score") -> "Score":
        """Return the score of two texts together."""
        hits = None if self.hits is None or other.hits is None else self.hits + other.hits
        pieces = halved([*self.pieces, *other.pieces])
        return Score(
            self.chars + other.chars, self.nats + other.nats, hits, self.unknown + other.unknown, tuple(pieces)
        )

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

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the mean cost of a character lies with 95 % confidence, in nats; None with too few pieces to tell.

        From bootstrap resamples of whole pieces, since neighbouring characters are alike (the block bootstrap of
        Carlstein 1986 and Künsch 1989). The resamples are always the same.
        """
        if len(self.pieces) < FEWEST_PIECES:
            return None
        chars, nats = np.array(self.pieces, np.float64).T
        drawn = np.random.default_rng(0).integers(0, len(chars), (RESAMPLES, len(chars)))
        low, high = np.quantile(nats[drawn].sum(axis=1) / chars[drawn].sum(axis=1), [0.025, 0.975])
        return float(low), float(high)


class Tally:
    """The sums of a score while a text is read."""

    def __init__(self) -> None:
        self.chars, self.nats, self.hits, self.unknown = 0, 0.0, 0, 0
        self.pieces: list[tuple[int, float]] = []
        self.size = PIECE

    def add(self, nats: Array, hits: int, unknown: int) -> None:
        """Count in the characters that follow: what each costs (N,), how many were expected, how many are unknown."""
        self.chars, self.hits, self.unknown = self.chars + len(nats), self.hits + hits, self.unknown + unknown
        self.nats += float(nats.sum(dtype=np.float64))
        for piece in (nats[i : i + PIECE] for i in range(0, len(nats), PIECE)):
            is_full = not self.pieces or self.pieces[-1][0] >= self.size
            chars, before = (0, 0.0) if is_full else self.pieces.pop()
            self.pieces.append((chars + len(piece), before + float(piece.sum(dtype=np.float64))))
            if len(self.pieces) > MOST_PIECES:
                self.pieces, self.size = halved(self.pieces), 2 * self.size

    @property
    def score(self) -> Score:
        """The score so far."""
        return Score(self.chars, self.nats, self.hits, self.unknown, tuple(self.pieces))


def halved(pieces: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Join neighbours until there are no more than MOST_PIECES."""
    while len(pieces) > MOST_PIECES:
        pairs = [pieces[i : i + 2] for i in range(0, len(pieces), 2)]
        pieces = [(sum(chars for chars, _ in pair), sum(nats for _, nats in pair)) for pair in pairs]
    return pieces
