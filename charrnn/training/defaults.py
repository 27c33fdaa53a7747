"""The length of a run, and the defaults that depend on the size of the text. docs/decisions.md has the measurements."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from charrnn.core.config import VALIDATION_CHARS, TrainConfig, require, require_window

TRAIN_CHARS_PER_ROOT = 8000  # see default_steps
MAX_EPOCHS = 10
DROPOUT_BELOW = {50_000: 0.3, 150_000: 0.2, 500_000: 0.1}  # characters to train on -> dropout
ENSEMBLE_DROPOUT = 0.05  # at least, for networks that start from the same weights: it makes them different
SOAP_FROM = 500_000  # characters to train on
LR = {"soap": 7e-3}  # by optimizer; others TrainConfig.lr
WARM_LR = {"soap": 2.5e-3, "adamw": 1e-3, "adam": 1e-3, "rmsprop": 1e-3}  # of weights that know such texts
FAMILIAR, STRANGE = 2.7, 4.0  # bits per character at the start of weights that know such texts, or do not at all
SOAP_DECAY = 0.4


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, epochs or seconds, or by default a length that depends on the text.

    It is the length of the whole run, or with `more` comes on top of what is done.
    """

    kind: Literal["steps", "epochs", "seconds", "default"] = "default"
    amount: float = 0
    more: bool = False

    def __post_init__(self) -> None:
        option = "--more" if self.more else {"seconds": "--time"}.get(self.kind, f"--{self.kind}")
        require(self.kind in ("steps", "epochs", "seconds", "default"), "budget", self.kind, "steps, epochs or seconds")
        require(self.kind == "default" or 0 < self.amount < 2**53, option, self.amount, "above 0 and below 2**53")

    def __str__(self) -> str:
        return f"{self.amount:.17g} {self.kind}" if self.amount else self.kind

    def after(self, done: float) -> "Budget":
        """Return the budget of the whole run, after the given number of steps or seconds has been done."""
        return replace(self, amount=done + self.amount, more=False) if self.more else self


def default_batch_size(train_chars: int, seq_len: int) -> int:
    """Return the number of streams: 32, or fewer if a stream would have fewer than 32 windows; at least one."""
    require_window(1, seq_len)
    return max(1, min(TrainConfig.batch_size, train_chars // (32 * seq_len)))


def default_optimizer(train_chars: int) -> str:
    """Return soap for texts on which it was measured to learn faster, and adamw for smaller ones, which it overfits."""
    return "soap" if train_chars >= SOAP_FROM else TrainConfig.optimizer


def default_lr(optimizer: str, start_bits: float = math.inf) -> float:
    """Return the peak learning rate that suits an optimizer and, in a warm start, the loss before the first step.

    It is lower where a higher one would only forget what the weights know. `start_bits` is in bits per character;
    between FAMILIAR and STRANGE the logarithm of the rate is in proportion to it.
    """
    usual = LR.get(optimizer, TrainConfig.lr)
    lowest = WARM_LR.get(optimizer, usual)
    share = min(1.0, max(0.0, (start_bits - FAMILIAR) / (STRANGE - FAMILIAR)))
    return float(f"{lowest * (usual / lowest) ** share:.2g}")


def default_weight_decay(optimizer: str) -> float:
    """Return the decay rate of the weight matrices that suits an optimizer."""
    return SOAP_DECAY if optimizer == "soap" else TrainConfig.weight_decay


def default_dropout(train_chars: int) -> float:
    """Return the dropout rate: high for small texts, which are overfitted sooner, and 0 for large ones."""
    return next((rate for below, rate in DROPOUT_BELOW.items() if train_chars < below), TrainConfig.dropout)


def default_steps(train_chars: int, batch_size: int, seq_len: int) -> int:
    """Return the steps of a run without --steps, --epochs or --time: for 8000·√N characters, but at most ten epochs.

    That is 10 epochs for up to 640,000 characters, 8 for a million and 1.1 for 50 million.
    """
    require_window(batch_size, seq_len)
    chars = min(MAX_EPOCHS * train_chars, TRAIN_CHARS_PER_ROOT * math.sqrt(train_chars))
    return math.ceil(chars / (batch_size * seq_len))


def default_eval_every(steps: int, val_chars: int, batch_size: int, seq_len: int) -> int:
    """Return the steps between validations: ten per run, or fewer if they would take long compared to the training."""
    trained, scored = steps * batch_size * seq_len, min(val_chars, VALIDATION_CHARS)
    times = max(1, min(10, trained // (5 * scored))) if scored else 10
    return max(1, math.ceil(steps / times))
