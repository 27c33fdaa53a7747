"""What a network and a training run are: two frozen, validated records, and the one home of every default."""

import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal

from charrnn.errors import UsageError

CELL_NAMES = ("rnn", "lstm", "gru")
OPTIMIZER_NAMES = ("sgd", "adagrad", "rmsprop", "adam", "adamw")
SCHEDULE_NAMES = ("constant", "linear", "cosine")
MAX_LAYERS = 12  # so that the named weights of any network fit the 64 members of a model file
TRAIN_CHARS_PER_ROOT = 8000  # see default_steps
MOST_EPOCHS = 10
DROPOUT_BELOW = {50_000: 0.3, 150_000: 0.2, 500_000: 0.1}  # characters to learn from -> dropout
VALIDATION_CHARS = 1_000_000  # of the held-out text a validation reads these first ones: docs/decisions.md
PARAMETERS_PER_CHAR = (0.05, 50.0)  # what suits a text: below it a network is too small, above it too large
HIDDEN_SIZES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # proposed in its place


class Stream(IntEnum):
    """The purposes of random numbers: each draws from default_rng([seed, index, purpose]), so none disturbs another."""

    INIT = 0
    SAMPLE = 1
    DROPOUT = 2
    PREVIEW = 3


def require(holds: bool, option: str, value: object, needs: str) -> None:
    """Raise the UsageError that names the option, its value and what it needs, unless the condition holds."""
    if not holds:
        raise UsageError(f"{option} {value}: must be {needs}")


def require_window(batch_size: int, seq_len: int) -> None:
    """Raise UsageError unless so many streams and steps make a window."""
    require(1 <= batch_size <= 65536, "--batch-size", batch_size, "1 to 65536")
    require(1 <= seq_len <= 65536, "--seq-len", seq_len, "1 to 65536")


@dataclass(frozen=True)
class ModelConfig:
    """The network: V symbols, an embedding of D, L layers of H units; or an ensemble of such networks.

    Zoneout is of the network, and not of its training like dropout, since at test time its expectation is computed. So
    is line_end, the id of the symbol at which the state begins anew: None where a text is one, without such an end.
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
        require(self.activation in ("tanh", "relu"), "--activation", self.activation, "tanh or relu")
        require(1 <= self.hidden_size <= 16384, "--hidden-size", self.hidden_size, "1 to 16384")
        require(1 <= self.num_layers <= MAX_LAYERS, "--num-layers", self.num_layers, f"1 to {MAX_LAYERS}")
        require(1 <= self.embed_size <= 16384, "--embed-size", self.embed_size, "1 to 16384")
        require(0 <= self.zoneout < 1, "--zoneout", self.zoneout, "0 or more and below 1")
        most = (4 * MAX_LAYERS + 3) // (4 * self.num_layers + 3)
        require(1 <= self.ensemble <= most, "--ensemble", self.ensemble, f"1 to {most} with so many layers")
        is_symbol = self.line_end is None or 0 <= self.line_end < self.vocab_size
        require(is_symbol, "end of lines", self.line_end, "a symbol of the vocabulary")

    @property
    def lines(self) -> bool:
        """Whether each line is a text of its own."""
        return self.line_end is not None

    def __str__(self) -> str:
        kind = f"{self.activation} {self.cell}" if self.cell == "rnn" else self.cell
        network = f"{kind}, {self.num_layers} x {self.hidden_size}{', each line on its own' if self.lines else ''}"
        return f"{self.ensemble} networks of {network}" if self.ensemble > 1 else network

    @property
    def recurrence(self) -> str:
        """The name of the recurrence in the table CELLS: the plain RNN has one for each activation."""
        return f"rnn_{self.activation}" if self.cell == "rnn" else self.cell

    @property
    def settings(self) -> dict[str, Any]:
        """What users choose of a network, by the names of its options."""
        fields = {name: value for name, value in asdict(self).items() if name not in ("vocab_size", "line_end")}
        return {**fields, "lines": self.lines}


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Losses are nats a character; `steps` is the whole budget, counted from step 0."""

    steps: int
    budget: str  # the Budget as a string, which a resume compares
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
    patience: int = 0  # validations in a row that may pass without a new best; 0 is any number
    val_fraction: float = 0.1
    seed: int = 0
    encoding: str = "utf-8"
    min_count: int = 1

    def __post_init__(self) -> None:
        for name in ("dropout", "variational_dropout", "lr", "weight_decay", "grad_clip", "val_fraction"):
            object.__setattr__(self, name, float(getattr(self, name)))  # so that 1 and 1.0 are one run, and one file
        require(1 <= self.steps < 2**53, "--steps", self.steps, "at least 1")
        require_window(self.batch_size, self.seq_len)
        rates = {"--dropout": self.dropout, "--variational-dropout": self.variational_dropout}
        for option, rate in rates.items():
            require(0 <= rate < 1, option, rate, "0 or more and below 1")
        if all(rates.values()):
            raise UsageError("--dropout and --variational-dropout: give one of them: they drop the same numbers")
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


@dataclass(frozen=True)
class Budget:
    """How long to train: an amount of steps, epochs or seconds, or what suits the text."""

    kind: Literal["steps", "epochs", "seconds", "default"] = "default"
    amount: float = 0

    def __post_init__(self) -> None:
        option = {"seconds": "--time"}.get(self.kind, f"--{self.kind}")
        require(self.kind in ("steps", "epochs", "seconds", "default"), "budget", self.kind, "steps, epochs or seconds")
        require(self.kind == "default" or 0 < self.amount < 2**53, option, self.amount, "above 0 and below 2**53")

    def __str__(self) -> str:
        return f"{self.amount:.17g} {self.kind}" if self.amount else self.kind


# What suits a text of N characters to learn from, where its user says nothing: docs/decisions.md has the measurements.


def default_batch_size(train_chars: int, seq_len: int) -> int:
    """As many of 32 streams as give each at least 32 windows: a small corpus gets fewer, at least one."""
    require_window(1, seq_len)
    return max(1, min(TrainConfig.batch_size, train_chars // (32 * seq_len)))


def default_dropout(train_chars: int) -> float:
    """A large text needs none; the smaller a text, the sooner a network knows it by heart."""
    return next((rate for below, rate in DROPOUT_BELOW.items() if train_chars < below), TrainConfig.dropout)


def default_steps(train_chars: int, batch_size: int, seq_len: int) -> int:
    """The budget without --steps, --epochs or --time: 8000·√N characters, but ten epochs at most.

    That is 10 epochs up to 640,000 characters, 8 of 1 MB and 1.2 of 50 MB.
    """
    require_window(batch_size, seq_len)
    chars = min(MOST_EPOCHS * train_chars, TRAIN_CHARS_PER_ROOT * math.sqrt(train_chars))
    return math.ceil(chars / (batch_size * seq_len))


def default_eval_every(steps: int, val_chars: int, batch_size: int, seq_len: int) -> int:
    """Ten validations a run; fewer where what each of them reads is large against the budget."""
    trained, read = steps * batch_size * seq_len, min(val_chars, VALIDATION_CHARS)
    times = max(1, min(10, trained // (5 * read))) if read else 10
    return max(1, math.ceil(steps / times))
