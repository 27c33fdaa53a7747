import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from charrnn.core import optim
from charrnn.core.config import TrainConfig
from charrnn.core.ops import Array
from charrnn.core.optim import (
    FINAL,
    OPTIMIZERS,
    SCHEDULES,
    Slots,
    add_l2_gradient,
    clip_by_global_norm,
    lr_at,
    shrink_weights,
    update,
)

P, STEPS = 11, 7


def adam_step(grads: list[float], lr: float) -> float:
    """Return a step of Adam computed from sums instead of running averages: m_t = (1-β1) Σ_s β1^(t-s) g_s."""
    t = len(grads)
    m = sum(0.1 * 0.9 ** (t - s) * g for s, g in enumerate(grads, 1)) / (1 - 0.9**t)
    v = sum(0.01 * 0.99 ** (t - s) * g * g for s, g in enumerate(grads, 1)) / (1 - 0.99**t)
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


def test_every_optimizer_has_a_formula() -> None:
    assert STEP_OF.keys() == OPTIMIZERS.keys()


def new_slots(name: str, dtype: DTypeLike) -> Slots:
    return {slot: np.zeros(P, dtype) for slot in OPTIMIZERS[name].slots}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_follows_its_formula(name: str, dtype: DTypeLike, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    params = rng.normal(size=P).astype(dtype)
    grads = (rng.normal(size=(STEPS, P)) * 10.0 ** rng.integers(-6, 3, P)).astype(dtype)
    rates = rng.uniform(1e-3, 1e-1, STEPS)
    slots, expected = new_slots(name, dtype), params.astype(np.float64)
    for t in range(1, STEPS + 1):
        OPTIMIZERS[name].update(params, grads[t - 1].copy(), slots, float(rates[t - 1]), t)
        expected -= [STEP_OF[name](grads[:t, p].astype(float).tolist(), rates[t - 1]) for p in range(P)]
        np.testing.assert_allclose(params, expected, rtol=tolerance, atol=tolerance)
    assert {array.dtype for array in (params, *slots.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_in_blocks_equals_one_of_the_whole_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    whole = rng.normal(size=P)
    parts, slots, slots_of_parts = whole.copy(), new_slots(name, np.float64), new_slots(name, np.float64)
    monkeypatch.setattr(optim, "BLOCK", 4)
    for t in range(1, STEPS + 1):
        grads = rng.normal(size=P)
        OPTIMIZERS[name].update(whole, grads.copy(), slots, 0.1, t)
        update(OPTIMIZERS[name], parts, grads.copy(), slots_of_parts, 0.1, t)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_equal(slots_of_parts, slots)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_contain_no_subnormal_numbers(name: str) -> None:
    params, slots = np.zeros(P, np.float32), new_slots(name, np.float32)
    tiny = np.finfo(np.float32).tiny
    grads = (10.0 ** -np.arange(0, 4 * P, 4)).astype(np.float32)  # 1, 1e-4 … 1e-40
    for t in range(1, 1000):
        OPTIMIZERS[name].update(params, grads if t == 1 else np.zeros_like(grads), slots, 1e-3, t)
        for slot in slots.values():
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


def test_only_adamw_has_decoupled_decay() -> None:
    assert [name for name, optimizer in OPTIMIZERS.items() if optimizer.decay is shrink_weights] == ["adamw"]


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
