from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import (
    Cache,
    Cell,
    LayerState,
    Params,
    layer_backward,
    layer_cache,
    layer_forward,
    layer_shapes,
    layer_step,
    recurrence_forward,
)
from charrnn.core.ops import Array, bernoulli
from tests.helpers.gradcheck import check_gradients
from tests.helpers.naive import TWINS, naive_layer_backward, naive_layer_forward

T, B, D, H = 7, 3, 6, 4
ALIVE = np.array(
    [[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1], [1, 1, 1]], float
)  # 0 begins a line


class Task(NamedTuple):
    """A layer of a cell, its inputs and initial state, and the gradients of its outputs and of its last state."""

    name: str
    cell: Cell
    params: Params
    x: Array
    state: LayerState
    dh: Array
    dstate: LayerState


class Result(NamedTuple):
    """The results of a forward and a backward pass."""

    h: Array
    last: LayerState
    dx: Array
    dstate0: LayerState
    grads: Params


def make_task(name: str, B: int = B) -> Task:
    cell, rng = CELLS[name], np.random.default_rng(5)
    params: Params = {n: 0.5 * rng.standard_normal(s) for n, s in layer_shapes(cell, D, H).items()}
    state, dstate = (tuple(rng.standard_normal((len(cell.state), H, B))) for _ in range(2))
    return Task(name, cell, params, rng.standard_normal((T, D, B)), state, rng.standard_normal((T, H, B)), dstate)


def run(task: Task, cache: Cache | None = None, initial_gradient: float = 0) -> Result:
    cell, params, x, state = task.cell, task.params, task.x, task.state
    cache = layer_cache(cell, len(x), x.shape[2], H, np.float64) if cache is None else cache
    grads: Params = {n: np.full_like(p, initial_gradient) for n, p in params.items()}
    h, last = layer_forward(cell, params, x, state, cache)
    h = h.copy()
    return Result(h, last, *layer_backward(cell, params, x, task.dh, task.dstate, cache, grads), grads)


def assert_same(one: Result, other: Result) -> None:
    for a, b in zip(one[:-1], other[:-1], strict=True):
        assert_array_equal(a, b)
    for name in one.grads:
        assert_array_equal(one.grads[name], other.grads[name], err_msg=name)


@pytest.fixture(params=CELLS)
def task(request: pytest.FixtureRequest) -> Task:
    return make_task(request.param)


def test_every_cell_has_a_naive_twin() -> None:
    assert TWINS.keys() == CELLS.keys()


