import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core import optim
from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN, parameter_shapes
from charrnn.core.ops import Array, Ids
from charrnn.core.optim import basis_shapes, rotations
from charrnn.core.score import Score, read
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation.dynamic import (
    BETA,
    DECAY,
    EPSILON,
    LEARNING_RATE,
    ROTATED_RATE,
    SEGMENT,
    score_dynamically,
)
from charrnn.evaluation.text import last, score_ids
from tests.helpers.models import V, tiny_model
from tests.helpers.naive import TWINS, column, naive_backward, naive_forward, network, zero_gradients

START = 2
N = 3 * SEGMENT + 7
LARGE = 10 * LEARNING_RATE  # so large that learning shows in the losses


def random_ids(unknown: bool = False) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN if unknown else 0, V, N)


def per_segment(scores: Iterable[Score]) -> list[float]:
    nats = [0.0, *(result.nats for result in scores)]
    return [after - before for before, after in pairwise(nats)]


def segment_losses(model: CharRNN, ids: Ids, lr: float = LARGE, bases: Array | None = None) -> list[float]:
    return per_segment(score_dynamically(model, [ids], START, bases, lr))


def static_losses(model: CharRNN, ids: Ids) -> list[float]:
    return per_segment(reading.score for reading in read(model, [ids], START, SEGMENT))


def random_bases(model: CharRNN) -> Array:
    """Return a rotation for each basis of SOAP, in one vector."""
    rng = np.random.default_rng(5)
    shapes = basis_shapes(parameter_shapes(model.config)).values()
    return np.concatenate([np.linalg.qr(rng.standard_normal(shape))[0].reshape(-1) for shape in shapes])


def naive_rotation(flat: list[float], model: CharRNN, bases: Array, back: bool) -> list[float]:
    """Return W Q, or with `back` W Qᵀ, for the columns of each matrix that share a basis, number by number."""
    moved, begin, at = [*flat], 0, 0
    starts = {}
    for name, shape in parameter_shapes(model.config).items():
        starts[name], begin = begin, begin + math.prod(shape)
    for name, columns in rotations(parameter_shapes(model.config)).values():
        E, D = model.params[name].shape
        n = columns.stop - columns.start
        Q = [[float(bases[at + n * i + j]) for j in range(n)] for i in range(n)]
        at += n * n
        for row in range(E):
            start = starts[name] + row * D + columns.start
            for j in range(n):
                moved[start + j] = sum(flat[start + i] * (Q[j][i] if back else Q[i][j]) for i in range(n))
    return moved


def naive_segment_losses(model: CharRNN, ids: Ids, bases: Array | None) -> list[float]:
    """The equations in plain loops: every weight on its own, every segment's gradient by the twin's single steps."""
    learner, state = CharRNN(model.config, model.vector.copy()), column(model.zero_state(1), 0)
    v, before, nats = [0.0] * len(model.vector), START, list[float]()
    for k, begin in enumerate(range(0, len(ids), SEGMENT), 1):
        y = ids[begin : begin + SEGMENT]
        x = np.array([before, *y[:-1]])
        before = y[-1]
        trace = naive_forward(learner.params, TWINS[model.config.recurrence], x, state)
        nats.append(-sum(math.log(trace.p[t, i]) for t, i in enumerate(y)))
        grads = zero_gradients(model)
        naive_backward(learner.params, trace, y, [tuple(map(np.zeros_like, layer)) for layer in state], grads)
        state = [states[-1] for states in trace.states]
        g = [x / SEGMENT for grad in grads.values() for x in grad.reshape(-1).tolist()]
        if bases is not None:
            g = naive_rotation(g, model, bases, back=False)
        v = [BETA * v[i] + (1 - BETA) * g[i] * g[i] for i in range(len(g))]
        step = [LARGE * g[i] / (math.sqrt(v[i] / (1 - BETA**k)) + EPSILON) for i in range(len(g))]
        if bases is not None:
            step = naive_rotation(step, model, bases, back=True)
        for i in range(len(g)):
            learner.vector[i] += DECAY * (model.vector[i] - learner.vector[i]) - step[i]
    return nats


@pytest.mark.parametrize("recurrence", CELLS)
def test_the_loops_over_single_weights_give_the_same_costs(recurrence: str) -> None:
    model, ids = network(recurrence, num_layers=2), random_ids()
    assert segment_losses(model, ids) == pytest.approx(naive_segment_losses(model, ids, None), rel=1e-9)
    assert segment_losses(model, ids)[1:] != pytest.approx(static_losses(model, ids)[1:], rel=1e-3)


@pytest.mark.parametrize("recurrence", CELLS)
def test_so_they_do_in_the_bases_of_soap(recurrence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "WIDEST", 3)  # so that a matrix has several bases
    model, ids = network(recurrence, num_layers=2), random_ids()
    bases = random_bases(model)
    losses = segment_losses(model, ids, bases=bases)
    assert losses == pytest.approx(naive_segment_losses(model, ids, bases), rel=1e-9)
    assert losses[1:] != pytest.approx(segment_losses(model, ids)[1:], rel=1e-6)


