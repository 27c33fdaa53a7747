from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.cells import CELLS, rnn
from charrnn.cells.cell import (
    Cache,
    Cell,
    LayerState,
    Params,
    layer_backward,
    layer_cache,
    layer_forward,
    layer_shapes,
)
from charrnn.ops import Array, bernoulli
from tests.helpers.gradcheck import check_gradients
from tests.helpers.naive import TWINS, naive_layer_backward, naive_layer_forward

T, B, D, H = 7, 3, 6, 4


class Task(NamedTuple):
    """A layer of a cell, what it reads, and the gradients that come in: from above and from after the window."""

    name: str
    cell: Cell
    params: Params
    x: Array
    state: LayerState
    dh: Array
    dstate: LayerState


class Answer(NamedTuple):
    h: Array
    last: LayerState
    dx: Array
    dstate0: LayerState
    grads: Params


def make(name: str, B: int = B) -> Task:
    cell, rng = CELLS[name], np.random.default_rng(5)
    params: Params = {n: 0.5 * rng.standard_normal(s) for n, s in layer_shapes(cell, D, H).items()}
    state, dstate = (tuple(rng.standard_normal((len(cell.state), H, B))) for _ in range(2))
    return Task(name, cell, params, rng.standard_normal((T, D, B)), state, rng.standard_normal((T, H, B)), dstate)


def run(task: Task, cache: Cache | None = None, there: float = 0) -> Answer:
    cell, params, x, state = task.cell, task.params, task.x, task.state
    cache = layer_cache(cell, len(x), x.shape[2], H, np.float64) if cache is None else cache
    grads: Params = {n: np.full_like(p, there) for n, p in params.items()}
    h, last = layer_forward(cell, params, x, state, cache)
    h = h.copy()
    return Answer(h, last, *layer_backward(cell, params, x, task.dh, task.dstate, cache, grads), grads)


def assert_same(one: Answer, other: Answer) -> None:
    for a, b in zip(one[:-1], other[:-1], strict=True):
        assert_array_equal(a, b)
    for name in one.grads:
        assert_array_equal(one.grads[name], other.grads[name], err_msg=name)


@pytest.fixture(params=CELLS)
def task(request: pytest.FixtureRequest) -> Task:
    return make(request.param)


def test_every_cell_has_a_naive_twin() -> None:
    assert TWINS.keys() == CELLS.keys()