def test_a_layer_equals_its_naive_twin_stream_by_stream(task: Task) -> None:
    result, twin = run(task), TWINS[task.name]
    grads: Params = {n: np.zeros_like(p) for n, p in task.params.items()}
    for b in range(B):
        x, state, dstate = task.x[:, :, b], tuple(s[:, b] for s in task.state), tuple(s[:, b] for s in task.dstate)
        states = naive_layer_forward(twin, task.params, x, state)
        dx, dstate0 = naive_layer_backward(twin, task.params, x, states, task.dh[:, :, b], dstate, grads)
        assert_allclose(result.h[:, :, b], [h for h, *_ in states[1:]], rtol=0, atol=1e-13)
        assert_allclose(result.dx[:, :, b], dx, rtol=0, atol=1e-13)
        assert_allclose(np.array(result.last)[:, :, b], np.array(states[-1]), rtol=0, atol=1e-13)
        assert_allclose(np.array(result.dstate0)[:, :, b], np.array(dstate0), rtol=0, atol=1e-13)
    for name in grads:
        assert_allclose(result.grads[name], grads[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("zoneout", [0, 0.4])  # its expectation: training draws zeros and ones
def test_every_gradient_agrees_with_finite_differences(task: Task, zoneout: float, lines: bool) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64, zoneout, lines)
    if lines:
        cache["alive"][...] = ALIVE
    result = run(task, cache)

    def loss() -> float:
        h, last, *_ = run(task, cache)
        return float(np.vdot(task.dh, h) + np.vdot(np.array(task.dstate), np.array(last)))

    def named(x: Array, state: LayerState, params: Params) -> Params:
        return {"x": x} | dict(zip(task.cell.state, state, strict=True)) | params

    check_gradients(loss, named(task.x, task.state, task.params), named(result.dx, result.dstate0, result.grads))


# ---- zoneout ----


@pytest.mark.parametrize("drawn", [True, False])
def test_zoneout_mixes_each_state_of_the_naive_twin_with_the_one_before(task: Task, drawn: bool) -> None:
    cache, rng = layer_cache(task.cell, T, B, H, np.float64, zoneout=0.4), np.random.default_rng(7)
    assert_array_equal(cache["keep"], np.full((T, len(task.cell.state), H, B), 0.4))  # the expectation of the draws
    if drawn:
        bernoulli(rng, 0.4, cache["keep"])
    result = run(task, cache)
    for b in range(B):
        state = np.array(task.state)[:, :, b]
        for t in range(T):
            keep, after = cache["keep"][t, :, :, b], TWINS[task.name].step(task.params, task.x[t, :, b], tuple(state))
            state = np.where(keep == 1, state, after) if drawn else 0.4 * state + 0.6 * np.array(after)
            assert_allclose(result.h[t, :, b], state[0], rtol=0, atol=1e-13)
        assert_allclose(np.array(result.last)[:, :, b], state, rtol=0, atol=1e-13)


def test_units_that_are_always_kept_repeat_their_state_and_their_gradient_bypasses_the_cell(task: Task) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64, zoneout=0.5)
    cache["keep"].fill(1)
    result = run(task, cache)
    assert_array_equal(result.h, np.broadcast_to(task.state[0], (T, H, B)))
    assert_array_equal(result.last, task.state)
    assert_allclose(result.dstate0[0], task.dstate[0] + task.dh.sum(axis=0), rtol=0, atol=1e-14)
    assert_array_equal(result.dstate0[1:], task.dstate[1:])
    assert not any(array.any() for array in (result.dx, *result.grads.values()))


# ---- resets between lines ----


def task_of_lines(task: Task) -> tuple[Task, Cache]:
    """Return a task and a cache in which the steps of ALIVE that are 0 begin a line."""
    cache = layer_cache(task.cell, T, B, H, np.float64, lines=True)
    cache["alive"][...] = ALIVE
    return task, cache


def test_a_reset_gives_the_twin_a_zero_state_and_leaves_the_output_of_the_step_before(task: Task) -> None:
    result = run(*task_of_lines(task))
    for b in range(B):
        state = tuple(part[:, b] for part in task.state)
        for t in range(T):
            before = tuple(ALIVE[t, b] * part for part in state)
            state = TWINS[task.name].step(task.params, task.x[t, :, b], before)
            assert_allclose(result.h[t, :, b], state[0], rtol=0, atol=1e-13)
        assert_allclose(np.array(result.last)[:, :, b], np.array(state), rtol=0, atol=1e-13)


def test_no_gradient_passes_a_reset(task: Task) -> None:
    (task, cache), at = task_of_lines(task), 4
    cache["alive"][at] = 0
    whole, after = run(task, cache), task._replace(dh=task.dh.copy())
    after.dh[:at] = 0  # losses of the steps from the reset on
    result = run(after, cache)
    assert not result.dx[:at].any()
    assert not any(part.any() for part in result.dstate0)
    assert_array_equal(result.dx[at:], whole.dx[at:])
    assert result.dx[at:].any()


def test_a_window_without_a_reset_equals_that_of_a_continuous_text(task: Task) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64, lines=True)
    assert_same(run(task, cache), run(task))


# ---- bound steps ----


