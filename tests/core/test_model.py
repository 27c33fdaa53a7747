import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.core import network as network_module
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import Cache, Params, State, layer_forward
from charrnn.core.config import ModelConfig
from charrnn.core.model import initial_parameters, parameter_shapes, size_of, views
from charrnn.core.network import scope
from charrnn.core.ops import cross_entropy_backward, cross_entropy_forward
from tests.helpers.models import B, V
from tests.helpers.naive import (
    Pass,
    Problem,
    arrays,
    check_every_gradient,
    library_pass,
    naive_pass,
    network,
    problem,
    zero_gradients,
)

everywhere = pytest.mark.parametrize(("recurrence", "num_layers"), [(r, n) for r in CELLS for n in (1, 2, 3)])


NOISES = {  # rows of masks in the cache, rate of dropout, rate of zoneout
    "dropout": (5, 0.5, 0.0),
    "variational": (1, 0.5, 0.0),
    "zoneout": (0, 0.0, 0.4),
    "dropout and zoneout": (5, 0.3, 0.3),
}


def noisy(recurrence: str, num_layers: int, noise: str) -> tuple[Problem, Cache]:
    """Return a problem and a cache with masks, which every pass over it uses."""
    masks, dropout, zoneout = NOISES[noise]
    task = problem(recurrence, num_layers, zoneout=zoneout)
    T, B = task.x.shape
    cache = task.model.cache(T, B, masks)
    task.model.networks[0].draw_masks(cache, dropout, np.random.default_rng(11))
    return task, cache


def parts(result: Pass) -> Params:
    """Return the arrays of a pass by name."""
    dstate0 = {f"d{name}": part for name, part in arrays(result.dstate0).items()}
    return {"logits": result.logits} | arrays(result.state) | result.grads | dstate0


def assert_close(one: Pass, other: Pass, tolerance: float) -> None:
    """Compare two passes; the tolerance is relative to the largest number of each array."""
    assert one.loss == pytest.approx(other.loss, rel=tolerance)
    for (name, a), b in zip(parts(one).items(), parts(other).values(), strict=True):
        assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(), err_msg=name)


@everywhere
def test_a_pass_equals_the_naive_loops(recurrence: str, num_layers: int) -> None:
    task = problem(recurrence, num_layers)
    assert_close(library_pass(task), naive_pass(task), 1e-13)


@everywhere
def test_every_gradient_agrees_with_finite_differences(recurrence: str, num_layers: int) -> None:
    task = problem(recurrence, num_layers)
    check_every_gradient(task)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("recurrence", CELLS)
def test_every_gradient_with_fixed_masks_agrees_with_finite_differences(
    recurrence: str, num_layers: int, noise: str
) -> None:
    task, cache = noisy(recurrence, num_layers, noise)
    check_every_gradient(task, cache)


