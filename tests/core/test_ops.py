import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from charrnn.core import ops
from charrnn.core.ops import (
    COLUMNS,
    SMALL,
    Array,
    bernoulli,
    block_size,
    columns,
    cross_entropy_backward,
    cross_entropy_forward,
    distinct_symbols,
    draw_dropout,
    dropout_backward,
    dropout_forward,
    embedding_backward,
    embedding_forward,
    has_small_kernels,
    linear_backward,
    linear_forward,
    product,
    row_blocks,
    squash,
    zoneout_backward,
    zoneout_forward,
)
from tests.helpers.gradcheck import check_gradients

T, B, D, E, V = 5, 3, 6, 4, 7
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, V - 1, (T, B))  # V - 1 does not occur, and 15 ids of 6 repeat
TARGETS = np.where(RNG.random((T, B)) < 0.3, -1, RNG.integers(0, V, (T, B)))
MASKS = np.array([0, 2.0])[RNG.integers(0, 2, (T, E, B))]
WEIGHTS = RNG.standard_normal((T, E, B))  # of the outputs in the loss: the incoming gradient

exact = settings(deadline=None, max_examples=50, derandomize=True)
Tensors = dict[str, Array]


class Pair(NamedTuple):
    """A forward/backward pair: the shapes of its tensors, a loss of its output, and its gradients.

    backward(tensors, grads) adds to the gradients of the parameters and returns those of the inputs by name.
    """

    shapes: dict[str, tuple[int, ...]]
    parameters: tuple[str, ...]
    loss: Callable[[Tensors], float]
    backward: Callable[[Tensors, Tensors], Tensors]


def linear_loss(a: Tensors) -> float:
    return float(np.vdot(WEIGHTS, linear_forward(a["W"], a["b"], a["x"], np.empty((T, E, B)))))


def linear_gradients(a: Tensors, grads: Tensors) -> Tensors:
    return {"x": linear_backward(WEIGHTS, a["W"], a["x"], grads["W"], grads["b"])}


def embedding_loss(a: Tensors) -> float:
    return float(np.vdot(WEIGHTS, embedding_forward(a["W"], IDS)))


def embedding_gradients(a: Tensors, grads: Tensors) -> Tensors:
    embedding_backward(WEIGHTS, IDS, grads["W"])
    return {}


def dropout_loss(a: Tensors) -> float:
    return float(np.vdot(WEIGHTS, dropout_forward(a["x"], MASKS, np.empty((T, E, B)))))


def dropout_gradients(a: Tensors, grads: Tensors) -> Tensors:
    return {"x": dropout_backward(WEIGHTS.copy(), MASKS)}


def cross_entropy_loss(a: Tensors) -> float:
    return float(cross_entropy_forward(a["logits"].copy(), TARGETS).sum()) / 4


def cross_entropy_gradients(a: Tensors, grads: Tensors) -> Tensors:
    probs = a["logits"].copy()
    cross_entropy_forward(probs, TARGETS)
    return {"logits": cross_entropy_backward(probs, TARGETS, 4)}


