"""The head in training. tests/core/test_model.py tests the network as a whole."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from charrnn.core import network
from charrnn.core.network import head_loss, steps_per_block
from charrnn.core.ops import Array, Ids
from tests.helpers.gradcheck import check_gradients
from tests.helpers.models import B, H, T, V

COUNT = 4


def random_array(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def targets(T: int, V: int, B: int) -> Ids:
    return np.random.default_rng(T).integers(-1, V, (T, B))


def naive(W: Array, b: Array, h: Array, y: Ids) -> list[Array]:
    """Return losses, dh, dW and db, computed one column at a time."""
    nats, dh, dW, db = np.zeros(y.shape), np.zeros_like(h), np.zeros_like(W), np.zeros_like(b)
    for t, s in np.argwhere(y >= 0):
        p = np.exp(W @ h[t, :, s] + b)
        p /= p.sum()
        nats[t, s] = -np.log(p[y[t, s]])
        dlogits = (p - np.eye(len(W))[y[t, s]]) / COUNT
        dh[t, :, s] = W.T @ dlogits
        dW += np.outer(dlogits, h[t, :, s])
        db += dlogits
    return [nats, dh, dW, db]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.tuples(*[st.integers(1, 7)] * 4), st.integers(1, 200))
def test_blocks_of_any_size_equal_a_loop_over_columns(sizes: tuple[int, ...], logits: int) -> None:
    T, B, H, V = sizes
    W, b, h, y = random_array(V, H), random_array(V), random_array(T, H, B), targets(T, V, B)
    dW, db = np.ones_like(W), np.ones_like(b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "LOGITS", logits)
        nats, dh = head_loss(W, b, h, y, COUNT, dW, db)
    for found, expected in zip([nats, dh, dW - 1, db - 1], naive(W, b, h, y), strict=True):
        assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, T])
def test_the_gradients_of_the_head_agree_with_finite_differences(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LOGITS", steps * V * B)
    tensors, y = {"W": random_array(V, H), "b": random_array(V), "h": random_array(T, H, B)}, targets(T, V, B)
    grads = {name: np.zeros_like(tensors[name]) for name in ("W", "b")}

    def run(dW: Array, db: Array) -> tuple[Array, Array]:
        return head_loss(tensors["W"], tensors["b"], tensors["h"], y, COUNT, dW, db)

    _, dh = run(grads["W"], grads["b"])
    scratch = np.zeros((V, H)), np.zeros(V)
    check_gradients(lambda: float(run(*scratch)[0].sum()) / COUNT, tensors, grads | {"h": dh})


@pytest.mark.parametrize(("T", "V", "B", "steps"), [(64, 65, 32, 64), (64, 10_000, 32, 13), (64, 10**6, 32, 1)])
def test_a_block_has_as_many_steps_as_its_logits_allow(T: int, V: int, B: int, steps: int) -> None:
    assert steps_per_block(T, V, B) == steps


def test_memory_does_not_grow_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    V, B, H, steps = 2000, 5, 3, 4
    monkeypatch.setattr(network, "LOGITS", steps * V * B)
    W, b, peaks = np.ones((V, H), np.float32), np.zeros(V, np.float32), []
    for total in (2 * steps, 20 * steps):
        h, y = np.ones((total, H, B), np.float32), np.zeros((total, B), np.int64)
        dW, db = np.zeros_like(W), np.zeros_like(b)
        tracemalloc.start()
        head_loss(W, b, h, y, y.size, dW, db)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + V * B * 4  # 72 more steps, but less than the logits of one step
