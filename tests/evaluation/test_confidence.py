import math

import numpy as np
import pytest

from charrnn.core.score import PIECE, Score, Tally
from charrnn.evaluation.confidence import MIN_PIECES, interval


def score_of(nats: list[float]) -> Score:
    tally = Tally()
    tally.add(np.array(nats), 0, 0)
    return tally.score


def test_the_interval_covers_the_mean_at_its_nominal_rate() -> None:
    """Texts in pieces: within a piece all characters have the same loss."""
    rng, covered, rounds = np.random.default_rng(2), 0, 100
    for _ in range(rounds):
        low, high = interval(score_of(np.repeat(rng.exponential(2, 60), PIECE).tolist())) or (0, 0)
        covered += low < 2 < high
    assert 85 <= covered <= 99


def test_the_interval_is_the_same_each_time_and_contains_the_mean() -> None:
    score = score_of(np.random.default_rng(3).exponential(1, 40 * PIECE).tolist())
    low, high = interval(score) or (0, 0)
    assert low < score.nats / score.chars < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(score.chars), rel=0.4)
    assert interval(score) == (low, high)


def test_a_short_text_has_no_interval() -> None:
    assert interval(Score()) is None
    assert interval(score_of([1.0] * (MIN_PIECES - 1) * PIECE)) is None
    assert interval(score_of([1.0] * (MIN_PIECES - 1) * PIECE + [1.0])) == (1, 1)
