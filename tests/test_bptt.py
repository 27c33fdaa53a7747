"""The seeds of the method. docs/bptt.md derives each of these claims and names its test; its own code runs here."""

import re
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.cells import CELLS
from charrnn.cells.cell import Params, layer_backward, layer_cache, layer_forward, layer_shapes
from charrnn.evaluate import score
from charrnn.model import parameter_shapes, views
from charrnn.ops import Array, cross_entropy_backward, cross_entropy_forward, linear_backward, linear_forward
from charrnn.optim import OPTIMIZERS, clip_by_global_norm
from charrnn.sampling import generate
from tests.helpers.gradcheck import check_gradients
from tests.helpers.naive import TWINS, Problem, column, library_pass, naive_forward, naive_pass, network, problem

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "bptt.md").read_text("utf-8")

every_cell = pytest.mark.parametrize("recurrence", CELLS)
elman_cells = pytest.mark.parametrize("recurrence", ["rnn_tanh", "rnn_relu"])


def slope(recurrence: str, h: Array) -> Array:
    """Return f'(a) from h = f(a) for the two Elman cells."""
    return 1 - h**2 if recurrence == "rnn_tanh" else np.where(h > 0, 1, 0)


def random_layer(recurrence: str, D: int, H: int, rng: np.random.Generator) -> Params:
    return {n: rng.standard_normal(s) / np.sqrt(H) for n, s in layer_shapes(CELLS[recurrence], D, H).items()}


def zeros_like(params: Params) -> Params:
    return {name: np.zeros_like(p) for name, p in params.items()}


@every_cell
def test_the_loops_step_by_step_give_the_same_loss_and_gradients_as_the_fast_pass(recurrence: str) -> None:
    task = problem(recurrence, num_layers=2, T=11, B=5)
    fast, naive = library_pass(task), naive_pass(task)
    assert fast.loss == pytest.approx(naive.loss, rel=0, abs=1e-10)
    for name in naive.grads:
        assert_allclose(fast.grads[name], naive.grads[name], rtol=0, atol=1e-10, err_msg=name)


def immediate(slope: Array, v: Array) -> Array:
    """Return ∂h_k/∂W (H, H, ·) where v stands right of W in a_k and is held fixed: row i of W reaches h_k[i] alone."""
    return np.diag(slope)[:, :, None] * v


@elman_cells
def test_the_double_sum_with_jacobians_multiplied_out_equals_the_backward_sweep(recurrence: str) -> None:
    task = problem(recurrence)
    params, (T, B) = task.model.params, task.x.shape
    W_hh, W_hy, H = params["layers.0.W_hh"], params["head.W_hy"], task.model.config.hidden_size
    dW_hh, dW_xh = np.zeros_like(W_hh), np.zeros_like(params["layers.0.W_xh"])
    for b in range(B):
        trace = naive_forward(params, TWINS[recurrence], task.x[:, b], column(task.state, b))
        h = [state[0] for state in trace.states[0]]  # h[0] is the initial state, h[t] that after step t = 1 … T
        f1 = [slope(recurrence, h_t) for h_t in h]
        for t in range(1, T + 1):
            y = task.y[t - 1, b]
            dL_dh = W_hy.T @ (trace.p[t - 1] - np.eye(W_hy.shape[0])[y]) if y >= 0 else np.zeros(H)
            for k in range(1, t + 1):
                path = np.eye(H)
                for j in range(k, t):
                    path = np.diag(f1[j + 1]) @ W_hh @ path  # ∂h_{j+1}/∂h_j, left of the steps before
                dW_hh += np.tensordot(dL_dh @ path, immediate(f1[k], h[k - 1]), 1)
                dW_xh += np.tensordot(dL_dh @ path, immediate(f1[k], trace.inputs[0][k - 1]), 1)
    sweep = library_pass(task._replace(dstate=task.model.zero_state(B))).grads
    assert_allclose(sweep["layers.0.W_hh"], dW_hh, rtol=0, atol=1e-12)
    assert_allclose(sweep["layers.0.W_xh"], dW_xh, rtol=0, atol=1e-12)


@elman_cells
def test_dh_is_the_sum_of_the_outputs_gradient_and_that_of_the_next_step(recurrence: str) -> None:
    T, D, H, B = 5, 6, 4, 3
    cell, rng = CELLS[recurrence], np.random.default_rng(7)
    params, cache = random_layer(recurrence, D, H, rng), layer_cache(cell, T, B, H, np.float64)
    x, dh, h0, dh_next = (rng.standard_normal(s) for s in ((T, D, B), (T, H, B), (H, B), (H, B)))
    h, _ = layer_forward(cell, params, x, (h0,), cache)
    h = h.copy()
    da, (dh0,) = cell.backward(params, dh, (dh_next,), cache, zeros_like(params))
    for t in reversed(range(T)):
        assert_allclose(da[t], slope(recurrence, h[t]) * (dh[t] + dh_next), rtol=0, atol=1e-13)
        dh_next = params["W_hh"].T @ da[t]
    assert_allclose(dh0, dh_next, rtol=0, atol=1e-13)