PAIRS = {
    "linear": Pair({"W": (E, D), "b": (E,), "x": (T, D, B)}, ("W", "b"), linear_loss, linear_gradients),
    "embedding": Pair({"W": (V, E)}, ("W",), embedding_loss, embedding_gradients),
    "dropout": Pair({"x": (T, E, B)}, (), dropout_loss, dropout_gradients),
    "cross_entropy": Pair({"logits": (T, V, B)}, (), cross_entropy_loss, cross_entropy_gradients),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_gradients_agree_with_finite_differences_and_are_added(pair: Pair) -> None:
    rng = np.random.default_rng(1)
    tensors: Tensors = {name: rng.standard_normal(shape) for name, shape in pair.shapes.items()}
    initial = {name: rng.standard_normal(tensors[name].shape) for name in pair.parameters}
    grads: Tensors = {name: array.copy() for name, array in initial.items()}
    inputs = pair.backward(tensors, grads)
    check_gradients(lambda: pair.loss(tensors), tensors, {n: grads[n] - initial[n] for n in initial} | inputs)


def test_linear_is_a_product_and_a_sum_per_column() -> None:
    W, b, x = RNG.standard_normal((E, D)), RNG.standard_normal(E), RNG.standard_normal((T, D, B))
    out = np.empty((T, E, B))
    assert linear_forward(W, b, x, out) is out
    for t, s in np.ndindex(T, B):
        assert_allclose(out[t, :, s], W @ x[t, :, s] + b, rtol=1e-14)


def test_columns_are_ordered_by_step_then_by_stream() -> None:
    x = RNG.standard_normal((T, D, B))
    for t, s in np.ndindex(T, B):
        assert np.array_equal(columns(x)[:, t * B + s], x[t, :, s])


def test_an_embedding_is_the_row_of_each_id() -> None:
    W = RNG.standard_normal((V, E))
    out = embedding_forward(W, IDS)
    assert out.flags.c_contiguous
    for t, s in np.ndindex(T, B):
        assert np.array_equal(out[t, :, s], W[IDS[t, s]])


@exact
@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 12), st.integers(0, 99))
def test_distinct_symbols_has_each_symbol_of_a_window_once(T: int, B: int, V: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, V, (T, B))
    symbols, places = distinct_symbols(x)
    count = len(set(x.flat))
    assert symbols.shape == (-(-count // B), B)
    assert symbols.flat[:count].tolist() == sorted(set(x.flat))
    assert not symbols.flat[count:].any()
    np.testing.assert_array_equal(symbols.reshape(-1)[places].reshape(T, B), x)


@exact
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 12), st.integers(0, 99))
def test_every_column_of_an_embedding_gradient_is_added_to_its_row(T: int, B: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy, dW = rng.integers(0, V, (T, B)), rng.standard_normal((T, E, B)), rng.standard_normal((V, E))
    expected = dW.copy()
    for t, s in np.ndindex(T, B):
        expected[x[t, s]] += dy[t, :, s]
    embedding_backward(dy, x, dW)
    assert_allclose(dW, expected, rtol=0, atol=1e-13)


def test_an_embedding_gradient_is_summed_over_all_blocks_of_columns() -> None:
    x = np.arange(2 * COLUMNS + 3).reshape(-1, 1) % V
    dW = np.zeros((V, E))
    embedding_backward(np.ones((len(x), E, 1)), x, dW)
    assert np.array_equal(dW, np.repeat(np.bincount(x[:, 0])[:, None], E, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_drops_at_the_rate_and_keeps_the_mean(rate: float, dtype: type[np.floating]) -> None:
    mask, drawn = np.empty((100, 100, 10), dtype), np.empty((100, 100, 10), dtype)
    draw_dropout(np.random.default_rng(0), rate, mask)
    p = bernoulli(np.random.default_rng(0), 1 - rate, drawn)
    assert abs(p - (1 - rate)) <= 0.5 / 65536
    assert set(np.unique(mask)) == {0, dtype(1 / p)}
    assert set(np.unique(drawn)) == {0, 1}
    assert np.array_equal(mask > 0, drawn > 0)
    assert abs(float(np.mean(drawn)) - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / mask.size)
    assert abs(float(np.mean(mask)) - 1) < 5 * math.sqrt(rate / (1 - rate) / mask.size)


@exact
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=9), st.floats(-1e6, 1e6), st.data())
def test_cross_entropy_is_the_log_of_the_softmax_and_invariant_to_shifts(
    z: list[float], shift: float, data: st.DataObject
) -> None:
    y = data.draw(st.integers(0, len(z) - 1))
    p = [math.exp(v) / math.fsum(map(math.exp, z)) for v in z]
    logits = (np.array(z) + shift).reshape(1, -1, 1)
    nats = cross_entropy_forward(logits, np.array([[y]]))
    assert_allclose(nats, [[-math.log(p[y])]], rtol=1e-9, atol=1e-9)
    assert_allclose(logits[0, :, 0], p, rtol=1e-8, atol=1e-300)
    logit_gradient = cross_entropy_backward(logits, np.array([[y]]), 1)[0, :, 0]
    assert_allclose(logit_gradient, np.array(p) - np.eye(len(z))[y], rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_very_large_logits_give_a_finite_loss(dtype: type[np.floating]) -> None:
    logits = np.array([1e30, -1e30, 0], dtype).reshape(1, 3, 1).repeat(2, axis=0)
    nats = cross_entropy_forward(logits, np.array([[0], [2]]))
    assert_allclose(nats, [[0.0], [1e30]])
    assert_allclose(logits[:, :, 0], np.eye(3)[[0, 0]])


def test_a_position_without_a_target_has_no_loss_and_no_gradient() -> None:
    logits = RNG.standard_normal((T, V, B))
    probs, full = logits.copy(), logits.copy()
    nats = cross_entropy_forward(probs, TARGETS)
    without = TARGETS < 0
    assert without.any()
    assert np.all(nats[without] == 0)
    assert np.array_equal(nats[~without], cross_entropy_forward(full, np.maximum(TARGETS, 0))[~without])
    assert_allclose(probs.sum(axis=1), 1, rtol=1e-14)
    by_position = cross_entropy_backward(probs, TARGETS, 4).transpose(0, 2, 1)  # (T, B, V)
    assert np.all(by_position[without] == 0)
    assert np.all(by_position[~without] != 0)


def test_the_gradient_of_the_mean_is_divided_by_count_and_sums_to_zero() -> None:
    probs = RNG.dirichlet(np.ones(V), (T, B)).transpose(0, 2, 1).copy()
    mean = cross_entropy_backward(probs.copy(), TARGETS, 11)
    assert_allclose(mean * 11, cross_entropy_backward(probs.copy(), TARGETS, 1), rtol=1e-14)
    assert_allclose(mean.sum(axis=1), 0, atol=1e-15)


def test_squash_is_the_sigmoid_of_the_first_rows_and_tanh_of_the_others() -> None:
    a = np.array([[-800, -2, 0, 0.5, 800]]).repeat(3, axis=0)
    expected = np.concatenate([1 / (1 + np.exp(-np.clip(a[:2], -700, 700))), np.tanh(a[2:])])
    squash(a, 2)
    assert_allclose(a, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("p", [0.3, None], ids=["expectation", "drawn"])
def test_zoneout_mixes_each_part_of_the_state_and_splits_its_gradient(p: float | None) -> None:
    before, made, dafter = (tuple(RNG.standard_normal((2, E, B))) for _ in range(3))
    keep = np.full((2, E, B), p) if p else RNG.integers(0, 2, (2, E, B)).astype(float)
    after, through = (tuple(part.copy() for part in parts) for parts in (made, dafter))
    zoneout_forward([*keep], before, after)
    assert_allclose(after, keep * before + (1 - keep) * made, rtol=0, atol=1e-14)
    passed_by = zoneout_backward(keep, through)
    assert_allclose(passed_by, keep * dafter, rtol=0, atol=1e-14)
    assert_allclose(through, (1 - keep) * dafter, rtol=0, atol=1e-14)


def test_zoneout_takes_one_probability_per_part_of_the_state() -> None:
    before, made = (tuple(RNG.standard_normal((2, E, B))) for _ in range(2))
    after = tuple(part.copy() for part in made)
    zoneout_forward([0.25, 0.5], before, after)
    assert_allclose(after[0], 0.25 * before[0] + 0.75 * made[0], rtol=0, atol=1e-14)
    assert_allclose(after[1], 0.5 * before[1] + 0.5 * made[1], rtol=0, atol=1e-14)


def test_float32_stays_float32() -> None:
    W, b, x = np.ones((E, D), np.float32), np.ones(E, np.float32), np.ones((T, D, B), np.float32)
    y = linear_forward(W, b, x, np.empty((T, E, B), np.float32))
    logits = np.ones((T, V, B), np.float32)
    assert linear_backward(y, W, x, np.zeros_like(W), np.zeros_like(b)).dtype == np.float32
    assert cross_entropy_forward(logits, TARGETS).dtype == np.float32
    assert cross_entropy_backward(logits, TARGETS, 4).dtype == np.float32


# ---- products in blocks of rows ----


@pytest.mark.parametrize(
    ("shape", "B", "rows"),
    [
        ((768, 256), 16, 192),  # multiples of twelve first
        ((1536, 512), 32, 48),
        ((512, 128), 25, 256),
        ((512, 2048), 64, 4),
        ((1024, 1024), 8, 1024),  # blocks of fewer than 96 rows of eight columns are slower than the whole product
        ((384, 128), 16, 384),  # small as it is
        ((2048, 512), 128, 2048),  # with more than 64 columns the whole product is as fast as the machine
        ((769, 256), 16, 769),  # has no divisor
    ],
)
@pytest.mark.usefixtures("small_kernels")
def test_blocks_are_small_enough_and_not_too_small(shape: tuple[int, int], B: int, rows: int) -> None:
    assert block_size(*shape, B) == rows
    assert rows == shape[0] or rows * shape[1] * B <= SMALL


@pytest.mark.usefixtures("small_kernels")
def test_a_product_in_blocks_is_the_product() -> None:
    W, x = RNG.standard_normal((512, 96)), RNG.standard_normal((3, 96, 40))
    blocks, out = row_blocks(W, 40), np.empty((3, 512, 40))
    assert blocks.shape == (2, 256, 96)
    assert np.shares_memory(blocks, W)
    assert product(blocks, x, out) is out
    assert_allclose(out, [W @ x[t] for t in range(3)], rtol=1e-12, atol=1e-12)
    one = np.empty((512, 40))
    assert_allclose(product(blocks, x[1], one), W @ x[1], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("small_kernels")
def test_a_linear_layer_in_blocks_has_the_same_outputs_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    W, b, x = RNG.standard_normal((480, 360)), RNG.standard_normal(480), RNG.standard_normal((2, 360, 24))
    dy, results = RNG.standard_normal((2, 480, 24)), []
    assert len(row_blocks(W, 24)) > 1
    assert len(row_blocks(W.T.copy(), 24)) > 1
    for blocks in (True, False):
        monkeypatch.setattr(ops, "ROW_BLOCKS", blocks)
        block_size.cache_clear()
        dW, db = np.zeros_like(W), np.zeros_like(b)
        results.append((linear_forward(W, b, x, np.empty_like(dy)), linear_backward(dy, W, x, dW, db), dW, db))
    for one, other in zip(*results, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_without_small_kernels_no_product_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "ROW_BLOCKS", False)
    block_size.cache_clear()
    assert block_size(768, 256, 16) == 768
    block_size.cache_clear()


@pytest.mark.parametrize(
    ("library", "found", "kernel", "expected"),
    [
        ("scipy-openblas", ["X86_V3", "X86_V4"], None, True),
        ("scipy-openblas", ["AVX2", "AVX512_SKX"], "SkylakeX", True),  # as numpy 2.0 names them
        ("openblas64", ["X86_V4"], "Haswell", False),
        ("scipy-openblas", ["X86_V3"], None, False),
        ("accelerate", ["ASIMD"], None, False),
        ("scipy-openblas", None, None, False),  # NumPy leaves out an empty list
    ],
)
def test_small_kernels_are_openblas_with_avx_512(
    library: str, found: list[str] | None, kernel: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: dict[str, Any] = {"Build Dependencies": {"blas": {"name": library}}, "SIMD Extensions": {"found": found}}
    if found is None:
        del config["SIMD Extensions"]["found"]
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if kernel:
        monkeypatch.setenv("OPENBLAS_CORETYPE", kernel)
    assert has_small_kernels() is expected


def test_columns_of_any_view_are_laid_side_by_side() -> None:
    x = RNG.standard_normal((3, 4, 10))
    for part in (x, x[:, :, 2:7], x[:, 1:, ::2], x[::2], x[:, :, :1], x.transpose(1, 0, 2)):
        expected = np.concatenate([*part], axis=1)
        np.testing.assert_array_equal(columns(part), expected)
        np.testing.assert_array_equal(columns(part.astype(np.float32)), expected.astype(np.float32))
