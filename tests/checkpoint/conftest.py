"""A run with something in every field, and the bytes of its model file."""

from pathlib import Path

import pytest

from charrnn.checkpoint.format import to_bytes
from charrnn.core.state import TrainState
from charrnn.core.train import train
from tests.helpers.files import corpus_of, random_text, tiny_run


@pytest.fixture(scope="module")
def state() -> TrainState:
    """A run after 9 of 16 steps, validated after 4 and 8, with an unknown symbol: nothing in it is empty."""
    corpus = corpus_of(random_text(300) + "é", min_count=2)
    state = tiny_run(corpus, val_fraction=0.25)
    next(report for report in train(state, corpus.ids) if report.step == 9)
    return state


@pytest.fixture(scope="module")
def good(state: TrainState) -> bytes:
    """The bytes of a model file."""
    return to_bytes(state)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path that a careless glob would misread."""
    return tmp_path / "m[1].npz"
