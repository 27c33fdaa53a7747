"""Both measurements held against what they mean: finite differences, and single streams with an empty state."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.cells import CELLS
from charrnn.cells.cell import State
from charrnn.errors import DivergedError, TextError
from charrnn.memory import LANES, costs_with_context, gradient_norms, measure, parts_of_state, powers_of_two
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids, cross_entropy_forward
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


def read_on(model: CharRNN, x: Ids, state: State) -> State:
    """Return the state (…) after each stream has read x (T, B), one step at a time."""
    for row in x:
        _, state = model.forward(row[None], state, model.cache(1, x.shape[1]))
    return state


def cost(model: CharRNN, state: State, y: Ids) -> Array:
    """What y (B,) costs in a state: the heads alone."""
    tops = [own[-1][0] for own in model.each_state(state)]
    heads = [network.params for network in model.networks]
    logits = [head["head.W_hy"] @ h + head["head.b_y"][:, None] for head, h in zip(heads, tops, strict=True)]
    nats: Array = cross_entropy_forward(np.mean(logits, axis=0)[None], y[None])[0]
    return nats


def norms_by_differences(model: CharRNN, x: Ids, y: Ids, state: State) -> Array:
    """Move every number of the state in all streams, and see by how much each stream's last cost moves."""
    squares = []
    for part in (part for layer in state for part in layer):
        total = np.zeros(x.shape[1])
        for unit in part:
            kept, costs = unit.copy(), []
            for move in (STEP, -STEP):
                unit[:] = kept + move
                costs.append(cost(model, read_on(model, x, state), y))
            unit[:] = kept
            total += np.square((costs[0] - costs[1]) / (2 * STEP))
        squares.append(total)
    return np.sqrt(squares)


@every_cell
@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_norm_is_how_the_last_cost_moves_with_the_state_so_many_steps_before(
    recurrence: str, config: dict[str, Any]
) -> None:
    T, B, rng = 5, 3, np.random.default_rng(1)
    model = network(recurrence, **config)
    x, y, state = rng.integers(0, V - 2, (T, B)), rng.integers(0, V, B), random_state(model, B, rng)
    x[2, 1] = V - 2  # the end of a line, where there are lines
    norms = gradient_norms(model, x, y, state)
    assert norms.shape == (T + 1, len(parts_of_state(model)), B)
    for k in range(T + 1):
        naive = norms_by_differences(model, x[T - k :], y, read_on(model, x[: T - k], state))
        assert_allclose(norms[k], naive, rtol=1e-5, atol=1e-9, err_msg=f"lag {k}")
    assert norms[0].max() > 1e-2 < norms[1].max()


@every_cell
@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_a_cost_with_k_characters_of_context_is_that_after_an_empty_state(
    recurrence: str, config: dict[str, Any]
) -> None:
    K, B = 8, 5
    model = network(recurrence, **config)
    x, y = np.random.default_rng(2).integers(0, V, (2, K, B))
    for k in powers_of_two(K):
        found = costs_with_context(model, x, y, k)
        for i, t in enumerate(range(k - 1, K, k)):
            after = read_on(model, x[t - k + 1 : t + 1], model.zero_state(B))
            assert_allclose(found[i], cost(model, after, y[t]), rtol=1e-12)


@pytest.mark.parametrize("recurrence", ["lstm", "rnn_relu"])
def test_a_measurement_is_the_mean_over_stretches_that_are_spread_over_the_text(recurrence: str) -> None:
    K, S, N = 4, 5, 41
    model, ids = network(recurrence, num_layers=2), np.random.default_rng(3).integers(0, V, N)
    memory = measure(model, ids, lags=K, stretches=S)
    begins = [i * (N - 2 * K - 1) // (S - 1) for i in range(S)]
    full, norms, cut = [], [], {k: list[float]() for k in (1, 2, 4)}
    for begin in begins:
        x, y = ids[begin : begin + 2 * K, None], ids[begin + 1 : begin + 2 * K + 1, None]
        before = read_on(model, x[:K], model.zero_state(1))
        norms.append([norms_by_differences(model, x[t:], y[-1], read_on(model, x[:t], model.zero_state(1)))[:, 0]
                      for t in range(2 * K, K - 1, -1)])  # fmt: skip
        full.append([cost(model, read_on(model, x[K : t + 1], before), y[t])[0] for t in range(K, 2 * K)])
        for k in cut:
            for t in range(K + k - 1, 2 * K, k):
                alone = cost(model, read_on(model, x[t - k + 1 : t + 1], model.zero_state(1)), y[t])[0]
                cut[k].append(alone - full[-1][t - K])
    assert (memory.stretches, memory.positions) == (S, {1: 20, 2: 10, 4: 5})
    assert memory.full == pytest.approx(np.mean(full))
    assert memory.cut == pytest.approx({k: np.mean(full) + np.mean(lost) for k, lost in cut.items()})
    whole = np.linalg.norm(norms, axis=2)  # (S, K+1)
    assert_allclose(memory.mean, whole.mean(axis=0), rtol=1e-5)
    assert_allclose(memory.median, np.median(whole, axis=0), rtol=1e-5)
    assert_allclose(memory.relative, whole.mean(axis=0) / whole[:, 0].mean(), rtol=1e-5)
    assert list(memory.parts) == parts_of_state(model)
    assert_allclose(list(memory.parts.values()), np.mean(norms, axis=0).T, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.25])
