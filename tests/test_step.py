"""A step whose streams are read in parts is the step that reads them at once."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn import step, threads
from charrnn.cells import CELLS
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.config import Stream
from charrnn.corpus import Corpus, Streams
from charrnn.ops import draw_dropout
from charrnn.step import StepReport, shares, train_step, workspace
from charrnn.train import train
from tests.helpers.files import cell_settings, copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import H, T, tiny_model

STREAMS = 7  # parts of 2, 2 and 3


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(random_text(600))


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cores, and no part too small for one."""
    monkeypatch.setattr(threads, "limit", 3)
    monkeypatch.setattr(step, "STREAMS", 1)


def steps(corpus: Corpus, model: dict[str, Any], parts: int) -> tuple[Checkpoint, list[StepReport]]:
    """Take three steps in so many parts."""
    checkpoint = tiny_run(corpus, model, batch_size=STREAMS, seq_len=T, lr=0.05)
    streams, work = Streams(corpus.ids, STREAMS, T, 0), workspace(checkpoint.model, checkpoint.train)
    assert len(work) == parts
    return checkpoint, [train_step(checkpoint, streams, work) for _ in range(3)]


@pytest.mark.parametrize("more", [{}, {"num_layers": 2, "line_end": 0}, {"ensemble": 2}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_the_streams_in_parts_and_at_once_take_the_same_step(
    cell: str, more: dict[str, Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {**cell_settings(cell), **more}
    monkeypatch.setattr(threads, "limit", 1)
    whole, at_once = steps(corpus, model, 1)
    monkeypatch.setattr(threads, "limit", 6 if "ensemble" in more else 3)
    monkeypatch.setattr(step, "STREAMS", 1)
    parted, in_parts = steps(corpus, model, 3)
    for one, other in zip(at_once, in_parts, strict=True):
        assert_allclose(vars(other)["loss"], one.loss, rtol=1e-6)
        assert_allclose(other.grad_norm, one.grad_norm, rtol=1e-5)
        assert (other.step, other.chars, other.lr) == (one.step, one.chars, one.lr)
    assert_allclose(parted.model.vector, whole.model.vector, atol=2e-4)
    for layer, same in zip(parted.state, whole.state, strict=True):
        assert_allclose(layer, same, atol=2e-4)
        assert all(part.shape == (H, STREAMS) for part in layer)


@pytest.mark.usefixtures("three")
def test_a_run_in_parts_goes_on_to_the_byte(corpus: Corpus) -> None:
    model, noise = {"cell": "gru", "num_layers": 2}, {"dropout": 0.3}
    checkpoint = tiny_run(corpus, model, batch_size=STREAMS, val_fraction=0.3, **noise)
    copies = [copy_of(checkpoint) for _ in train(checkpoint, corpus.ids)]
    for stopped in copies:
        for _ in train(stopped, corpus.ids):
            pass
        assert to_bytes(stopped) == to_bytes(checkpoint)


@pytest.mark.usefixtures("three")
def test_every_part_draws_its_own_masks(corpus: Corpus) -> None:
    checkpoint = tiny_run(corpus, {"ensemble": 1}, batch_size=STREAMS, dropout=0.4, seed=3)
    work = workspace(checkpoint.model, checkpoint.train)
    train_step(checkpoint, Streams(corpus.ids, STREAMS, T, 0), work)
    for p, part in enumerate(work):
        mask = np.empty_like(part.cache["layers.0.mask"])
        draw_dropout(np.random.default_rng([3, 0, Stream.DROPOUT, 0, p]), 0.4, mask)
        np.testing.assert_array_equal(part.cache["layers.0.mask"], mask)
    assert [part.columns for part in work] == [slice(0, 2), slice(2, 4), slice(4, 7)]


@pytest.mark.parametrize(
    ("cores", "networks", "streams", "parts"),
    [(1, 1, 64, 1), (2, 1, 64, 2), (2, 1, 31, 1), (2, 1, 32, 2), (4, 2, 64, 2), (2, 3, 64, 1), (9, 1, 64, 4)],
)
def test_streams_are_shared_out_to_the_cores_that_networks_leave(
    cores: int, networks: int, streams: int, parts: int, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "limit", cores)
    checkpoint = tiny_run(corpus, batch_size=streams)
    assert shares(tiny_model(ensemble=networks), checkpoint.train) == parts
