"""The state of a training run between two steps: what an exact resume needs, and nothing that can be derived."""

from dataclasses import dataclass, field

import numpy as np

from charrnn.core.cells.cell import State
from charrnn.core.config import ModelConfig, Purpose, TrainConfig
from charrnn.core.model import CharRNN, initial_parameters, parameter_shapes
from charrnn.core.ops import Array
from charrnn.core.optim import OPTIMIZERS, Slots
from charrnn.core.vocab import Vocab

MAX_LOSSES = 512  # sums of training losses that a run keeps


@dataclass(frozen=True)
class Origin:
    """The text that a model was trained on: its sources as they were given, its SHA-256 as UTF-8, its length."""

    sources: tuple[str, ...]
    sha256: str
    chars: int
    ignore: tuple[str, ...] = ()  # patterns of what is neither learned nor scored


@dataclass(frozen=True)
class Best:
    """The weights with the lowest validation loss, their step, and that loss in nats per character."""

    step: int
    nats: float
    vector: Array  # (P,)


@dataclass
class TrainState:
    """A training run between two steps. `train` changes it in place; it can be saved whenever `train` yields."""

    model: CharRNN
    config: TrainConfig
    vocab: Vocab
    origin: Origin
    slots: Slots  # of the optimizer
    carried: State  # hidden state of the B streams: per layer, each (H, B)
    step: int = 0  # steps done
    loss_sum: float = 0.0  # of the steps since the last validation, in nats per character
    best: Best | None = None
    history: list[tuple[int, float, float]] = field(default_factory=list)  # step, training loss, validation loss
    environment: dict[str, str] = field(default_factory=dict)  # of the run's first process: docs/checkpoint-format.md
    init_from: str | None = None  # name of the model whose weights the run started from
    losses: list[float] = field(default_factory=list)  # of all steps, in sums over loss_stride(step) of them
    seconds: float | None = None  # trained so far; None for a run that has never had a budget in time
    thresholds: dict[str, list[list[float]]] = field(default_factory=dict)  # score -> pairs of rate and threshold
    unlike: bool = False  # whether the held-out text is unlike the rest
    weights: str | None = None  # the dtype of a file of weights alone, which has no slots and no carried state

    @property
    def best_model(self) -> CharRNN:
        """The model with the best weights, or with the last ones if there was no validation."""
        return CharRNN(self.model.config, self.best.vector) if self.best else self.model


def loss_stride(step: int) -> int:
    """Return how many losses make one sum after a number of steps: a power of two, so that there are at most 512."""
    return 1 << (max(0, step - 1) // MAX_LOSSES).bit_length()


def add_loss(losses: list[float], step: int, loss: float) -> None:
    """Add the loss of a step, counted from 1, to the last sum or to a new one; when there are 512, add up pairs."""
    stride = loss_stride(step)
    if stride > loss_stride(step - 1):
        losses[:] = [a + b for a, b in zip(losses[::2], losses[1::2], strict=True)]
    if (step - 1) % stride == 0:
        losses.append(0.0)
    losses[-1] += loss


def new_run(config: ModelConfig, train: TrainConfig, vocab: Vocab, origin: Origin) -> TrainState:
    """Return a run at step 0: parameters drawn from the seed, empty slots, zero hidden state."""
    model = CharRNN(config, initial_parameters(config, np.random.default_rng([train.seed, 0, Purpose.INIT])))
    shapes = OPTIMIZERS[train.optimizer].slots(parameter_shapes(config))
    slots = {name: np.zeros(shape, model.vector.dtype) for name, shape in shapes.items()}
    return TrainState(model, train, vocab, origin, slots, model.zero_state(train.batch_size))
