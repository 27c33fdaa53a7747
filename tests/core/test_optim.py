import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from charrnn.core import optim
from charrnn.core.cells.cell import Shapes
from charrnn.core.config import TrainConfig
from charrnn.core.model import size_of, views
from charrnn.core.ops import Array
from charrnn.core.optim import (
    FINAL,
    OPTIMIZERS,
    SCHEDULES,
    Job,
    Slots,
    add_l2_gradient,
    basis_shapes,
    clip_by_global_norm,
    lr_at,
    rotations,
    shrink_weights,
)

P, STEPS = 11, 7


def adam_step(grads: list[float], lr: float, beta2: float = 0.99) -> float:
    """Return a step of Adam computed from sums instead of running averages: m_t = (1-β1) Σ_s β1^(t-s) g_s."""
    t = len(grads)
    m = sum(0.1 * 0.9 ** (t - s) * g for s, g in enumerate(grads, 1)) / (1 - 0.9**t)
    v = sum((1 - beta2) * beta2 ** (t - s) * g * g for s, g in enumerate(grads, 1)) / (1 - beta2**t)
    return lr * m / (math.sqrt(v) + 1e-8)


def sgd_step(grads: list[float], lr: float) -> float:
    return lr * sum(0.9 ** (len(grads) - s) * g for s, g in enumerate(grads, 1))


def adagrad_step(grads: list[float], lr: float) -> float:
    return lr * grads[-1] / (math.sqrt(sum(g * g for g in grads)) + 1e-10)


def rmsprop_step(grads: list[float], lr: float) -> float:
    v = sum(0.01 * 0.99 ** (len(grads) - s) * g * g for s, g in enumerate(grads, 1))
    return lr * grads[-1] / (math.sqrt(v) + 1e-8)


STEP_OF: dict[str, Callable[[list[float], float], float]] = {  # the gradients of one parameter so far, lr -> its step
    "sgd": sgd_step,
    "adagrad": adagrad_step,
    "rmsprop": rmsprop_step,
    "adam": adam_step,
    "adamw": adam_step,
}


SHAPES: Shapes = {"layers.0.W_hh": (2, 3), "head.b_y": (P - 6,)}  # of P parameters


def test_every_elementwise_optimizer_has_a_formula() -> None:
    assert [*STEP_OF, "soap"] == [*OPTIMIZERS]


def new_slots(name: str, dtype: DTypeLike, shapes: Shapes = SHAPES) -> Slots:
    return {slot: np.zeros(shape, dtype) for slot, shape in OPTIMIZERS[name].slots(shapes).items()}