def test_a_layer_equals_its_naive_twin_stream_by_stream(task: Task) -> None:
    answer, twin = run(task), TWINS[task.name]
    grads: Params = {n: np.zeros_like(p) for n, p in task.params.items()}
    for b in range(B):
        x, state, dstate = task.x[:, :, b], tuple(s[:, b] for s in task.state), tuple(s[:, b] for s in task.dstate)
        states = naive_layer_forward(twin, task.params, x, state)
        dx, dstate0 = naive_layer_backward(twin, task.params, x, states, task.dh[:, :, b], dstate, grads)
        assert_allclose(answer.h[:, :, b], [h for h, *_ in states[1:]], rtol=0, atol=1e-13)
        assert_allclose(answer.dx[:, :, b], dx, rtol=0, atol=1e-13)
        assert_allclose(np.array(answer.last)[:, :, b], np.array(states[-1]), rtol=0, atol=1e-13)
        assert_allclose(np.array(answer.dstate0)[:, :, b], np.array(dstate0), rtol=0, atol=1e-13)
    for name in grads:
        assert_allclose(answer.grads[name], grads[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("zoneout", [0, 0.4])  # of the latter its expectation: training draws 0 and 1
def test_every_gradient_agrees_with_finite_differences(task: Task, zoneout: float) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64, zoneout)
    answer = run(task, cache)

    def loss() -> float:
        h, last, *_ = run(task, cache)
        return float(np.vdot(task.dh, h) + np.vdot(np.array(task.dstate), np.array(last)))

    def named(x: Array, state: LayerState, params: Params) -> Params:
        return {"x": x} | dict(zip(task.cell.state, state, strict=True)) | params

    check_gradients(loss, named(task.x, task.state, task.params), named(answer.dx, answer.dstate0, answer.grads))


@pytest.mark.parametrize("drawn", [True, False])
def test_zoneout_mixes_each_state_of_the_naive_twin_with_the_one_before(task: Task, drawn: bool) -> None:
    cache, rng = layer_cache(task.cell, T, B, H, np.float64, zoneout=0.4), np.random.default_rng(7)
    assert_array_equal(cache["keep"], np.full((T, len(task.cell.state), H, B), 0.4))  # what is expected of the drawn
    if drawn:
        bernoulli(rng, 0.4, cache["keep"])
    answer = run(task, cache)
    for b in range(B):
        state = np.array(task.state)[:, :, b]
        for t in range(T):
            keep, after = cache["keep"][t, :, :, b], TWINS[task.name].step(task.params, task.x[t, :, b], tuple(state))
            state = np.where(keep == 1, state, after) if drawn else 0.4 * state + 0.6 * np.array(after)
            assert_allclose(answer.h[t, :, b], state[0], rtol=0, atol=1e-13)
        assert_allclose(np.array(answer.last)[:, :, b], state, rtol=0, atol=1e-13)


def test_a_layer_whose_units_are_all_kept_repeats_its_state_and_hands_every_gradient_past_the_cell(task: Task) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64, zoneout=0.5)
    cache["keep"].fill(1)
    answer = run(task, cache)
    assert_array_equal(answer.h, np.broadcast_to(task.state[0], (T, H, B)))
    assert_array_equal(answer.last, task.state)
    assert_allclose(answer.dstate0[0], task.dstate[0] + task.dh.sum(axis=0), rtol=0, atol=1e-14)
    assert_array_equal(answer.dstate0[1:], task.dstate[1:])
    assert not any(array.any() for array in (answer.dx, *answer.grads.values()))


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_whole_equals_the_same_in_three_windows(name: str, B: int) -> None:
    task = make(name, B)
    whole, state, tasks = run(task), task.state, list[Task]()
    h, dx = list[Array](), list[Array]()
    for begin, end in ((0, 4), (4, 5), (5, T)):
        tasks.append(task._replace(x=task.x[begin:end], dh=task.dh[begin:end], state=state))
        part = run(tasks[-1])
        h.append(part.h)
        state = part.last
    # The same products of the same columns at every step, so not a bit differs.
    assert np.array_equal(np.concatenate(h), whole.h)
    assert np.array_equal(state, whole.last)

    dstate = task.dstate
    grads: Params = {n: np.zeros_like(p) for n, p in task.params.items()}
    for window in reversed(tasks):
        part = run(window._replace(dstate=dstate))
        dx.insert(0, part.dx)
        dstate = part.dstate0
        for n in grads:
            grads[n] += part.grads[n]
    assert np.array_equal(np.concatenate(dx), whole.dx)
    assert np.array_equal(dstate, whole.dstate0)
    for n in grads:  # sums over steps, cut differently
        assert_allclose(grads[n], whole.grads[n], rtol=0, atol=1e-13, err_msg=n)


def test_a_window_of_fewer_steps_uses_the_same_cache(task: Task) -> None:
    cache = {name: np.full_like(a, np.nan) for name, a in layer_cache(task.cell, T + 2, B, H, np.float64).items()}
    assert_same(run(task, cache), run(task))
    short = task._replace(x=task.x[:3], dh=task.dh[:3])
    assert_same(run(short, cache), run(short))


