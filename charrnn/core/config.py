"""The configuration of a network and of a training run: two frozen, validated records that hold every default."""

import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from charrnn.core.errors import UsageError

CELL_NAMES = ("rnn", "lstm", "gru")
ACTIVATION_NAMES = ("tanh", "relu", "sigmoid", "leaky_relu", "softsign")  # of the table ACTIVATIONS
OPTIMIZER_NAMES = ("sgd", "adagrad", "rmsprop", "adam", "adamw", "soap")  # of the table OPTIMIZERS
SCHEDULE_NAMES = ("constant", "linear", "cosine")  # of the table SCHEDULES
ERROR_NAMES = ("strict", "replace")  # what to do with bytes that are not of the encoding
HOLDOUT_NAMES = ("tail", "each", "lines")  # which part of a text is held out
MAX_LAYERS = 12  # so that the named weights of any network fit the 64 members of a model file
VALIDATION_CHARS = 1_000_000  # a validation scores at most this many held-out characters: docs/decisions.md


class Purpose(IntEnum):
    """What random numbers are for: each draws from default_rng([seed, index, purpose]), so none disturbs another."""

    INIT = 0
    SAMPLE = 1
    DROPOUT = 2
    PREVIEW = 3
    HOLDOUT = 4


def require(holds: bool, option: str, value: object, needs: str) -> None:
    """Raise a UsageError that names the option, its value and what it needs, unless the condition holds."""
    if not holds:
        raise UsageError(f"{option} {value}: must be {needs}")


def require_window(batch_size: int, seq_len: int) -> None:
    """Raise UsageError unless the sizes of a window are in range."""
    require(1 <= batch_size <= 65536, "--batch-size", batch_size, "1 to 65536")
    require(1 <= seq_len <= 65536, "--seq-len", seq_len, "1 to 65536")


@dataclass(frozen=True)
class ModelConfig:
    """The network: V symbols, an embedding of D, L layers of H units; or an ensemble of such networks.

    Zoneout belongs to the network, and not to its training as dropout does, since its expectation is computed at test
    time. So does line_end, the id of the symbol at which the state is reset; None for a continuous text.
    """

    vocab_size: int
    cell: str = "gru"
    activation: str = "tanh"
    hidden_size: int = 256
    num_layers: int = 2
    embed_size: int = 64
    zoneout: float = 0.0
    line_end: int | None = None
    ensemble: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "zoneout", float(self.zoneout))
        require(self.vocab_size >= 1, "vocabulary", self.vocab_size, "at least one symbol")
        require(self.cell in CELL_NAMES, "--cell", self.cell, " or ".join(CELL_NAMES))
        require(self.activation in ACTIVATION_NAMES, "--activation", self.activation, " or ".join(ACTIVATION_NAMES))
        require(1 <= self.hidden_size <= 16384, "--hidden-size", self.hidden_size, "1 to 16384")
        require(1 <= self.num_layers <= MAX_LAYERS, "--num-layers", self.num_layers, f"1 to {MAX_LAYERS}")
        require(1 <= self.embed_size <= 16384, "--embed-size", self.embed_size, "1 to 16384")
        require(0 <= self.zoneout < 1, "--zoneout", self.zoneout, "0 or more and below 1")
        most = (4 * MAX_LAYERS + 3) // (4 * self.num_layers + 3)
        require(1 <= self.ensemble <= most, "--ensemble", self.ensemble, f"1 to {most} with {self.num_layers} layers")
        is_symbol = self.line_end is None or 0 <= self.line_end < self.vocab_size
        require(is_symbol, "end of lines", self.line_end, "a symbol of the vocabulary")

    @property
    def lines(self) -> bool:
        """Whether each line is an independent text."""
        return self.line_end is not None

    def __str__(self) -> str:
        kind = f"{self.activation} {self.cell}" if self.cell == "rnn" else self.cell
        network = f"{kind}, {self.num_layers} x {self.hidden_size}{', each line on its own' if self.lines else ''}"
        return f"{self.ensemble} networks of {network}" if self.ensemble > 1 else network

    @property
    def recurrence(self) -> str:
        """The name in the table CELLS, which has one plain RNN for each activation."""
        return f"rnn_{self.activation}" if self.cell == "rnn" else self.cell

    @property
    def settings(self) -> dict[str, Any]:
        """The network's settings by the names of their options."""
        fields = {name: value for name, value in asdict(self).items() if name not in ("vocab_size", "line_end")}
        return {**fields, "lines": self.lines}


