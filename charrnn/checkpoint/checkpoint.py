"""What a training run is between two steps."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.config import TrainConfig
from charrnn.model import CharRNN
from charrnn.ops import Array
from charrnn.optim import Slots
from charrnn.threads import cores
from charrnn.vocab import Vocab


@dataclass(frozen=True)
class Origin:
    """The text that a model was trained on: its sources as they were given, its bytes' SHA-256, its characters."""

    sources: tuple[str, ...]
    sha256: str
    chars: int


@dataclass(frozen=True)
class Best:
    """The weights that did best on the held-out text, when, and their loss in nats a character."""

    step: int
    nats: float
    vector: Array  # (P,)


@dataclass(frozen=True)
class Trained:
    """What a run has learnt, and from what: all that writing and scoring need, a quarter of a file after Adam."""

    model: CharRNN  # with the best weights
    train: TrainConfig
    vocab: Vocab
    origin: Origin


@dataclass
class Checkpoint:
    """A training run between two steps: what an exact resume needs, and nothing that can be derived."""

    model: CharRNN
    train: TrainConfig
    vocab: Vocab
    origin: Origin
    slots: Slots
    state: list[tuple[Array, ...]]  # carried by the B streams: per layer, each (H, B)
    step: int = 0  # steps done
    loss_sum: float = 0.0  # of the steps since the last validation, nats a character
    best: Best | None = None
    history: list[tuple[int, float, float]] = field(default_factory=list)  # step, train loss, held-out loss
    environment: dict[str, str] = field(default_factory=dict)
    init_from: str | None = None  # the model whose weights it started from, as it was named

    @property
    def trained(self) -> Trained:
        """What samples and scores come from."""
        best = CharRNN(self.model.config, self.best.vector) if self.best else self.model
        return Trained(best, self.train, self.vocab, self.origin)


def environment() -> dict[str, str]:
    """Return what a run's last bits depend on beside its file: numpy, its matrix library, processor and threads."""
    built: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    library, vectors = built["Build Dependencies"]["blas"], built["SIMD Extensions"]["found"]
    forced = os.environ.get("OPENBLAS_CORETYPE")  # the kernels to use, else those for the processor
    blas = library["name"], library.get("version"), forced
    machine = os.uname().machine if hasattr(os, "uname") else os.name
    return {
        "numpy": np.__version__,
        "blas": " ".join(filter(None, blas)),
        "machine": " ".join([machine, *vectors]),
        "threads": str(cores()),
        "product_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
    }


def moved(checkpoint: Checkpoint) -> dict[str, tuple[str | None, str]]:
    """Return what of the environment differs from the one that a run was begun in: name -> (then, now)."""
    then, now = checkpoint.environment, environment()
    return {name: (then.get(name), value) for name, value in now.items() if then.get(name) != value}