@every_cell
def test_the_input_gradient_of_a_layer_is_the_output_gradient_of_the_layer_below(recurrence: str) -> None:
    T, D, H, B = 5, 6, 4, 3
    cell, rng = CELLS[recurrence], np.random.default_rng(8)
    x, weights = rng.standard_normal((T, D, B)), rng.standard_normal((T, H, B))
    below, above = random_layer(recurrence, D, H, rng), random_layer(recurrence, H, H, rng)
    zero = tuple(np.zeros((H, B)) for _ in cell.state)
    caches = [layer_cache(cell, T, B, H, np.float64) for _ in range(2)]

    def forward() -> tuple[Array, Array]:
        between, _ = layer_forward(cell, below, x, zero, caches[0])
        return between, layer_forward(cell, above, between, zero, caches[1])[0]

    between, _ = forward()
    grads = zeros_like(below)
    dbetween, _ = layer_backward(cell, above, between, weights, zero, caches[1], zeros_like(above))
    dx, _ = layer_backward(cell, below, x, dbetween, zero, caches[0], grads)
    check_gradients(lambda: float(np.vdot(weights, forward()[1])), {"x": x} | below, {"x": dx} | grads)


@every_cell
def test_dense_layers_around_the_recurrence_hand_deltas_of_the_right_shape_down(recurrence: str) -> None:
    T, B, sizes = 3, 128, (10, 20, 5, 100)
    cell, rng = CELLS[recurrence], np.random.default_rng(9)
    x, y = rng.standard_normal((T, sizes[0], B)), rng.integers(0, sizes[3], (T, B))
    below: Params = {"W": rng.standard_normal((20, 10)), "b": rng.standard_normal(20)}
    above: Params = {"W": rng.standard_normal((100, 5)), "b": rng.standard_normal(100)}
    layer, zero = random_layer(recurrence, 20, 5, rng), tuple(np.zeros((5, B)) for _ in cell.state)
    cache = layer_cache(cell, T, B, 5, np.float64)

    def forward() -> tuple[Array, Array, Array]:
        u = linear_forward(below["W"], below["b"], x, np.empty((T, 20, B)))
        h, _ = layer_forward(cell, layer, u, zero, cache)
        return u, h, linear_forward(above["W"], above["b"], h, np.empty((T, 100, B)))

    def loss() -> float:
        return float(cross_entropy_forward(forward()[2], y).mean())

    u, h, logits = forward()
    cross_entropy_forward(logits, y)
    dbelow, dlayer, dabove = zeros_like(below), zeros_like(layer), zeros_like(above)
    dlogits = cross_entropy_backward(logits, y, T * B)
    dh = linear_backward(dlogits, above["W"], h, dabove["W"], dabove["b"])
    du, dstate0 = layer_backward(cell, layer, u, dh, zero, cache, dlayer)
    dx = linear_backward(du, below["W"], x, dbelow["W"], dbelow["b"])

    assert [delta.shape for delta in (dx, du, dh, dlogits)] == [(T, size, B) for size in sizes]
    assert all(delta.shape == (5, B) for delta in dstate0)

    def named(x: Array, below: Params, layer: Params, above: Params) -> Params:
        dense = {f"below.{n}": p for n, p in below.items()} | {f"above.{n}": p for n, p in above.items()}
        return {"x": x} | layer | dense

    check_gradients(loss, named(x, below, layer, above), named(dx, dbelow, dlayer, dabove))  # shapes too


@every_cell
def test_one_to_many_a_start_character_and_the_network_fed_its_own_choices(recurrence: str) -> None:
    model, n = network(recurrence, num_layers=2), 20
    ids = [3]
    for _ in range(n):
        state = column(model.zero_state(1), 0)
        logits = naive_forward(model.params, TWINS[recurrence], np.array(ids), state).logits
        ids.append(int(logits[-1].argmax()))
    drawn = islice(generate(model, np.array([3]), np.random.default_rng(0), {"temperature": 0}), n)
    assert list(drawn) == ids[1:]
    assert len(set(ids)) > 1


@every_cell
def test_many_to_one_only_the_last_target_counts_and_its_gradient_reaches_the_first_step(recurrence: str) -> None:
    task = problem(recurrence)
    y = np.full_like(task.y, -1)
    y[-1] = [2, 0, 5]
    x = task.x.clip(1)
    x[0] = 0  # a symbol of the first step alone
    task = task._replace(x=x, y=y, dstate=task.model.zero_state(3))
    fast, naive = library_pass(task), naive_pass(task)
    last = fast.logits[-1]
    assert fast.loss == pytest.approx(float(np.sum(np.log(np.exp(last).sum(axis=0)) - last[y[-1], range(3)])))
    for name in naive.grads:
        assert_allclose(fast.grads[name], naive.grads[name], rtol=0, atol=1e-12, err_msg=name)
    assert np.abs(fast.grads["embed.W"][0]).max() > 1e-3


