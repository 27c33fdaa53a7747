"""Both measurements compared with finite differences and with single streams from an empty state."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.analysis.gradient_reach import (
    GROUP,
    gradient_norms,
    losses_with_context,
    measure_reach,
    state_names,
)
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import State
from charrnn.core.errors import DivergedError, TextError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids, cross_entropy_forward
from tests.helpers.gradcheck import STEP
from tests.helpers.models import V, tiny_model
from tests.helpers.naive import network, random_state

every_cell = pytest.mark.parametrize("recurrence", CELLS)
NETWORKS: list[dict[str, Any]] = [
    {"num_layers": 1},
    {"num_layers": 3},
    {"num_layers": 2, "ensemble": 2},
    {"num_layers": 2, "zoneout": 0.3, "line_end": 5},
]


def state_after(model: CharRNN, x: Ids, state: State) -> State:
    """Return the state (…) after each stream has read x (T, B), one step at a time."""
    for row in x:
        _, state = model.forward(row[None], state, model.cache(1, x.shape[1]))
    return state


def loss(model: CharRNN, state: State, y: Ids) -> Array:
    """The loss of y (B,) in a state: the heads alone."""
    tops = [own[-1][0] for own in model.each_state(state)]
    heads = [network.params for network in model.networks]
    logits = [head["head.W_hy"] @ h + head["head.b_y"][:, None] for head, h in zip(heads, tops, strict=True)]
    nats: Array = cross_entropy_forward(np.mean(logits, axis=0)[None], y[None])[0]
    return nats


def norms_by_differences(model: CharRNN, x: Ids, y: Ids, state: State) -> Array:
    """Return the norms from central differences: each number of the state is moved, in all streams at once."""
    squares = []
    for part in (part for layer in state for part in layer):
        total = np.zeros(x.shape[1])
        for unit in part:
            kept, moved = unit.copy(), []
            for move in (STEP, -STEP):
                unit[:] = kept + move
                moved.append(loss(model, state_after(model, x, state), y))
            unit[:] = kept
            total += np.square((moved[0] - moved[1]) / (2 * STEP))
        squares.append(total)
    return np.sqrt(squares)


@every_cell
@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_norms_equal_finite_differences_of_the_last_loss(recurrence: str, config: dict[str, Any]) -> None:
    T, B, rng = 5, 3, np.random.default_rng(1)
    model = network(recurrence, **config)
    x, y, state = rng.integers(0, V - 2, (T, B)), rng.integers(0, V, B), random_state(model, B, rng)
    x[2, 1] = V - 2  # the end of a line, where there are lines
    norms = gradient_norms(model, x, y, state)
    assert norms.shape == (T + 1, len(state_names(model)), B)
    for k in range(T + 1):
        naive = norms_by_differences(model, x[T - k :], y, state_after(model, x[: T - k], state))
        assert_allclose(norms[k], naive, rtol=1e-5, atol=1e-9, err_msg=f"lag {k}")
    assert norms[0].max() > 1e-2 < norms[1].max()


@every_cell
@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_losses_with_k_characters_of_context_start_from_an_empty_state(recurrence: str, config: dict[str, Any]) -> None:
    K, B = 8, 5
    model = network(recurrence, **config)
    x, y = np.random.default_rng(2).integers(0, V, (2, K, B))
    for k in (1, 2, 4, 8):
        found = losses_with_context(model, x, y, k)
        for i, t in enumerate(range(k - 1, K, k)):
            after = state_after(model, x[t - k + 1 : t + 1], model.zero_state(B))
            assert_allclose(found[i], loss(model, after, y[t]), rtol=1e-12)


@pytest.mark.parametrize("recurrence", ["lstm", "rnn_relu"])
def test_a_measurement_is_the_mean_over_stretches_spread_over_the_text(recurrence: str) -> None:
    K, S, N = 4, 5, 41
    model, ids = network(recurrence, num_layers=2), np.random.default_rng(3).integers(0, V, N)
    reach = measure_reach(model, ids, max_lag=K, max_stretches=S)
    begins = [i * (N - 2 * K - 1) // (S - 1) for i in range(S)]
    full, norms, cut = [], [], {k: list[float]() for k in (1, 2, 4)}
    for begin in begins:
        x, y = ids[begin : begin + 2 * K, None], ids[begin + 1 : begin + 2 * K + 1, None]
        before = state_after(model, x[:K], model.zero_state(1))
        norms.append([norms_by_differences(model, x[t:], y[-1], state_after(model, x[:t], model.zero_state(1)))[:, 0]
                      for t in range(2 * K, K - 1, -1)])  # fmt: skip
        full.append([loss(model, state_after(model, x[K : t + 1], before), y[t])[0] for t in range(K, 2 * K)])
        for k in cut:
            for t in range(K + k - 1, 2 * K, k):
                alone = loss(model, state_after(model, x[t - k + 1 : t + 1], model.zero_state(1)), y[t])[0]
                cut[k].append(alone - full[-1][t - K])
    assert (reach.stretches, reach.positions) == (S, {1: 20, 2: 10, 4: 5})
    assert reach.full == pytest.approx(np.mean(full))
    assert reach.cut == pytest.approx({k: np.mean(full) + np.mean(lost) for k, lost in cut.items()})
    whole = np.linalg.norm(norms, axis=2)  # (S, K+1)
    assert_allclose(reach.mean, whole.mean(axis=0), rtol=1e-5)
    assert_allclose(reach.median, np.median(whole, axis=0), rtol=1e-5)
    assert_allclose(reach.relative, whole.mean(axis=0) / whole[:, 0].mean(), rtol=1e-5)
    assert list(reach.parts) == state_names(model)
    assert_allclose(list(reach.parts.values()), np.mean(norms, axis=0).T, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.25])
def test_a_multiple_of_the_identity_makes_gradients_vanish_or_explode_by_that_factor(factor: float) -> None:
    model = tiny_model(activation="relu")
    model.vector[:] = np.abs(model.vector)  # so that every unit is active
    model.params["layers.0.W_hh"][:] = factor * np.eye(model.config.hidden_size)
    ids = np.random.default_rng(4).integers(0, V, 200)
    assert_allclose(measure_reach(model, ids, max_lag=64).relative, factor ** np.arange(65.0), rtol=1e-9)


def test_without_recurrent_weights_only_the_last_character_counts() -> None:
    model = tiny_model()
    model.params["layers.0.W_hh"][:] = 0
    reach = measure_reach(model, np.random.default_rng(5).integers(0, V, 100))
    assert reach.relative.tolist() == [1, *[0] * 32]
    assert [*reach.cut.values()] == pytest.approx([reach.full] * 6, rel=1e-12)


def test_gradients_stop_at_the_end_of_a_line() -> None:
    model = tiny_model(cell="lstm", num_layers=2, line_end=V - 1)
    ids = np.random.default_rng(6).integers(0, V - 1, 100)
    ids[::5] = V - 1
    reach = measure_reach(model, ids)
    assert reach.relative[5] == 0 < reach.relative[4]
    assert reach.cut[8] == pytest.approx(reach.full, rel=1e-12)
    assert abs(reach.cut[2] - reach.full) > 1e-3


@pytest.mark.parametrize(("chars", "lags"), [(17, 8), (32, 8), (33, 16), (512, 128), (513, 256), (2000, 256)])
def test_a_short_text_has_fewer_lags(chars: int, lags: int) -> None:
    reach = measure_reach(tiny_model(), np.random.default_rng(7).integers(0, V, chars))
    assert [*reach.cut] == [2**i for i in range(int(math.log2(lags)) + 1)]
    assert len(reach.mean) == lags + 1
    assert reach.stretches == min(128, chars - 2 * lags)


def test_a_text_that_is_too_short_and_a_diverged_model_are_refused() -> None:
    with pytest.raises(TextError, match="16 characters"):
        measure_reach(tiny_model(), np.zeros(16, int))
    model = tiny_model()
    model.vector[:] = math.nan
    with pytest.raises(DivergedError, match="diverged"):
        measure_reach(model, np.zeros(20, int))


def test_the_model_does_not_change_and_figures_are_reproducible() -> None:
    model, ids = tiny_model(dtype=np.float32), np.random.default_rng(8).integers(0, V, 900).astype(np.uint8)
    before = model.vector.copy()
    once, again = (
        measure_reach(model, ids, 32, max_stretches=GROUP + 3),
        measure_reach(model, ids, 32, max_stretches=GROUP + 3),
    )
    np.testing.assert_array_equal(model.vector, before)
    np.testing.assert_array_equal(once.mean, again.mean)
    exact = measure_reach(CharRNN(model.config, model.vector.astype(np.float64)), ids, 32, max_stretches=GROUP + 3)
    assert_allclose(once.mean, exact.mean, rtol=1e-4)
    assert once.cut == pytest.approx(exact.cut, rel=1e-5)


@pytest.mark.parametrize(("factor", "last"), [(0.3, 0.0), (0.5, 0.5**1000), (4.0, math.nan)])
def test_a_vanishing_gradient_reaches_zero_and_an_exploding_one_nan(factor: float, last: float) -> None:
    model = tiny_model()
    model.vector[:] = 0  # so the state is 0, where tanh has the slope 1
    model.params["layers.0.W_hh"][:] = factor * np.eye(model.config.hidden_size)
    model.params["head.W_hy"][:1] = 1
    norms = gradient_norms(model, np.zeros((1000, 1), int), np.zeros(1, int), model.zero_state(1))[:, 0, 0]
    assert norms[-1] / norms[0] == pytest.approx(last, nan_ok=True)
    assert_allclose(norms[:500], norms[0] * factor ** np.arange(500.0), rtol=1e-12)
