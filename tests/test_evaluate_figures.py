import math

import numpy as np
import pytest

from charrnn.evaluate.figures import FEWEST_PIECES, MOST_PIECES, PIECE, Score, Tally


def score_of(nats: list[float]) -> Score:
    tally = Tally()
    tally.add(np.array(nats), 0, 0)
    return tally.score


def test_however_long_a_text_is_its_pieces_stay_few_and_miss_nothing() -> None:
    rng, tally = np.random.default_rng(1), Tally()
    for n in [3, 700, PIECE, 40 * PIECE, 1] * 40:
        tally.add(rng.random(n), 1, 2)
        assert len(tally.pieces) <= MOST_PIECES
    score = tally.score
    assert sum(chars for chars, _ in score.pieces) == score.chars
    assert sum(nats for _, nats in score.pieces) == pytest.approx(score.nats, rel=1e-12)
    assert (score.hits, score.unknown) == (200, 400)
    sizes = [chars for chars, _ in score.pieces]
    assert max(sizes[:-1]) < 4 * min(sizes[:-1])


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Texts whose stretches of a piece's length are alike: the characters of one stretch all cost the same."""
    rng, covered, rounds = np.random.default_rng(2), 0, 100
    for _ in range(rounds):
        low, high = score_of(np.repeat(rng.exponential(2, 60), PIECE).tolist()).interval or (0, 0)
        covered += low < 2 < high
    assert 85 <= covered <= 99


def test_the_interval_is_the_same_each_time_and_around_the_mean() -> None:
    score = score_of(np.random.default_rng(3).exponential(1, 40 * PIECE).tolist())
    low, high = score.interval or (0, 0)
    assert low < score.nats_per_char < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(score.chars), rel=0.4)
    assert score.interval == (low, high)


def test_few_pieces_tell_of_no_interval() -> None:
    assert Score().interval is None
    assert score_of([1.0] * (FEWEST_PIECES - 1) * PIECE).interval is None
    assert score_of([1.0] * (FEWEST_PIECES - 1) * PIECE + [1.0]).interval == (1, 1)


def test_scores_of_texts_add_up() -> None:
    one, two = score_of([1.0, 2.0]), score_of([3.0] * MOST_PIECES * PIECE)
    total = one + two
    assert total.chars == one.chars + two.chars
    assert total.nats == pytest.approx(one.nats + two.nats)
    assert sum(chars for chars, _ in total.pieces) == total.chars
    assert len(total.pieces) <= MOST_PIECES
    assert (one + Score(1, 1.0, None)).hits is None
    assert (Score(1, 1.0, 1, 2) + Score(3, 4.0, 5, 6)) == Score(4, 5.0, 6, 8)