@pytest.mark.parametrize("noise", ["dropout", "variational"])
@pytest.mark.parametrize("recurrence", CELLS)
def test_dropout_is_between_layers_and_before_the_head_and_never_in_the_recurrence(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    params, clean = task.model.params, task.model.cache(*task.x.shape)
    logits, _ = task.model.forward(task.x, task.state, cache)
    task.model.forward(task.x, task.state, clean)
    assert np.array_equal(
        cache["layers.0.h"], clean["layers.0.h"]
    )  # and none between the embedding and the first layer
    x = cache["layers.0.mask"] * cache["layers.0.h"][1:]
    layer = task.model.networks[0].cell, scope(params, "layers.1."), x, task.state[1], scope(clean, "layers.1.")
    h, _ = layer_forward(*layer)  # layer_forward has no dropout
    assert np.array_equal(cache["layers.1.h"][1:], h)
    expected = params["head.W_hy"] @ (cache["layers.1.mask"] * h) + params["head.b_y"][:, None]
    assert_allclose(logits, expected, rtol=0, atol=1e-14)
    assert len({cache[f"layers.{l}.mask"].tobytes() for l in (0, 1)}) == 2


def test_a_mask_is_drawn_for_every_step_and_stream_or_once_per_window() -> None:
    model, rng = network("rnn_tanh", hidden_size=32), np.random.default_rng(0)
    separate, single = model.cache(5, 3, masks=5), model.cache(5, 3, masks=1)
    for cache in (separate, single):
        model.networks[0].draw_masks(cache, 0.5, rng)
    masks = separate["layers.0.mask"].transpose(0, 2, 1).reshape(15, 32)
    assert len({mask.tobytes() for mask in masks}) == 15
    assert single["layers.0.mask"].shape == (1, 32, 3)
    assert len({mask.tobytes() for mask in single["layers.0.mask"][0].T}) == 3
    before = separate["layers.0.mask"].copy()
    model.networks[0].draw_masks(separate, 0.5, rng)
    assert not np.array_equal(separate["layers.0.mask"], before)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("recurrence", CELLS)
def test_a_short_window_with_masks_is_the_start_of_a_long_one(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    whole = library_pass(task, cache).logits
    short = task._replace(x=task.x[:2], y=task.y[:2])
    assert np.array_equal(library_pass(short, cache).logits, whole[:2])


@everywhere
def test_without_rates_there_are_no_masks_and_nothing_is_drawn(recurrence: str, num_layers: int) -> None:
    task, rng = problem(recurrence, num_layers), np.random.default_rng(0)
    cache, before = task.model.cache(*task.x.shape), rng.bit_generator.state
    assert not [name for name in cache if name.endswith(("mask", "dropped", "keep"))]
    task.model.networks[0].draw_masks(cache, 0.0, rng)
    assert rng.bit_generator.state == before
    assert_close(library_pass(task, cache), library_pass(task), 0)


@everywhere
def test_masks_that_drop_and_keep_nothing_change_no_bit(recurrence: str, num_layers: int) -> None:
    task, cache = noisy(recurrence, num_layers, "dropout and zoneout")
    for name, array in cache.items():
        if name.endswith(("mask", "keep")):
            array.fill(name.endswith("mask"))
    assert_close(library_pass(task, cache), library_pass(problem(recurrence, num_layers)), 0)


@everywhere
def test_float32_agrees_with_float64_to_a_hundred_thousandth(recurrence: str, num_layers: int) -> None:
    def narrow(state: State) -> State:
        return [tuple(part.astype(np.float32) for part in layer) for layer in state]

    task, model = problem(recurrence, num_layers), network(recurrence, num_layers, np.float32)
    single = library_pass(Problem(model, task.x, task.y, narrow(task.state), narrow(task.dstate)))
    assert_close(single, library_pass(task), 1e-5)
    assert {part.dtype for part in parts(single).values()} == {np.dtype(np.float32)}


@everywhere
def test_matrices_come_first_then_biases_and_the_names_share_one_vector(recurrence: str, num_layers: int) -> None:
    model = network(recurrence, num_layers)
    shapes = parameter_shapes(model.config)
    dimensions = [len(shape) for shape in shapes.values()]
    assert dimensions == sorted(dimensions, reverse=True)
    assert set(dimensions) == {1, 2}
    assert {name: p.shape for name, p in model.params.items()} == shapes
    assert size_of(shapes) == model.vector.size
    model.vector[:] = np.arange(model.vector.size)
    assert np.array_equal(np.concatenate([model.params[name].ravel() for name in shapes]), model.vector)


def test_the_parameters_of_two_layers_have_these_names_and_shapes() -> None:
    assert parameter_shapes(network("rnn_tanh", 2).config) == {
        "embed.W": (7, 6),
        "layers.0.W_xh": (4, 6),
        "layers.0.W_hh": (4, 4),
        "layers.1.W_xh": (4, 4),
        "layers.1.W_hh": (4, 4),
        "head.W_hy": (7, 4),
        "layers.0.b_h": (4,),
        "layers.1.b_h": (4,),
        "head.b_y": (7,),
    }


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_initial_recurrent_blocks_are_orthogonal_and_others_have_the_stated_variance(cell: str) -> None:
    config = ModelConfig(50, cell=cell, hidden_size=64, num_layers=2, embed_size=40)
    vector = initial_parameters(config, np.random.default_rng(0), np.float64)
    for name, W in views(vector, parameter_shapes(config)).items():
        if name.endswith("b_h"):
            assert_array_equal(W.reshape(-1, 64), np.tile(CELLS[config.recurrence].biases, (64, 1)).T)
        elif W.ndim == 1:
            assert not W.any()
        elif name.endswith("W_hh"):
            for block in W.reshape(-1, 64, 64):
                assert_allclose(block @ block.T, np.eye(64), rtol=0, atol=1e-14)
        else:
            variance = 1 if name == "embed.W" else 1 / W.shape[1]
            assert np.var(W) == pytest.approx(variance, rel=5 * math.sqrt(2 / W.size)), name
            assert abs(W.mean()) < 5 * math.sqrt(variance / W.size), name


def test_the_forget_gate_of_a_new_lstm_has_bias_1() -> None:
    assert CELLS["lstm"].biases == (0, 1, 0, 0)


def test_initial_parameters_follow_from_the_seed_alone() -> None:
    config = network("rnn_tanh").config
    one, same, other = (initial_parameters(config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.tobytes() == same.tobytes()
    assert not np.any((one == other) & (one != 0))


@pytest.fixture(params=CELLS)
def task(request: pytest.FixtureRequest) -> Problem:
    return problem(request.param, num_layers=2)


def test_a_pass_changes_no_argument(task: Problem) -> None:
    model, cache = task.model, task.model.cache(*task.x.shape)
    dlogits = np.random.default_rng(6).standard_normal(cache["logits"].shape)
    given = [task.x, model.vector, dlogits, *arrays(task.state).values(), *arrays(task.dstate).values()]
    before = [array.copy() for array in given]
    model.forward(task.x, task.state, cache)
    model.backward(dlogits, task.x, cache, zero_gradients(model), task.dstate)
    assert all(np.array_equal(a, b) for a, b in zip(before, given, strict=True))


def test_gradients_are_added(task: Problem) -> None:
    ones = zero_gradients(task.model)
    for array in ones.values():
        array.fill(1)
    new, added = library_pass(task).grads, library_pass(task, grads=ones).grads
    for name in new:
        assert_allclose(added[name], 1 + new[name], rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("steps", [5, 2])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("recurrence", CELLS)
def test_loss_and_gradients_equals_forward_and_backward(
    recurrence: str, noise: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head computes the logits of all steps at once, or of two at a time."""
    monkeypatch.setattr(network_module, "LOGITS", steps * V * B)
    task, cache = noisy(recurrence, 2, noise)
    task = task._replace(dstate=task.model.zero_state(B))
    expected, grads = library_pass(task, cache), zero_gradients(task.model)
    del cache["logits"]
    nats, state = task.model.networks[0].loss_and_gradients(task.x, task.y, 1, task.state, cache, grads)
    assert_allclose(nats.sum(), expected.loss, rtol=1e-14)
    assert not nats[task.y < 0].any()
    for name, part in (arrays(expected.state) | expected.grads).items():
        assert_allclose((arrays(state) | grads)[name], part, rtol=1e-12, atol=1e-13, err_msg=name)


def test_an_evaluation_with_another_cache_does_not_disturb_a_later_backward(task: Problem) -> None:
    model, cache, grads = task.model, task.model.cache(*task.x.shape), zero_gradients(task.model)
    logits, state = model.forward(task.x, task.state, cache)
    model.forward(task.x[::-1], state, model.cache(*task.x.shape))
    cross_entropy_forward(logits, task.y)
    dlogits = cross_entropy_backward(logits, task.y, 1)
    dstate0 = model.backward(dlogits, task.x, cache, grads, task.dstate)
    expected = library_pass(task)
    assert_close(Pass(expected.loss, expected.logits, state, grads, dstate0), expected, 0)


def test_the_state_after_a_window_outlives_the_cache(task: Problem) -> None:
    cache = task.model.cache(*task.x.shape)
    _, state = task.model.forward(task.x, task.state, cache)
    assert not any(np.shares_memory(part, kept) for part in arrays(state).values() for kept in cache.values())


@pytest.mark.parametrize("line_end", [None, 2])
@pytest.mark.parametrize("recurrence", CELLS)
def test_a_window_of_fewer_steps_uses_the_same_cache(recurrence: str, line_end: int | None) -> None:
    task = problem(recurrence, 2, line_end=line_end)
    T, B = task.x.shape
    cache = {name: np.full_like(array, np.nan) for name, array in task.model.cache(T + 2, B).items()}
    assert_close(library_pass(task, cache), library_pass(task), 0)
    short = task._replace(x=task.x[:2], y=task.y[:2])
    assert_close(library_pass(short, cache), library_pass(short), 0)


@pytest.mark.parametrize("config", [{}, {"zoneout": 0.3}, {"line_end": 2}, {"ensemble": 2}], ids=str)
@pytest.mark.parametrize("recurrence", CELLS)
def test_cache_bytes_is_the_size_of_a_cache(recurrence: str, config: dict[str, Any]) -> None:
    model = network(recurrence, 2, **config)
    for size in ((1, 1), (5, 3), (8, 2)):
        assert model.cache_bytes(*size) == sum(array.nbytes for array in model.cache(*size).values())
        for masks in (0, 1, size[0]):
            one = model.networks[0]
            assert one.cache_bytes(*size, masks) == sum(array.nbytes for array in one.cache(*size, masks).values())


def test_without_dstate_the_gradient_of_the_last_state_is_zero(task: Problem) -> None:
    model, cache = task.model, task.model.cache(*task.x.shape)

    def first(dstate: State | None) -> Params:
        logits, _ = model.forward(task.x, task.state, cache)
        return arrays(model.backward(np.ones_like(logits), task.x, cache, zero_gradients(model), dstate))

    none, zero = first(None), first(model.zero_state(task.x.shape[1]))
    assert all(np.array_equal(none[name], zero[name]) for name in zero)


def test_the_zero_states_of_layers_share_no_memory(task: Problem) -> None:
    state = list(arrays(task.model.zero_state(3)).values())
    assert all(part.shape == (4, 3) and part.dtype == np.float64 and not part.any() for part in state)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(state) for b in state[:i])
