import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.core.batches import Batches, split
from charrnn.core.errors import TextError

few = settings(deadline=None, max_examples=50, derandomize=True)


@pytest.mark.parametrize(
    ("chars", "fraction", "sizes"),
    [(1_115_394, 0.1, (1_003_854, 111_540)), (20, 0.25, (15, 5)), (3, 0, (3, 0)), (1, 0, (1, 0)), (3, 0.6, (1, 2))],
)
def test_the_end_of_a_text_is_held_out(chars: int, fraction: float, sizes: tuple[int, int]) -> None:
    ids = np.arange(chars)
    to_train, held_out = split(ids, fraction)
    assert (len(to_train), len(held_out)) == sizes
    np.testing.assert_array_equal(np.concatenate([to_train, held_out]), ids)


@pytest.mark.parametrize(("chars", "fraction"), [(1, 0.1), (3, 0.9), (10, 1e-20)])
def test_a_split_with_an_empty_part_is_refused(chars: int, fraction: float) -> None:
    with pytest.raises(TextError, match=f"^{chars} characters .*--val-fraction 0 "):
        split(np.arange(chars), fraction)


streams_and_steps = st.tuples(st.integers(1, 7), st.integers(1, 6))  # B, T
long_enough = streams_and_steps.flatmap(lambda BT: st.tuples(st.integers(BT[0] * BT[1], 90), st.just(BT)))
too_short = streams_and_steps.filter(lambda BT: BT != (1, 1)).flatmap(
    lambda BT: st.tuples(st.integers(1, BT[0] * BT[1] - 1), st.just(BT))
)


@few
@example((35, (7, 5)))
@example((41, (7, 5)))
@given(long_enough)
def test_each_character_is_predicted_once_per_epoch_and_streams_continue_with_the_next_part(
    size: tuple[int, tuple[int, int]],
) -> None:
    N, (B, T) = size
    batches = Batches(np.arange(1, N + 1, dtype=np.uint8), B, T, start_id=0)  # so that k - 1 precedes k
    steps = batches.steps_per_epoch
    windows = [batches.batch(step) for step in range(B * steps)]
    read: list[list[int]] = [[] for _ in range(B)]
    for step, (x, y) in enumerate(windows):
        last = (step + 1) % steps == 0
        assert x.shape == y.shape == (len(x), B)
        assert x.dtype == y.dtype == np.dtype(np.int64)
        assert len(x) == T or (last and len(x) < T)
        assert np.all((y >= 0)[: len(y) - last])  # only in an epoch's last step may a target be missing
        assert np.all((x == y - 1) | (y < 0))
        for stream, targets in zip(read, y.T.tolist(), strict=True):
            stream += [target for target in targets if target >= 0]
    for epoch in range(B):
        targets = np.concatenate([y.ravel() for _, y in windows[epoch * steps : (epoch + 1) * steps]])
        assert sorted(targets[targets >= 0]) == list(range(1, N + 1))
    for stream in read:  # contiguous, and after the last part the first one
        assert [i % N for i in stream] == [(stream[0] + i) % N for i in range(N)]


def test_a_batch_depends_only_on_the_step() -> None:
    ids = np.random.default_rng(2).integers(0, 9, 43)
    batches = Batches(ids, 4, 3, start_id=5)
    for step in (7, 0, 30, 7, 2):
        for again, fresh in zip(batches.batch(step), Batches(ids, 4, 3, start_id=5).batch(step), strict=True):
            np.testing.assert_array_equal(again, fresh)


@few
@given(too_short)
def test_a_text_too_short_for_its_windows_is_refused_with_sizes_that_work(size: tuple[int, tuple[int, int]]) -> None:
    N, (B, T) = size
    with pytest.raises(TextError, match=f"^{N} characters .* --batch-size {B} --seq-len {T}") as caught:
        Batches(np.arange(N), B, T, start_id=0)
    advice = re.search(r": --batch-size (\d+) --seq-len (\d+) would do$", str(caught.value))
    assert advice
    Batches(np.arange(N), int(advice[1]), int(advice[2]), start_id=0)