@every_cell
def test_many_to_one_the_score_of_a_line_is_the_sum_of_its_characters_costs(recurrence: str) -> None:
    model, start = network(recurrence, num_layers=2), 1
    line = np.random.default_rng(10).integers(0, model.config.vocab_size, 300)  # more than the scorer reads at a time
    model.vector *= 0.5  # weights so small that relu does not blow up on the way
    state = column(model.zero_state(1), 0)
    p = naive_forward(model.params, TWINS[recurrence], np.concatenate([[start], line[:-1]]), state).p
    *_, last = score(model, [line], start)
    assert last.nats == pytest.approx(-float(np.log(p[range(300), line]).sum()), rel=1e-12)
    assert last.chars == 300


@every_cell
def test_many_to_many_learns_the_next_character_from_what_went_before(recurrence: str) -> None:
    model = network(recurrence)
    text = np.array([0, 1, 0, 2] * 6)  # after 0 comes 1 or 2: only memory of the one before tells
    x, y = text[:-1, None], text[1:, None]
    zero, gradient = model.zero_state(1), np.zeros_like(model.vector)
    grads = views(gradient, parameter_shapes(model.config))
    slots = {name: np.zeros_like(gradient) for name in OPTIMIZERS["adam"].slots}
    for step in range(150):
        gradient.fill(0)
        result = library_pass(Problem(model, x, y, zero, zero), grads=grads)
        clip_by_global_norm(gradient, 5)
        OPTIMIZERS["adam"].update(model.vector, gradient, slots, 0.03, step + 1)
    assert result.loss / len(y) < 0.1  # without memory at least ln 2 / 2 = 0.35
    assert np.array_equal(result.logits[2:].argmax(axis=1), y[2:])


@every_cell
def test_windows_with_carried_state_have_the_loss_of_the_whole_but_not_its_gradient(recurrence: str) -> None:
    task = problem(recurrence, num_layers=2, T=6)
    zero = task.model.zero_state(3)
    whole = library_pass(task._replace(dstate=zero))
    early = task._replace(x=task.x[:2], y=task.y[:2], dstate=zero)
    first = library_pass(early)
    second = library_pass(task._replace(x=task.x[2:], y=task.y[2:], state=first.state, dstate=zero))
    assert np.array_equal(np.concatenate([first.logits, second.logits]), whole.logits)
    assert first.loss + second.loss == pytest.approx(whole.loss, rel=1e-14)

    chained = library_pass(early._replace(dstate=second.dstate0))
    for name in whole.grads:
        assert_allclose(chained.grads[name] + second.grads[name], whole.grads[name], rtol=0, atol=1e-12, err_msg=name)
        cut = np.abs(first.grads[name] + second.grads[name] - whole.grads[name]).max()
        assert cut < 1e-12 if name.startswith("head.") else cut > 1e-2, name  # the head's does not go through time


# ---- docs/bptt.md ----


class Block(NamedTuple):
    kind: str  # nothing for equations, "python" for code that runs, "python FILE" for what is quoted of it
    line: int  # of the page, before its first
    text: str


def blocks() -> list[Block]:
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", PAGE, re.M)
    return [Block(block[1], PAGE[: block.start(2)].count("\n"), block[2]) for block in found]


def test_the_code_of_the_derivation_runs() -> None:
    names: dict[str, Any] = {}
    code = [block for block in blocks() if block.kind == "python"]
    for block in code:
        exec(compile("\n" * block.line + block.text, "docs/bptt.md", "exec"), names)
    assert sum(block.text.count("assert ") for block in code) > 40


def test_each_equation_is_followed_by_code_that_computes_it() -> None:
    equations = {int(n): block.line for block in blocks() if not block.kind
                 for n in re.findall(r"\((\d+)\) *$", block.text, re.M)}  # fmt: skip
    computed = {int(n): block.line for block in blocks() if block.kind == "python"
                for n in re.findall(r"# \((\d+)\)$", block.text, re.M)}  # fmt: skip
    assert [*equations] == [*computed] == [*range(1, len(equations) + 1)]
    assert all(0 < computed[n] - line < 100 for n, line in equations.items())


def test_the_lines_quoted_stand_in_the_source_in_their_order() -> None:
    quotes = [block for block in blocks() if block.kind.startswith("python ")]
    assert len(quotes) >= 2
    for block in quotes:
        lines = iter((ROOT / block.kind.removeprefix("python ")).read_text("utf-8").splitlines())
        assert [line for line in block.text.splitlines() if line not in lines] == []


def test_the_sections_that_the_derivation_links_to_exist() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert [title.split(".")[0] for title in titles] == [str(n) for n in range(1, len(titles) + 1)]
    links = re.findall(r"\]\(#([^)]*)\)", PAGE)
    assert len(links) > 20
    assert {*links} <= anchors


def test_the_derivation_names_functions_and_tests_that_exist() -> None:
    tests = [f"tests.{module}:{name}" for module, name in re.findall(r"`tests/(\w+)\.py::(\w+)`", PAGE)]
    functions = re.findall(r"`((?:ops|cells|model|network|optim|step|dynamic|memory|sampling|evaluate)\.[\w.]+)`", PAGE)
    assert len(tests) > 20
    assert len(functions) > 20
    for name in tests + [f"charrnn.{function}" for function in functions]:
        assert callable(resolve_name(name)), name