def in_turn(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job()


def take_step(name: str, params: Array, grads: Array, slots: Slots, lr: float, t: int, decay: float = 0) -> None:
    OPTIMIZERS[name].step(params, grads, slots, SHAPES, lr, decay, t, in_turn)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", STEP_OF)
def test_an_update_follows_its_formula(name: str, dtype: DTypeLike, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    params = rng.normal(size=P).astype(dtype)
    grads = (rng.normal(size=(STEPS, P)) * 10.0 ** rng.integers(-6, 3, P)).astype(dtype)
    rates = rng.uniform(1e-3, 1e-1, STEPS)
    slots, expected = new_slots(name, dtype), params.astype(np.float64)
    for t in range(1, STEPS + 1):
        take_step(name, params, grads[t - 1].copy(), slots, float(rates[t - 1]), t)
        expected -= [STEP_OF[name](grads[:t, p].astype(float).tolist(), rates[t - 1]) for p in range(P)]
        np.testing.assert_allclose(params, expected, rtol=tolerance, atol=tolerance)
    assert {array.dtype for array in (params, *slots.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", STEP_OF)
def test_an_update_in_blocks_equals_one_of_the_whole_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    whole = rng.normal(size=P)
    parts, slots, slots_of_parts = whole.copy(), new_slots(name, np.float64), new_slots(name, np.float64)
    for t in range(1, STEPS + 1):
        grads = rng.normal(size=P)
        take_step(name, whole, grads.copy(), slots, 0.1, t)
        with monkeypatch.context() as patch:
            patch.setattr(optim, "BLOCK", 4)
            take_step(name, parts, grads.copy(), slots_of_parts, 0.1, t)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_equal(slots_of_parts, slots)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_contain_no_subnormal_numbers(name: str) -> None:
    params, slots = np.zeros(P, np.float32), new_slots(name, np.float32)
    tiny = np.finfo(np.float32).tiny
    grads = (10.0 ** -np.arange(0, 4 * P, 4)).astype(np.float32)  # 1, 1e-4 … 1e-40
    for t in range(1, 1000):
        take_step(name, params, grads.copy() if t == 1 else np.zeros_like(grads), slots, 1e-3, t)
        for slot in (slots[key] for key in slots.keys() - {"Q", "R"}):
            assert not np.any((slot != 0) & (np.abs(slot) < tiny))
    assert np.isfinite(params).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_scales_a_long_gradient_to_the_maximum_norm(dtype: DTypeLike) -> None:
    grads = np.array([3, -4, 12], dtype)
    assert clip_by_global_norm(grads, 2.6) == 13
    np.testing.assert_allclose(grads, [0.6, -0.8, 2.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("grads", "norm"),
    [([3, -4, 12], 13), ([0, 0], 0), ([math.nan, 30], math.nan), ([math.inf, 30], math.inf), ([-math.inf], math.inf)],
)
def test_clipping_does_not_change_short_and_non_finite_gradients(grads: list[float], norm: float) -> None:
    array: Array = np.array(grads, np.float32)
    assert clip_by_global_norm(array, 13) == pytest.approx(norm, nan_ok=True)
    np.testing.assert_array_equal(array, np.array(grads, np.float32))


@pytest.mark.parametrize(("weight_decay", "expected"), [(0.5, [1.5, -3, 0]), (0, [2, -4, 0])])
def test_decoupled_decay_shrinks_each_weight_by_the_same_share(weight_decay: float, expected: list[float]) -> None:
    weights, grads = np.array([2, -4, 0], np.float32), np.ones(3, np.float32)
    shrink_weights(weights, grads, weight_decay, lr=0.5)
    np.testing.assert_array_equal(weights, expected)
    np.testing.assert_array_equal(grads, 1)


@pytest.mark.parametrize(("weight_decay", "expected"), [(0.5, [2, -1, 1]), (0, [1, 1, 1])])
def test_l2_decay_adds_the_gradient_of_the_squares(weight_decay: float, expected: list[float]) -> None:
    weights, grads = np.array([2, -4, 0], np.float32), np.ones(3, np.float32)
    add_l2_gradient(weights, grads, weight_decay, lr=0.5)
    np.testing.assert_array_equal(weights, [2, -4, 0])
    np.testing.assert_array_equal(grads, expected)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd"])  # whose first step is the same
def test_adamw_and_soap_shrink_matrices_independently_of_the_gradient(name: str) -> None:
    params = np.ones(P)
    take_step(name, params, np.zeros(P), new_slots(name, np.float64), 0.1, 1, decay=0.5)
    moved = [0.95] * 6 + [1] * (P - 6)
    assert np.allclose(params, moved, atol=1e-9) == (name in ("adamw", "soap"))
    np.testing.assert_array_equal(params[6:], 1)


# ---- SOAP ----

MATRICES: Shapes = {"embed.W": (4, 3), "layers.0.W_xh": (6, 3), "layers.0.W_hh": (6, 5), "head.b_y": (7,)}


def naive_soap(W: Array, grads: Sequence[Array], lr: float) -> Array:
    """Return a matrix after steps of one-sided SOAP on all its columns, written with whole matrices."""
    D = W.shape[1]
    m, v, R, Q = np.zeros_like(W), np.zeros_like(W), np.zeros((D, D)), np.eye(D)
    for t, G in enumerate(grads, 1):
        if t == 1 or t % 10 == 0 or (t < 20 and t % 2 == 0):
            R = 0.9 * R + 0.1 * G.T @ G
            new = np.linalg.eigh(R)[1] if t <= 20 else np.linalg.qr(R @ Q)[0]
            m, Q = m @ Q.T @ new, new
        rotated = G @ Q
        m, v = 0.9 * m + 0.1 * rotated, 0.97 * v + 0.03 * rotated**2
        W = W - 1.75 * lr * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.97**t)) + 1e-8)) @ Q.T
    return W


@pytest.mark.parametrize(("widest", "rows"), [(256, 256), (3, 256), (256, 4), (2, 1)])
def test_soap_equals_its_naive_version(widest: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "WIDEST", widest)
    monkeypatch.setattr(optim, "ROWS", rows)
    rng, size, steps = np.random.default_rng(3), size_of(MATRICES), 33
    params, grads = rng.normal(size=size), rng.normal(size=(steps, size)) * rng.uniform(0.1, 10, size)
    slots = new_slots("soap", np.float64, MATRICES)
    expected = {name: array.copy() for name, array in views(params, MATRICES).items()}
    for t in range(1, steps + 1):
        OPTIMIZERS["soap"].step(params, grads[t - 1].copy(), slots, MATRICES, 0.01, 0, t, in_turn)
    for name, (matrix, columns) in rotations(MATRICES).items():
        parts = [views(g, MATRICES)[matrix][:, columns] for g in grads]
        expected[matrix][:, columns] = naive_soap(expected[matrix][:, columns], parts, 0.01)
        assert basis_shapes(MATRICES)[name] == (columns.stop - columns.start,) * 2
    biases = np.array([views(g, MATRICES)["head.b_y"] for g in grads])
    for at, past in enumerate(biases.T.tolist()):
        expected["head.b_y"][at] -= sum(adam_step(past[:t], 0.01, 0.97) for t in range(1, steps + 1))
    for name, array in views(params, MATRICES).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_soap_rotates_all_matrices_in_parts_of_at_most_128_columns() -> None:
    found = rotations({"embed.W": (9, 9), "a.W_hh": (2, 128), "W": (3, 300), "b": (4,)})
    assert [*found] == ["embed.W.0", "a.W_hh.0", "W.0", "W.100", "W.200"]
    assert [(name, columns.start, columns.stop) for name, columns in found.values()][2:] == [
        ("W", 0, 100),
        ("W", 100, 200),
        ("W", 200, 300),
    ]


def test_the_jobs_of_soap_may_run_in_any_order() -> None:
    rng, size = np.random.default_rng(4), size_of(MATRICES)
    start, gradient = rng.normal(size=size), rng.normal(size=size)
    runs = []
    for order in (1, -1):
        params, slots = start.copy(), new_slots("soap", np.float64, MATRICES)
        for t in range(1, 5):
            run = lambda jobs, order=order: in_turn(jobs[::order])  # noqa: E731
            OPTIMIZERS["soap"].step(params, gradient * t, slots, MATRICES, 0.01, 0.1, t, run)
        runs.append((params, slots))
    np.testing.assert_equal(runs[0], runs[1])


# ---- learning-rate schedules ----


def rates(steps: int, warmup: int, lr: float = 0.5) -> list[float]:
    config = TrainConfig(steps, f"{steps} steps", lr=lr, warmup=warmup)
    return [lr_at(step, config) for step in range(steps)]


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 1 / 11),  # not 0, so that the first step is not lost
        (9, 10 / 11),
        (10, 1),
        (40, FINAL + (1 - FINAL) * 0.75),  # a third of the way down: cos(π/3) = 1/2
        (55, FINAL + (1 - FINAL) * 0.5),
        (99, FINAL + (1 - FINAL) * math.sin(math.pi / 180) ** 2),  # the last step
    ],
)
def test_the_rate_warms_up_and_falls_along_a_cosine(step: int, share: float) -> None:
    assert rates(100, 10)[step] == pytest.approx(0.5 * share, rel=1e-12)


