"""Short training runs for the tests of training, of resuming and of validation."""

from typing import Any

import pytest

from charrnn.checkpoint.format import to_bytes
from charrnn.core.state import TrainState
from charrnn.core.train import Report, StepReport, train
from charrnn.data.corpus import Corpus
from tests.helpers.files import tiny_run

HELD_OUT = 0.855  # of 700 characters: 101 to train on, in parts of 33, 34 and 34, and three windows to validate on
NOISES: list[dict[str, Any]] = [{"dropout": 0.3}, {"variational_dropout": 0.3}, {"zoneout": 0.3}]
every_noise = pytest.mark.parametrize("noise", NOISES, ids=str)


def run(corpus: Corpus, model: dict[str, Any] | None = None, **settings: Any) -> TrainState:
    """Return a run at step 0, of 16 steps unless another number is given."""
    return tiny_run(corpus, model, **{"val_fraction": HELD_OUT, "weight_decay": 0.1, "lr": 0.05} | settings)


def noisy_run(corpus: Corpus, noise: dict[str, Any], model: dict[str, Any], **settings: Any) -> TrainState:
    """Return a run with dropout, a setting of the training, or with zoneout, a setting of the network."""
    network = {name: rate for name, rate in noise.items() if name == "zoneout"}
    return run(corpus, model | network, **settings | {n: rate for n, rate in noise.items() if n not in network})


def finished(state: TrainState, corpus: Corpus) -> bytes:
    """Train to the end; return the bytes of the model file."""
    for _ in train(state, corpus.ids):
        pass
    return to_bytes(state)


def losses(reports: list[Report]) -> list[float]:
    """Return the loss of each step."""
    return [report.loss for report in reports if isinstance(report, StepReport)]