def test_a_network_whose_matrix_is_a_multiple_of_the_identity_fades_or_explodes_by_that_factor(factor: float) -> None:
    model = tiny_model(activation="relu")
    model.vector[:] = np.abs(model.vector)  # so that every unit is on
    model.params["layers.0.W_hh"][:] = factor * np.eye(model.config.hidden_size)
    ids = np.random.default_rng(4).integers(0, V, 200)
    assert_allclose(measure(model, ids, lags=64).relative, factor ** np.arange(65.0), rtol=1e-9)


def test_a_network_without_a_way_from_step_to_step_remembers_the_last_character_alone() -> None:
    model = tiny_model()
    model.params["layers.0.W_hh"][:] = 0
    memory = measure(model, np.random.default_rng(5).integers(0, V, 100))
    assert memory.relative.tolist() == [1, *[0] * 32]
    assert [*memory.cut.values()] == pytest.approx([memory.full] * 6, rel=1e-12)


def test_nothing_goes_back_beyond_the_end_of_a_line() -> None:
    model = tiny_model(cell="lstm", num_layers=2, line_end=V - 1)
    ids = np.random.default_rng(6).integers(0, V - 1, 100)
    ids[::5] = V - 1
    memory = measure(model, ids)
    assert memory.relative[5] == 0 < memory.relative[4]
    assert memory.cut[8] == pytest.approx(memory.full, rel=1e-12)
    assert abs(memory.cut[2] - memory.full) > 1e-3


@pytest.mark.parametrize(("chars", "lags"), [(17, 8), (32, 8), (33, 16), (512, 128), (513, 256), (2000, 256)])
def test_a_short_text_has_fewer_lags(chars: int, lags: int) -> None:
    memory = measure(tiny_model(), np.random.default_rng(7).integers(0, V, chars))
    assert [*memory.cut] == powers_of_two(lags)
    assert len(memory.mean) == lags + 1
    assert memory.stretches == min(128, chars - 2 * lags)


def test_a_text_too_short_and_a_model_that_has_diverged_are_refused() -> None:
    with pytest.raises(TextError, match="16 characters"):
        measure(tiny_model(), np.zeros(16, int))
    model = tiny_model()
    model.vector[:] = math.nan
    with pytest.raises(DivergedError, match="diverged"):
        measure(model, np.zeros(20, int))


def test_the_model_stays_as_it_is_and_figures_hardly_depend_on_what_is_read_together() -> None:
    model, ids = tiny_model(dtype=np.float32), np.random.default_rng(8).integers(0, V, 900).astype(np.uint8)
    before = model.vector.copy()
    once, again = measure(model, ids, 32, stretches=LANES + 3), measure(model, ids, 32, stretches=LANES + 3)
    np.testing.assert_array_equal(model.vector, before)
    np.testing.assert_array_equal(once.mean, again.mean)
    exact = measure(CharRNN(model.config, model.vector.astype(np.float64)), ids, 32, stretches=LANES + 3)
    assert_allclose(once.mean, exact.mean, rtol=1e-4)
    assert once.cut == pytest.approx(exact.cut, rel=1e-5)


@pytest.mark.parametrize(("factor", "last"), [(0.3, 0.0), (0.5, 0.5**1000), (4.0, math.nan)])
def test_what_vanishes_goes_down_to_nothing_and_what_explodes_is_no_number_in_the_end(
    factor: float, last: float
) -> None:
    model = tiny_model()
    model.vector[:] = 0  # so the state is 0, where tanh has the slope 1
    model.params["layers.0.W_hh"][:] = factor * np.eye(model.config.hidden_size)
    model.params["head.W_hy"][:1] = 1
    norms = gradient_norms(model, np.zeros((1000, 1), int), np.zeros(1, int), model.zero_state(1))[:, 0, 0]
    assert norms[-1] / norms[0] == pytest.approx(last, nan_ok=True)
    assert_allclose(norms[:500], norms[0] * factor ** np.arange(500.0), rtol=1e-12)