def test_gradients_are_added_and_nothing_else_is_touched(task: Task) -> None:
    given = [task.x, task.dh, *task.state, *task.dstate, *task.params.values()]
    before = [array.copy() for array in given]
    fresh, added = run(task).grads, run(task, there=1).grads
    for name in fresh:
        assert_allclose(added[name], 1 + fresh[name], rtol=0, atol=1e-13, err_msg=name)
    assert all(np.array_equal(a, b) for a, b in zip(before, given, strict=True))


def test_the_last_state_outlives_the_cache_and_the_first_gradient_too(task: Task) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64)
    answer = run(task, cache)
    for array in (*answer.last, *answer.dstate0):
        assert not any(np.shares_memory(array, kept) for kept in (*cache.values(), *task.state, *task.dstate))


def test_float32_stays_float32(task: Task) -> None:
    def single(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(a.astype(np.float32) for a in arrays)

    cache = layer_cache(task.cell, T, B, H, np.float32)
    x, dh = single((task.x, task.dh))
    params = dict(zip(task.params, single(tuple(task.params.values())), strict=True))
    narrow = Task(task.name, task.cell, params, x, single(task.state), dh, single(task.dstate))
    h, last, dx, dstate0, _ = run(narrow, cache)
    assert {a.dtype for a in (h, *last, dx, *dstate0, *cache.values())} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("f", "slope"), [(rnn.tanh, rnn.tanh_slope), (rnn.relu, rnn.relu_slope)])
def test_an_activations_slope_follows_from_its_value(f: rnn.Elementwise, slope: rnn.Elementwise) -> None:
    a = np.array([-30, -2, -0.5, -1e-3, 1e-3, 0.5, 2, 30])
    above, below, h, found = (np.empty_like(a) for _ in range(4))
    f(a + 1e-6, above)
    f(a - 1e-6, below)
    f(a, h)
    slope(h, found)
    assert_allclose(found, (above - below) / 2e-6, rtol=0, atol=1e-8)


def test_relu_is_flat_at_zero() -> None:
    found = np.ones(1)
    rnn.relu_slope(np.zeros(1), found)
    assert found == 0


MEMORY = {"rnn_tanh": 2 * T + 2, "rnn_relu": 2 * T + 2, "lstm": 7 * T + 6, "gru": 5 * T + 5}  # times H·B numbers


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_takes_the_memory_its_module_says(name: str) -> None:
    assert sum(a.size for a in layer_cache(CELLS[name], T, B, H, np.float32).values()) == MEMORY[name] * H * B


def test_an_lstm_that_forgets_nothing_and_takes_in_nothing_keeps_its_cell_forever() -> None:
    cell, rng = CELLS["lstm"], np.random.default_rng(6)
    params: Params = {name: np.zeros(shape) for name, shape in layer_shapes(cell, D, H).items()}
    params["b_h"].reshape(4, H)[:] = np.array([-40, 40, 40, 1])[:, None]  # i = 0, f = 1, o = 1
    state = (np.zeros((H, B)), rng.standard_normal((H, B)))
    cache = layer_cache(cell, T, B, H, np.float64)
    h, (_, c) = layer_forward(cell, params, rng.standard_normal((T, D, B)), state, cache)
    assert_allclose(c, state[1], rtol=0, atol=1e-12)
    assert_allclose(h[-1], np.tanh(state[1]), rtol=0, atol=1e-12)


def test_a_gru_whose_update_gate_is_open_keeps_its_state_and_one_whose_is_shut_takes_the_new() -> None:
    cell, x = CELLS["gru"], np.zeros((T, D, B))
    params: Params = {name: np.zeros(shape) for name, shape in layer_shapes(cell, D, H).items()}
    state = (np.full((H, B), 0.3),)
    for z, expected in ((40, 0.3), (-40, np.tanh(0.7))):
        params["b_h"].reshape(3, H)[:] = np.array([0, z, 0.7])[:, None]
        h, _ = layer_forward(cell, params, x, state, layer_cache(cell, T, B, H, np.float64))
        assert_allclose(h[-1], expected, rtol=0, atol=1e-12)