def test_a_network_with_bases_learns_faster() -> None:
    model, ids = tiny_model(), random_ids()
    scores = list(score_dynamically(model, [ids], START, random_bases(model)))
    assert scores == list(score_dynamically(model, [ids], START, random_bases(model), ROTATED_RATE))
    assert scores != list(score_dynamically(model, [ids], START, random_bases(model), LEARNING_RATE))


def test_the_first_segment_has_the_loss_of_the_unchanged_model() -> None:
    model, ids = tiny_model(num_layers=2, dtype=np.float32), random_ids()
    assert segment_losses(model, ids)[0] == static_losses(model, ids)[0]
    assert last(score_dynamically(model, [ids[:SEGMENT]], START)) == score_ids(model, [ids[:SEGMENT]], START)


@pytest.mark.parametrize("n", [0, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT])
def test_a_character_is_scored_before_the_model_learns_from_it(n: int) -> None:
    """The probabilities of all candidates for a character add up to 1, and the losses before it do not change."""
    model, ids = tiny_model(), random_ids()

    def nats(ids: Ids) -> float:
        return last(score_dynamically(model, [ids], START)).nats

    before = nats(ids[:n])
    assert sum(math.exp(before - nats(np.append(ids[:n], i))) for i in range(V)) == pytest.approx(1, rel=1e-12)
    other = np.append(ids[:n], (ids[n:] + 1) % V)
    assert segment_losses(model, other)[: n // SEGMENT] == segment_losses(model, ids)[: n // SEGMENT]
    assert segment_losses(model, other)[n // SEGMENT] != segment_losses(model, ids)[n // SEGMENT]


def test_a_text_that_repeats_itself_becomes_cheaper_than_the_model_knows_it() -> None:
    model, ids = tiny_model(), np.tile(random_ids()[:SEGMENT], 60)
    dynamic, static = segment_losses(model, ids), static_losses(model, ids)
    assert dynamic[-1] < min(dynamic[20], static[-1] - 1)
    assert np.mean(dynamic) < np.mean(static)


def test_a_step_of_no_length_leaves_every_score_as_it_is() -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True)
    static = [reading.score for reading in read(model, [ids], START, SEGMENT)]
    assert list(score_dynamically(model, [ids], START, lr=0)) == static


def test_the_model_stays_as_it_is_and_each_text_begins_with_it() -> None:
    model, ids = tiny_model(), random_ids()
    before = model.vector.copy()
    first = list(score_dynamically(model, [ids], START))
    np.testing.assert_array_equal(model.vector, before)
    list(score_dynamically(model, [ids[::-1]], START))
    assert list(score_dynamically(model, [ids], START)) == first


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, N), max_size=8))
def test_a_score_does_not_depend_on_the_blocks(cuts: list[int]) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True)
    parts = score_dynamically(model, np.split(ids, sorted(cuts)), START)
    assert list(parts) == list(score_dynamically(model, [ids], START))


def test_the_score_so_far_comes_after_each_segment() -> None:
    def blocks() -> Iterator[Ids]:
        yield random_ids()[:SEGMENT]
        raise EOFError

    scores = score_dynamically(tiny_model(), blocks(), START)
    assert next(scores).chars == SEGMENT
    with pytest.raises(EOFError):
        next(scores)


def test_unknown_characters_are_counted_and_the_model_does_not_learn_from_them() -> None:
    model, ids = tiny_model(), random_ids(unknown=True)
    result, static = last(score_dynamically(model, [ids], START)), score_ids(model, [ids], START)
    assert (result.chars, result.unknown) == (static.chars, static.unknown)
    ids = random_ids()
    nothing = np.full(2 * SEGMENT, UNKNOWN)
    with_gap = [ids[:SEGMENT], nothing, ids[SEGMENT:]]
    expected = replace(last(score_dynamically(model, [ids], START)), unknown=len(nothing))
    assert last(score_dynamically(model, with_gap, START)) == expected
    assert list(score_dynamically(model, [], START)) == []


@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
def test_scores_that_are_not_finite_raise_a_clear_error(weight: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(score_dynamically(model, [random_ids()], START))


def test_gradients_with_squares_that_overflow_cause_no_warning() -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids()
    model.params["head.W_hy"] *= 1e25
    assert all(math.isfinite(nats) for nats in segment_losses(model, ids))


@pytest.mark.parametrize("recurrence", CELLS)
def test_a_network_with_zoneout_learns_too(recurrence: str) -> None:
    model, ids = network(recurrence, zoneout=0.3), np.tile(random_ids()[:SEGMENT], 60)
    assert segment_losses(model, ids)[-1] < static_losses(model, ids)[-1] - 1
