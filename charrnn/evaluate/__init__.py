"""Scores of a text: how surprised a model is by each character, in nats (1 nat = 1.4427 bits)."""

from charrnn.evaluate.characters import Expectation, expectations, likeliest
from charrnn.evaluate.figures import Score, bits
from charrnn.evaluate.lines import LineScore, LineScorer, batches, full_nats, stand_ins
from charrnn.evaluate.stream import WINDOW, Reading, read
from charrnn.evaluate.text import last, score, score_ids

__all__ = [
    "WINDOW",
    "Expectation",
    "LineScore",
    "LineScorer",
    "Reading",
    "Score",
    "batches",
    "bits",
    "expectations",
    "full_nats",
    "last",
    "likeliest",
    "read",
    "score",
    "score_ids",
    "stand_ins",
]
