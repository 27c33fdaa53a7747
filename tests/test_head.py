import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from charrnn import head
from charrnn.head import head_forward_backward, steps_at_once
from charrnn.ops import Array, Ids
from tests.helpers.gradcheck import check_gradients
from tests.helpers.models import B, H, T, V

COUNT = 4


def drawn(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def targets(T: int, V: int, B: int) -> Ids:
    return np.random.default_rng(T).integers(-1, V, (T, B))


def naive(W: Array, b: Array, h: Array, y: Ids) -> list[Array]:
    """Costs, dh, dW and db, one column after the other."""
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
def test_in_blocks_of_any_size_it_is_what_it_is_column_by_column(sizes: tuple[int, ...], block: int) -> None:
    T, B, H, V = sizes
    W, b, h, y = drawn(V, H), drawn(V), drawn(T, H, B), targets(T, V, B)
    dW, db = np.ones_like(W), np.ones_like(b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "BLOCK", block)
        nats, dh = head_forward_backward(W, b, h, y, COUNT, dW, db)
    for found, expected in zip([nats, dh, dW - 1, db - 1], naive(W, b, h, y), strict=True):
        assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, T])
def test_its_gradients_agree_with_finite_differences(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "BLOCK", steps * V * B)
    tensors, y = {"W": drawn(V, H), "b": drawn(V), "h": drawn(T, H, B)}, targets(T, V, B)
    grads = {name: np.zeros_like(tensors[name]) for name in ("W", "b")}

    def go(dW: Array, db: Array) -> tuple[Array, Array]:
        return head_forward_backward(tensors["W"], tensors["b"], tensors["h"], y, COUNT, dW, db)

    _, dh = go(grads["W"], grads["b"])
    scratch = np.zeros((V, H)), np.zeros(V)
    check_gradients(lambda: float(go(*scratch)[0].sum()) / COUNT, tensors, grads | {"h": dh})


@pytest.mark.parametrize(("T", "V", "B", "steps"), [(64, 65, 32, 64), (64, 10_000, 32, 13), (64, 10**6, 32, 1)])
def test_as_many_steps_go_together_as_a_block_holds(T: int, V: int, B: int, steps: int) -> None:
    assert steps_at_once(T, V, B) == steps


def test_memory_does_not_grow_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    V, B, H, steps = 2000, 5, 3, 4
    monkeypatch.setattr(head, "BLOCK", steps * V * B)
    W, b, peaks = np.ones((V, H), np.float32), np.zeros(V, np.float32), []
    for total in (2 * steps, 20 * steps):
        h, y = np.ones((total, H, B), np.float32), np.zeros((total, B), np.int64)
        dW, db = np.zeros_like(W), np.zeros_like(b)
        tracemalloc.start()
        head_forward_backward(W, b, h, y, y.size, dW, db)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + V * B * 4  # 72 steps more, and not the logits of one