@pytest.mark.parametrize(("name", "shares"), [("constant", [1, 1, 1]), ("linear", [1, 0.755, 0.51])])
def test_other_schedules_are_constant_or_linear(name: str, shares: list[float]) -> None:
    config = TrainConfig(110, "110 steps", lr=0.5, warmup=10, schedule=name)
    assert [lr_at(step, config) for step in (10, 35, 60)] == pytest.approx([0.5 * share for share in shares], rel=1e-12)
    assert lr_at(0, config) == pytest.approx(0.5 / 11)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_the_peak_and_never_rises(name: str) -> None:
    values = [SCHEDULES[name](progress) for progress in np.linspace(0, 1, 50)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1 if name == "constant" else FINAL)


@settings(deadline=None, max_examples=50, derandomize=True)
@example(1, 0)
@example(1, 9)
@example(2, 9)
@given(st.integers(1, 90), st.integers(0, 200))
def test_the_rate_rises_to_its_peak_within_the_first_half_and_then_falls(steps: int, warmup: int) -> None:
    curve = rates(steps, warmup)
    peak = min(warmup, steps // 2)
    assert curve[peak] == 0.5
    assert curve[: peak + 1] == sorted(set(curve[: peak + 1]))
    assert curve[peak:] == sorted(set(curve[peak:]), reverse=True)
    assert min(curve[peak:]) > 0.5 * FINAL


def test_the_rate_depends_on_the_step_only() -> None:
    config = TrainConfig(30, "30 steps", warmup=7)
    steps = [29, 3, 3, 0, 17]
    assert [lr_at(step, config) for step in steps] == [rates(30, 7, config.lr)[step] for step in steps]