@pytest.mark.parametrize("zoneout", [0, 0.4])
def test_a_step_for_sampling_equals_a_step_of_the_recurrence(task: Task, zoneout: float) -> None:
    """It writes the state after the step over the state before."""
    cell, rows = task.cell, task.cell.gates * H
    cache, state = layer_cache(cell, T, B, H, np.float64, zoneout), tuple(part.copy() for part in task.state)
    cache["a"][...] = np.random.default_rng(8).standard_normal((T, rows, B))
    inputs, a, v = cache["a"].copy(), np.empty((rows, B)), np.empty((rows, B))
    h, last = recurrence_forward(cell, task.params, cache["a"], task.state, cache)
    step = layer_step(cell, task.params, a, v, state, zoneout)
    for t in range(T):
        a[...] = inputs[t]
        np.matmul(task.params["W_hh"], state[0], out=v)
        step()
        assert_array_equal(state[0], h[t])
    assert_array_equal(state, last)


# ---- windows and caches ----


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_one_window_equals_three_with_carried_state(name: str, B: int) -> None:
    task = make_task(name, B)
    whole, state, tasks = run(task), task.state, list[Task]()
    h, dx = list[Array](), list[Array]()
    for start, end in ((0, 4), (4, 5), (5, T)):
        tasks.append(task._replace(x=task.x[start:end], dh=task.dh[start:end], state=state))
        part = run(tasks[-1])
        h.append(part.h)
        state = part.last
    # every step computes the same products of the same columns, so the results are equal to the bit
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
    for n in grads:  # sums over steps, split differently
        assert_allclose(grads[n], whole.grads[n], rtol=0, atol=1e-13, err_msg=n)


def test_gradients_are_added_and_no_argument_changes(task: Task) -> None:
    given = [task.x, task.dh, *task.state, *task.dstate, *task.params.values()]
    before = [array.copy() for array in given]
    new, added = run(task).grads, run(task, initial_gradient=1).grads
    for name in new:
        assert_allclose(added[name], 1 + new[name], rtol=0, atol=1e-13, err_msg=name)
    assert all(np.array_equal(a, b) for a, b in zip(before, given, strict=True))


def test_the_last_state_and_the_first_gradient_are_no_views(task: Task) -> None:
    cache = layer_cache(task.cell, T, B, H, np.float64)
    result = run(task, cache)
    for array in (*result.last, *result.dstate0):
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


MEMORY = {"rnn": 2 * T + 2, "lstm": 7 * T + 6, "gru": 5 * T + 5}  # times H·B numbers


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_takes_the_memory_that_its_module_states(name: str) -> None:
    assert (
        sum(a.size for a in layer_cache(CELLS[name], T, B, H, np.float32).values())
        == MEMORY[name.split("_")[0]] * H * B
    )


def test_an_lstm_with_an_open_forget_gate_and_a_closed_input_gate_keeps_its_cell() -> None:
    cell, rng = CELLS["lstm"], np.random.default_rng(6)
    params: Params = {name: np.zeros(shape) for name, shape in layer_shapes(cell, D, H).items()}
    params["b_h"].reshape(4, H)[:] = np.array([-40, 40, 40, 1])[:, None]  # i = 0, f = 1, o = 1
    state = (np.zeros((H, B)), rng.standard_normal((H, B)))
    cache = layer_cache(cell, T, B, H, np.float64)
    h, (_, c) = layer_forward(cell, params, rng.standard_normal((T, D, B)), state, cache)
    assert_allclose(c, state[1], rtol=0, atol=1e-12)
    assert_allclose(h[-1], np.tanh(state[1]), rtol=0, atol=1e-12)


def test_a_gru_keeps_its_state_at_z_1_and_replaces_it_at_z_0() -> None:
    cell, x = CELLS["gru"], np.zeros((T, D, B))
    params: Params = {name: np.zeros(shape) for name, shape in layer_shapes(cell, D, H).items()}
    state = (np.full((H, B), 0.3),)
    for z, expected in ((40, 0.3), (-40, np.tanh(0.7))):
        params["b_h"].reshape(3, H)[:] = np.array([0, z, 0.7])[:, None]
        h, _ = layer_forward(cell, params, x, state, layer_cache(cell, T, B, H, np.float64))
        assert_allclose(h[-1], expected, rtol=0, atol=1e-12)
