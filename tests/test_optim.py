import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from charrnn.config import OPTIMIZER_NAMES
from charrnn.ops import Array
from charrnn.optim import OPTIMIZERS, Slots, add_l2_gradient, clip_by_global_norm, shrink_weights

P, STEPS = 11, 7


def adam_step(grads: list[float], lr: float) -> float:
    """Sums instead of running averages: m_t = (1-β1) Σ_s β1^(t-s) g_s, so this shares no line with the recursion."""
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


STEP_OF: dict[str, Callable[[list[float], float], float]] = {  # one parameter's gradients so far, lr -> its step
    "sgd": sgd_step,
    "adagrad": adagrad_step,
    "rmsprop": rmsprop_step,
    "adam": adam_step,
    "adamw": adam_step,
}


def test_every_optimizer_has_a_formula_and_a_name_on_the_command_line() -> None:
    assert STEP_OF.keys() == OPTIMIZERS.keys() == set(OPTIMIZER_NAMES)


def fresh_slots(name: str, dtype: DTypeLike) -> Slots:
    return {slot: np.zeros(P, dtype) for slot in OPTIMIZERS[name].slots}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_follows_its_formula(name: str, dtype: DTypeLike, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    params = rng.normal(size=P).astype(dtype)
    grads = (rng.normal(size=(STEPS, P)) * 10.0 ** rng.integers(-6, 3, P)).astype(dtype)
    rates = rng.uniform(1e-3, 1e-1, STEPS)
    slots, expected = fresh_slots(name, dtype), params.astype(np.float64)
    for t in range(1, STEPS + 1):
        OPTIMIZERS[name].update(params, grads[t - 1].copy(), slots, float(rates[t - 1]), t)
        expected -= [STEP_OF[name](grads[:t, p].astype(float).tolist(), rates[t - 1]) for p in range(P)]
        np.testing.assert_allclose(params, expected, rtol=tolerance, atol=tolerance)
    assert {array.dtype for array in (params, *slots.values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_subnormal_number_stays_in_a_slot(name: str) -> None:
    params, slots = np.zeros(P, np.float32), fresh_slots(name, np.float32)
    tiny = np.finfo(np.float32).tiny
    grads = (10.0 ** -np.arange(0, 4 * P, 4)).astype(np.float32)  # 1, 1e-4 … 1e-40
    for t in range(1, 1000):
        OPTIMIZERS[name].update(params, grads if t == 1 else np.zeros_like(grads), slots, 1e-3, t)
        for slot in slots.values():
            assert not np.any((slot != 0) & (np.abs(slot) < tiny))
    assert np.isfinite(params).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_shortens_a_long_gradient_and_keeps_its_direction(dtype: DTypeLike) -> None:
    grads = np.array([3, -4, 12], dtype)
    assert clip_by_global_norm(grads, 2.6) == 13
    np.testing.assert_allclose(grads, [0.6, -0.8, 2.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("grads", "norm"),
    [([3, -4, 12], 13), ([0, 0], 0), ([math.nan, 30], math.nan), ([math.inf, 30], math.inf), ([-math.inf], math.inf)],
)
def test_clipping_leaves_short_and_broken_gradients_alone(grads: list[float], norm: float) -> None:
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
def test_the_other_decay_is_the_gradient_of_the_squares(weight_decay: float, expected: list[float]) -> None:
    weights, grads = np.array([2, -4, 0], np.float32), np.ones(3, np.float32)
    add_l2_gradient(weights, grads, weight_decay, lr=0.5)
    np.testing.assert_array_equal(weights, [2, -4, 0])
    np.testing.assert_array_equal(grads, expected)


def test_adamw_alone_decays_apart_from_the_gradient() -> None:
    assert [name for name, optimizer in OPTIMIZERS.items() if optimizer.decay is shrink_weights] == ["adamw"]