@dataclass(frozen=True)
class TrainConfig:
    """One training run. `steps` is the whole budget, counted from step 0."""

    steps: int
    budget: str  # how the steps were chosen, in words; a resume compares it
    batch_size: int = 32
    seq_len: int = 64
    dropout: float = 0.0
    variational_dropout: float = 0.0
    optimizer: str = "adamw"
    lr: float = 4e-3
    schedule: str = "cosine"
    warmup: int = 50
    weight_decay: float = 0.2
    grad_clip: float = 1.0
    eval_every: int = 200
    patience: int = 0  # validations in a row without a new best before the run stops; 0 never stops it
    val_fraction: float = 0.1
    seed: int = 0
    encoding: str = "utf-8"
    min_count: int = 1
    holdout: str = "tail"
    held_out: int | None = None  # characters held out, the last of the ids; None for a tail, cut by val_fraction
    encoding_errors: str = "strict"

    def __post_init__(self) -> None:
        for name in ("dropout", "variational_dropout", "lr", "weight_decay", "grad_clip", "val_fraction"):
            object.__setattr__(self, name, float(getattr(self, name)))  # so that 1 and 1.0 give the same file
        require(1 <= self.steps < 2**53, "--steps", self.steps, "at least 1")
        require_window(self.batch_size, self.seq_len)
        rates = {"--dropout": self.dropout, "--variational-dropout": self.variational_dropout}
        for option, rate in rates.items():
            require(0 <= rate < 1, option, rate, "0 or more and below 1")
        if all(rates.values()):
            raise UsageError("--dropout and --variational-dropout drop the same numbers: give only one of them")
        require(self.optimizer in OPTIMIZER_NAMES, "--optimizer", self.optimizer, " or ".join(OPTIMIZER_NAMES))
        require(self.schedule in SCHEDULE_NAMES, "--schedule", self.schedule, " or ".join(SCHEDULE_NAMES))
        require(0 < self.lr < math.inf, "--lr", self.lr, "a number above 0")
        require(0 <= self.warmup < 2**53, "--warmup", self.warmup, "0 or more steps")
        require(0 <= self.weight_decay < math.inf, "--weight-decay", self.weight_decay, "0 or more")
        require(0 < self.grad_clip < math.inf, "--grad-clip", self.grad_clip, "a number above 0")
        require(1 <= self.eval_every < 2**53, "--eval-every", self.eval_every, "at least 1 step")
        require(0 <= self.patience < 2**53, "--patience", self.patience, "0 or more validations")
        require(0 <= self.val_fraction < 1, "--val-fraction", self.val_fraction, "0 or more and below 1")
        if self.patience and not self.val_fraction:
            raise UsageError(f"--patience {self.patience}: needs held-out text: give a --val-fraction above 0")
        require(0 <= self.seed < 2**63, "--seed", self.seed, "0 or more and below 2**63")
        require(1 <= self.min_count < 2**53, "--min-count", self.min_count, "at least 1")
        require(self.encoding_errors in ERROR_NAMES, "--encoding-errors", self.encoding_errors, "strict or replace")
        require(self.holdout in HOLDOUT_NAMES, "--holdout", self.holdout, " or ".join(HOLDOUT_NAMES))
        fits = self.held_out is None if self.holdout == "tail" else 1 <= (self.held_out or 0) < 2**53
        require(fits, "characters held out", self.held_out, "at least 1, or none for a tail")
