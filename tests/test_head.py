import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from charrnn import head
from charrnn.head import head_forward_backward, head_steps
from charrnn.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward, linear_backward, linear_forward

few = settings(deadline=None, max_examples=50, derandomize=True)


def whole(W: Array, b: Array, h: Array, y: Ids, count: int) -> list[Array]:
    """The same for all steps at once: costs, dh, dW, db."""
    logits = linear_forward(W, b, h, np.empty((len(h), *W.shape[:1], h.shape[2])))
    nats, dW, db = cross_entropy_forward(logits, y), np.ones_like(W), np.ones_like(b)
    dh = linear_backward(cross_entropy_backward(logits, y, count), W, h, dW, db)
    return [nats, dh, dW, db]


@few
@given(st.tuples(*[st.integers(1, 7)] * 4), st.integers(1, 9), st.integers(0, 99))
def test_in_blocks_of_any_number_of_steps_it_is_what_it_is_whole(sizes: tuple[int, ...], k: int, seed: int) -> None:
    T, B, H, V = sizes
    rng = np.random.default_rng(seed)
    W, b, h = rng.standard_normal((V, H)), rng.standard_normal(V), rng.standard_normal((T, H, B))
    y, dW, db = rng.integers(-1, V, (T, B)), np.ones((V, H)), np.ones(V)
    nats, dh = head_forward_backward(W, b, h, y, T * B, dW, db, np.empty((k, V, B)))
    for found, expected in zip([nats, dh, dW, db], whole(W, b, h, y, T * B), strict=True):
        assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("T", "V", "B", "steps"), [(64, 65, 32, 64), (64, 10_000, 32, 13), (64, 10**6, 32, 1)])
def test_as_many_steps_go_together_as_a_block_holds(T: int, V: int, B: int, steps: int) -> None:
    assert head_steps(T, V, B) == steps


def test_memory_does_not_grow_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "BLOCK", 40_000)
    V, B, H = 2000, 5, 3
    W, b = np.ones((V, H), np.float32), np.zeros(V, np.float32)
    peaks = []
    for T in (8, 80):
        h, y, dW, db = np.ones((T, H, B), np.float32), np.zeros((T, B), np.int64), np.zeros_like(W), np.zeros_like(b)
        tracemalloc.start()
        head_forward_backward(W, b, h, y, T * B, dW, db, np.empty((head_steps(T, V, B), V, B), np.float32))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 72 * 4 * V * B / 10
