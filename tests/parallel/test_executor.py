"""A step with the streams divided into parts against the same step as a whole."""

import sys
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.checkpoint.format import to_bytes
from charrnn.core.batches import Batches
from charrnn.core.cells import CELLS
from charrnn.core.config import Purpose
from charrnn.core.ops import draw_dropout
from charrnn.core.state import TrainState
from charrnn.core.train import StepReport, train, train_step
from charrnn.data.corpus import Corpus
from charrnn.parallel import cores, executor
from charrnn.parallel.executor import ParallelExecutor, stream_parts
from charrnn.parallel.processes import Process, Thread
from tests.helpers.files import cell_settings, copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import H, T

B = 7  # parts of 2, 2 and 3


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(random_text(600))


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cores, with parts of any size."""
    monkeypatch.setattr(cores, "limit", 3)
    monkeypatch.setattr(executor, "MIN_STREAMS", 1)


def steps(corpus: Corpus, model: dict[str, Any], parts: int, **noise: float) -> tuple[TrainState, list[StepReport]]:
    """Return a run after three steps with the streams in `parts` parts, and the reports."""
    state = tiny_run(corpus, model, batch_size=B, seq_len=T, lr=0.05, **noise)
    batches = Batches(corpus.ids, B, T, 0)
    with closing(ParallelExecutor(state)) as work:
        assert len(work.gradients_of_parts) == parts
        return state, [train_step(state, batches, work) for _ in range(3)]


@pytest.mark.parametrize("more", [{}, {"num_layers": 2, "line_end": 0}, {"ensemble": 2}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_in_parts_equals_the_whole_step(
    cell: str, more: dict[str, Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {**cell_settings(cell), **more}
    monkeypatch.setattr(cores, "limit", 1)
    whole, at_once = steps(corpus, model, 1)
    monkeypatch.setattr(cores, "limit", 6 if "ensemble" in more else 3)
    monkeypatch.setattr(executor, "MIN_STREAMS", 1)
    parted, in_parts = steps(corpus, model, 3)
    for one, other in zip(at_once, in_parts, strict=True):
        assert_allclose(vars(other)["loss"], one.loss, rtol=1e-6)
        assert_allclose(other.grad_norm, one.grad_norm, rtol=1e-5)
        assert (other.step, other.chars, other.lr) == (one.step, one.chars, one.lr)
    assert_allclose(parted.model.vector, whole.model.vector, atol=2e-4)
    for layer, same in zip(parted.carried, whole.carried, strict=True):
        assert_allclose(layer, same, atol=2e-4)
        assert all(part.shape == (H, B) for part in layer)


@pytest.mark.usefixtures("three")
def test_a_run_in_parts_resumes_to_the_same_bytes(corpus: Corpus) -> None:
    model, noise = {"cell": "gru", "num_layers": 2}, {"dropout": 0.3}
    state = tiny_run(corpus, model, batch_size=B, val_fraction=0.3, **noise)
    copies = [copy_of(state) for _ in train(state, corpus.ids, ParallelExecutor)]
    for stopped in copies:
        for _ in train(stopped, corpus.ids, ParallelExecutor):
            pass
        assert to_bytes(stopped) == to_bytes(state)


@pytest.mark.parametrize(
    ("model", "noise"),
    [({}, {"dropout": 0.4}), ({"zoneout": 0.3, "cell": "lstm"}, {}), ({"ensemble": 2}, {"variational_dropout": 0.3})],
    ids=str,
)
def test_a_step_with_noise_is_the_same_in_any_number_of_parts(
    model: dict[str, Any], noise: dict[str, float], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", 1)
    whole, at_once = steps(corpus, model, 1, **noise)
    monkeypatch.setattr(cores, "limit", 3 * model.get("ensemble", 1))
    monkeypatch.setattr(executor, "MIN_STREAMS", 1)
    parted, in_parts = steps(corpus, model, 3, **noise)
    for one, other in zip(at_once, in_parts, strict=True):
        assert_allclose(other.loss, one.loss, rtol=1e-6)
        assert_allclose(other.grad_norm, one.grad_norm, rtol=1e-5)
    for name, slot in whole.slots.items():
        assert_allclose(parted.slots[name], slot, atol=1e-6 * float(np.abs(slot).max()), err_msg=name)


def test_the_masks_of_a_part_are_columns_of_the_masks_of_the_batch(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", 3)
    monkeypatch.setattr(executor, "MIN_STREAMS", 1)
    monkeypatch.setattr(executor, "core_count", lambda: 1 if sys._getframe(1).f_code.co_name == "__init__" else 3)
    state = tiny_run(corpus, batch_size=B, dropout=0.4, seed=3)
    with closing(ParallelExecutor(state)) as work:
        assert not work.workers
        train_step(state, Batches(corpus.ids, B, T, 0), work)
    mask = np.empty((T, H, B), np.float32)
    draw_dropout(np.random.default_rng([3, 0, Purpose.DROPOUT, 0, 0]), 0.4, mask)
    for _, _, workspace in work.passes:
        np.testing.assert_array_equal(workspace.cache["layers.0.mask"], mask[..., workspace.part[0]])
    assert [workspace.part[0] for _, _, workspace in work.passes] == [slice(0, 2), slice(2, 4), slice(4, 7)]


@pytest.mark.parametrize("worker", [Thread, Process] if sys.platform == "linux" else [Thread])
@pytest.mark.usefixtures("three")
def test_threads_and_processes_give_the_same_bytes(
    worker: Any, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = steps(corpus, {"cell": "lstm"}, 3)
    monkeypatch.setattr(executor, "start_worker", worker)
    other, _ = steps(corpus, {"cell": "lstm"}, 3)
    assert to_bytes(other) == to_bytes(state)


@pytest.mark.parametrize(
    ("limit", "networks", "streams", "parts"),
    [(1, 1, 64, 1), (2, 1, 64, 2), (2, 1, 31, 1), (2, 1, 32, 2), (4, 2, 64, 2), (2, 3, 64, 1), (9, 1, 64, 4)],
)
def test_networks_and_parts_of_the_streams_share_the_cores(
    limit: int, networks: int, streams: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", limit)
    assert stream_parts(networks, streams) == parts
