"""Tests of the statements that docs/bptt.md derives, and of its code: it runs, and names functions that exist."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from runpy import run_path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import (
    Params,
    layer_backward,
    layer_cache,
    layer_forward,
    layer_shapes,
    recurrence_backward,
)
from charrnn.core.model import parameter_shapes, views
from charrnn.core.ops import Array, cross_entropy_backward, cross_entropy_forward, linear_backward, linear_forward
from charrnn.core.optim import OPTIMIZERS, Slots, clip_by_global_norm
from charrnn.core.sample import generate
from charrnn.core.score import score
from tests.helpers.gradcheck import check_gradients
from tests.helpers.naive import TWINS, Problem, column, library_pass, naive_forward, naive_pass, network, problem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bptt.md").read_text("utf-8")
PROSE = re.sub(r"^```\w+.*\n((?:(?!```).*\n)*)```$", "", PAGE, flags=re.M)  # and equations, without code
HOOKS = run_path(str(ROOT / "docs" / "site_hooks.py"))
SITE = {"extra": {"repository": "https://host"}}

every_cell = pytest.mark.parametrize("recurrence", CELLS)
SLOPES: dict[str, Callable[[Array], Array]] = {  # φ'(a) from h = φ(a)
    "rnn_tanh": lambda h: 1 - h**2,
    "rnn_relu": lambda h: np.where(h > 0, 1, 0),
    "rnn_sigmoid": lambda h: h * (1 - h),
    "rnn_leaky_relu": lambda h: np.where(h > 0, 1, 0.01),
    "rnn_softsign": lambda h: (1 - np.abs(h)) ** 2,
}
elman_cells = pytest.mark.parametrize("recurrence", SLOPES)


def test_every_activation_has_its_slope_here() -> None:
    assert SLOPES.keys() == {name for name in CELLS if name.startswith("rnn_")}


def smallest_gradient(recurrence: str) -> float:
    """Return a lower bound of gradients through a few steps; the slope of the sigmoid is at most 1/4."""
    return 1e-3 if recurrence == "rnn_sigmoid" else 1e-2


def random_layer(recurrence: str, D: int, H: int, rng: np.random.Generator) -> Params:
    return {n: rng.standard_normal(s) / np.sqrt(H) for n, s in layer_shapes(CELLS[recurrence], D, H).items()}


def zeros_like(params: Params) -> Params:
    return {name: np.zeros_like(p) for name, p in params.items()}


@every_cell
def test_plain_loops_give_the_same_loss_and_gradients(recurrence: str) -> None:
    task = problem(recurrence, num_layers=2, T=11, B=5)
    fast, naive = library_pass(task), naive_pass(task)
    assert fast.loss == pytest.approx(naive.loss, rel=0, abs=1e-10)
    for name in naive.grads:
        assert_allclose(fast.grads[name], naive.grads[name], rtol=0, atol=1e-10, err_msg=name)


def immediate(slope: Array, v: Array) -> Array:
    """Return ∂h_k/∂W (H, H, ·) for a_k = W v + … with v held fixed: row i of W changes h_k[i] only."""
    return np.diag(slope)[:, :, None] * v


@elman_cells
def test_the_double_sum_of_jacobian_products_equals_the_backward_pass(recurrence: str) -> None:
    task = problem(recurrence)
    params, (T, B) = task.model.params, task.x.shape
    W_hh, W_hy, H = params["layers.0.W_hh"], params["head.W_hy"], task.model.config.hidden_size
    dW_hh, dW_xh = np.zeros_like(W_hh), np.zeros_like(params["layers.0.W_xh"])
    for b in range(B):
        trace = naive_forward(params, TWINS[recurrence], task.x[:, b], column(task.state, b))
        h = [state[0] for state in trace.states[0]]  # h[0] is the initial state, h[t] the state after step t = 1 … T
        f1 = [SLOPES[recurrence](h_t) for h_t in h]
        for t in range(1, T + 1):
            y = task.y[t - 1, b]
            dL_dh = W_hy.T @ (trace.p[t - 1] - np.eye(W_hy.shape[0])[y]) if y >= 0 else np.zeros(H)
            for k in range(1, t + 1):
                path = np.eye(H)
                for j in range(k, t):
                    path = np.diag(f1[j + 1]) @ W_hh @ path  # ∂h_{j+1}/∂h_j, to the left of the earlier steps
                dW_hh += np.tensordot(dL_dh @ path, immediate(f1[k], h[k - 1]), 1)
                dW_xh += np.tensordot(dL_dh @ path, immediate(f1[k], trace.inputs[0][k - 1]), 1)
    sweep = library_pass(task._replace(dstate=task.model.zero_state(B))).grads
    assert_allclose(sweep["layers.0.W_hh"], dW_hh, rtol=0, atol=1e-12)
    assert_allclose(sweep["layers.0.W_xh"], dW_xh, rtol=0, atol=1e-12)


@elman_cells
def test_the_gradient_of_a_state_is_the_sum_of_that_of_its_output_and_of_the_next_step(recurrence: str) -> None:
    T, D, H, B = 5, 6, 4, 3
    cell, rng = CELLS[recurrence], np.random.default_rng(7)
    params, cache = random_layer(recurrence, D, H, rng), layer_cache(cell, T, B, H, np.float64)
    x, dh, h0, dh_next = (rng.standard_normal(s) for s in ((T, D, B), (T, H, B), (H, B), (H, B)))
    h, _ = layer_forward(cell, params, x, (h0,), cache)
    h = h.copy()
    da, (dh0,) = recurrence_backward(cell, params, dh, (dh_next,), cache, zeros_like(params))
    for t in reversed(range(T)):
        assert_allclose(da[t], SLOPES[recurrence](h[t]) * (dh[t] + dh_next), rtol=0, atol=1e-13)
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
def test_gradients_pass_through_dense_layers_around_the_recurrence(recurrence: str) -> None:
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
def test_one_to_many_each_choice_is_the_next_input(recurrence: str) -> None:
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
def test_many_to_one_the_gradient_of_the_last_target_reaches_the_first_step(recurrence: str) -> None:
    task = problem(recurrence)
    y = np.full_like(task.y, -1)
    y[-1] = [2, 0, 5]
    x = task.x.clip(1)
    x[0] = 0  # a symbol that occurs in the first step only
    task = task._replace(x=x, y=y, dstate=task.model.zero_state(3))
    fast, naive = library_pass(task), naive_pass(task)
    last = fast.logits[-1]
    assert fast.loss == pytest.approx(float(np.sum(np.log(np.exp(last).sum(axis=0)) - last[y[-1], range(3)])))
    for name in naive.grads:
        assert_allclose(fast.grads[name], naive.grads[name], rtol=0, atol=1e-12, err_msg=name)
    assert np.abs(fast.grads["embed.W"][0]).max() > 0.1 * smallest_gradient(recurrence)


@every_cell
def test_many_to_one_the_score_of_a_line_is_the_sum_over_its_characters(recurrence: str) -> None:
    model, start = network(recurrence, num_layers=2), 1
    line = np.random.default_rng(10).integers(0, model.config.vocab_size, 300)  # longer than a window of the scorer
    model.vector *= 0.5  # weights so small that relu does not overflow
    state = column(model.zero_state(1), 0)
    p = naive_forward(model.params, TWINS[recurrence], np.concatenate([[start], line[:-1]]), state).p
    *_, last = score(model, [line], start)
    assert last.nats == pytest.approx(-float(np.log(p[range(300), line]).sum()), rel=1e-12)
    assert last.chars == 300


@every_cell
def test_many_to_many_the_next_character_is_learnt_from_those_before(recurrence: str) -> None:
    model = network(recurrence)
    text = np.array([0, 1, 0, 2] * 6)  # after 0 comes 1 or 2, depending on the character before
    x, y = text[:-1, None], text[1:, None]
    zero, gradient = model.zero_state(1), np.zeros_like(model.vector)
    grads = views(gradient, parameter_shapes(model.config))
    shapes = parameter_shapes(model.config)
    slots: Slots = {name: np.zeros(shape) for name, shape in OPTIMIZERS["adam"].slots(shapes).items()}
    for step in range(150):
        gradient.fill(0)
        result = library_pass(Problem(model, x, y, zero, zero), grads=grads)
        clip_by_global_norm(gradient, 5)
        OPTIMIZERS["adam"].step(model.vector, gradient, slots, shapes, 0.03, 0, step + 1, lambda jobs: None)
    assert result.loss / len(y) < 0.1  # without memory at least ln 2 / 2 = 0.35
    assert np.array_equal(result.logits[2:].argmax(axis=1), y[2:])


@every_cell
def test_windows_with_carried_state_have_the_loss_of_the_whole_text_but_not_its_gradient(recurrence: str) -> None:
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
        assert cut < 1e-12 if name.startswith("head.") else cut > smallest_gradient(recurrence), (
            name
        )  # the head has no gradient through time


# ---- docs/bptt.md ----


class Block(NamedTuple):
    kind: str  # empty for equations, "python" for code that runs, "python FILE" for an excerpt of that file
    line: int  # line number of its first line, from 0
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


def test_each_equation_has_a_link_to_the_function_that_computes_it() -> None:
    found = re.findall(r"^```\n((?:(?!```).*\n)*)```\n(?:\nSource: ((?:.+\n)+))?", PROSE, re.M)
    linked = [(re.findall(r"\((\d+)\) *$", block, re.M), source) for block, source in found]
    numbers = [number for equations, _ in linked for number in equations]
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
    for equations, source in linked:
        named = {n for group in re.findall(r"\((\d+(?:, \d+)*)\) \[", source) for n in group.split(", ")}
        assert named == {*equations}, source


def test_the_links_to_functions_lead_to_their_files_and_on_the_site_to_their_lines() -> None:
    """The file is what GitHub opens; the line is found when the site is built, so that it is never out of date."""
    linked = re.findall(r"\[`([\w.:/]+)`\]\(\.\./([\w/]+\.py)\)", PAGE)
    assert len(linked) > 25
    page = SimpleNamespace(file=SimpleNamespace(src_uri="bptt.md"))
    built = HOOKS["on_page_markdown"](PAGE, page, SITE, None)
    lines = dict(re.findall(r"\[`([\w.:/]+)`\]\(https://host/blob/main/([\w/]+\.py#L\d+)\)", built))
    for name, path in linked:
        found, _, line = lines[name].partition("#L")
        assert found == path
        definition = (ROOT / path).read_text("utf-8").splitlines()[int(line) - 1]
        assert re.match(rf"\s*(def|class) {re.split('[.:]', name)[-1]}\(", definition), name
    assert {*re.findall(r"`(core\.[\w.]+\.\w+|tests/[\w/]+\.py::\w+)`", PAGE)} <= {*lines}  # in the table too


def test_a_link_to_a_function_that_is_gone_ends_the_build_of_the_site() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="bptt.md"))
    gone = "[`core.ops.gone`](../charrnn/core/ops.py)"
    with pytest.raises(LookupError, match=r"core\.ops\.gone"):
        HOOKS["on_page_markdown"](gone, page, SITE, None)


def test_the_excerpts_are_in_the_source() -> None:
    quotes = [block for block in blocks() if block.kind.startswith("python ")]
    assert len(quotes) >= 2
    for block in quotes:
        lines = iter((ROOT / block.kind.removeprefix("python ")).read_text("utf-8").splitlines())
        assert [line for line in block.text.splitlines() if line not in lines] == []


def test_linked_sections_exist() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.M)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert [title.split(".")[0] for title in titles] == [str(n) for n in range(1, len(titles) + 1)]
    links = re.findall(r"\]\(#([^)]*)\)", PAGE)
    assert len(links) > 20
    assert {*links} <= anchors


def test_named_functions_and_tests_exist() -> None:
    tests = [
        f"tests.{path.replace('/', '.')}:{name}" for path, name in re.findall(r"`tests/([\w/]+)\.py::(\w+)`", PAGE)
    ]
    functions = re.findall(r"`((?:core|sampling|evaluation|analysis|parallel)\.[\w.]+)`", PAGE)
    assert len(tests) > 20
    assert len(functions) > 20
    for name in tests + [f"charrnn.{function}" for function in functions]:
        assert callable(resolve_name(name)), name
