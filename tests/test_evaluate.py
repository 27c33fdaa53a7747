import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import DivergedError
from charrnn.evaluate import WINDOW, Score, score, score_ids
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.vocab import UNKNOWN
from tests.helpers.models import V, tiny_model

START = 2
N = 2 * WINDOW + 77


def random_ids(unknown: bool = False) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN if unknown else 0, V, N)


def naive_score(model: CharRNN, ids: Ids) -> Score:
    state, before, chars, nats, hits = model.zero_state(1), START, 0, 0.0, 0
    for i in ids[ids != UNKNOWN].tolist():
        logits, state = model.forward(np.array([[before]]), state, model.cache(1, 1))
        z = logits[0, :, 0].tolist()
        nats += math.log(sum(map(math.exp, z))) - z[i]
        hits += z[i] == max(z)
        chars, before = chars + 1, i
    return Score(chars, nats, hits, len(ids) - chars)


@pytest.mark.parametrize("unknown", [False, True])
def test_a_score_is_what_predicting_one_character_after_another_costs(unknown: bool) -> None:
    model, ids = tiny_model(num_layers=2), random_ids(unknown)
    expected = naive_score(model, ids)
    *_, result = score(model, [ids], START)
    assert result.nats == pytest.approx(expected.nats, rel=1e-12)
    assert (result.chars, result.hits, result.unknown) == (expected.chars, expected.hits, expected.unknown)
    assert (result.unknown > 0) is unknown


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, N), max_size=8))
def test_a_score_does_not_depend_on_the_blocks_that_its_text_arrives_in(cuts: list[int]) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True).astype(np.int32)
    assert list(score(model, np.split(ids, sorted(cuts)), START)) == list(score(model, [ids], START))


def test_the_score_so_far_comes_after_each_window_and_leaves_the_model_alone() -> None:
    model, ids = tiny_model(), random_ids()
    before = model.vector.copy()
    results = list(score(model, [ids], START))
    assert [result.chars for result in results] == [WINDOW, 2 * WINDOW, N]
    for result in results:
        assert result.nats == pytest.approx(naive_score(model, ids[: result.chars]).nats, rel=1e-12)
    np.testing.assert_array_equal(model.vector, before)


def test_a_text_without_a_known_character_has_no_score() -> None:
    nothing = np.empty(0, np.int64)
    assert list(score(tiny_model(), [], START)) == list(score(tiny_model(), [nothing, nothing], START)) == []
    (result,) = score(tiny_model(), [np.full(9, UNKNOWN)], START)
    assert result == Score(unknown=9)


def test_the_score_of_ids_is_the_last_one() -> None:
    model, ids = tiny_model(), random_ids(unknown=True)
    *_, last = score(model, [ids], START)
    assert score_ids(model, [ids], START) == last
    assert score_ids(model, [np.full(9, UNKNOWN)], START) == Score(unknown=9)
    assert score_ids(model, [], START) == Score()


def test_means_are_over_the_scored_characters() -> None:
    result = Score(chars=4, nats=8 * math.log(2), hits=3, unknown=5)
    assert result.nats_per_char == 2 * math.log(2)
    assert result.bits_per_char == 2
    assert result.perplexity == pytest.approx(4)
    assert result.accuracy == 0.75
    assert math.isfinite(Score(chars=1, nats=1e9).perplexity)
    with pytest.raises(ZeroDivisionError):
        _ = Score(unknown=9).nats_per_char


@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
def test_scores_that_are_not_finite_stop_with_a_clear_error(weight: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(score(model, [random_ids()], START))
