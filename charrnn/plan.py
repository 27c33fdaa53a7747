"""What a run will be: from a text and what its user asks for to a configuration, new, amended, or fitted to a time."""

import copy
import math
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from charrnn.checkpoint import Checkpoint
from charrnn.config import (
    Budget,
    ModelConfig,
    TrainConfig,
    default_batch_size,
    default_dropout,
    default_eval_every,
    default_steps,
)
from charrnn.corpus import Corpus, Streams, split
from charrnn.errors import ResumeError, TextError, UsageError
from charrnn.evaluate import WINDOW, Score, score
from charrnn.ops import Ids
from charrnn.train import parts, scored, train

# what a run that goes on may change
CHANGEABLE = ("lr", "schedule", "warmup", "weight_decay", "grad_clip", "eval_every", "patience")

LONGEST_TRIAL = 10.0  # seconds to measure a speed for: of long runs Deadline sees the speed anyway


def configure(text: Corpus, given: dict[str, Any], budget: Budget) -> tuple[ModelConfig, TrainConfig]:
    """Return the network and the run for a text: what is given by name, and for the rest what suits the text's size.

    A budget in seconds is met by fit_to_time, when there is a network to measure; until then it is one step.
    """
    model = {name: value for name, value in given.items() if name in ModelConfig.__dataclass_fields__}
    if given.get("lines"):
        model["line_end"] = newline_of(text)
    train = {name: value for name, value in given.items() if name in TrainConfig.__dataclass_fields__}
    TrainConfig(1, "", **train)  # refuse wrong values before anything follows from them
    to_learn, held_out = split(text.ids, train.get("val_fraction", TrainConfig.val_fraction), model.get("line_end"))
    T = train.setdefault("seq_len", TrainConfig.seq_len)
    B = train.setdefault("batch_size", default_batch_size(len(to_learn), T))
    if not train.get("variational_dropout"):
        train.setdefault("dropout", default_dropout(len(to_learn)))
    if "activation" in given and given.get("cell", ModelConfig.cell) != "rnn":
        raise UsageError("--activation is of the plain recurrence: give --cell rnn with it")
    train |= {"steps": 1, "budget": ""} if budget.kind == "seconds" else counted(budget, to_learn, B, T)
    train.setdefault("eval_every", default_eval_every(train["steps"], len(held_out), B, T))
    return ModelConfig(len(text.vocab), **model), TrainConfig(**train)


def newline_of(text: Corpus) -> int:
    """Return the id at which a text's lines end; raises TextError for a text that has none."""
    if text.vocab.newline_id is None:
        rare = ", or fewer than --min-count," if text.vocab.unknown else ""
        raise TextError(f"{' '.join(text.sources)}: has no newlines{rare} where its lines would end: leave out --lines")
    return text.vocab.newline_id


def counted(budget: Budget, to_learn: Ids, B: int, T: int) -> dict[str, Any]:
    """Return the steps of a budget that is not in seconds, and the budget's name, as fields of a TrainConfig."""
    per_epoch = Streams(to_learn, B, T, start_id=0).steps_per_epoch
    steps = {"steps": budget.amount, "epochs": budget.amount * per_epoch, "default": default_steps(len(to_learn), B, T)}
    return {"steps": int(steps[budget.kind]), "budget": str(budget)}


def amended(checkpoint: Checkpoint, text: Corpus, given: dict[str, Any], budget: Budget) -> TrainConfig:
    """Return the configuration of a run that goes on, with what may change in it changed.

    A budget is for the whole run, counted from its first step; one in seconds is left to fit_to_time. Raises
    ResumeError if the text is another, or if the settings given are of another network or another order of the text.
    """
    config, form = checkpoint.train, checkpoint.vocab.normalize
    before = {**asdict(config), **checkpoint.model.config.settings, "normalize": form}
    different = differences(before, {name: value for name, value in given.items() if name not in CHANGEABLE})
    if different:
        raise ResumeError(f"--resume cannot change the run: {different}: leave that out, or start anew")
    if text.sha256 != checkpoint.origin.sha256:
        raise ResumeError(f"{' '.join(text.sources)}: --resume needs the text that the model has been trained on")
    config = replace(config, **{name: value for name, value in given.items() if name in CHANGEABLE})
    if budget.kind in ("default", "seconds"):
        return config
    to_learn = parts(checkpoint, text.ids)[0]
    return replace(config, **counted(budget, to_learn, config.batch_size, config.seq_len))


def differences(before: dict[str, Any], given: dict[str, Any]) -> str:
    """Say which settings given are not as they were; nothing if all are."""
    options = {f"--{name.replace('_', '-')}": (before[name], value) for name, value in given.items()}
    return "; ".join(f"{option} was {old}, not {new}" for option, (old, new) in options.items() if old != new)


def fit_to_time(checkpoint: Checkpoint, ids: Ids, budget: Budget, used: float) -> tuple[TrainConfig, float]:
    """Measure training and validation on copies; return the configuration that fills the seconds left of a budget.

    With it comes how many seconds a validation takes: a tenth of the time at most goes to validations, of which there
    are ten at most and one at least.
    """
    began = time.perf_counter()
    to_score = scored(parts(checkpoint, ids)[1])
    trial = min(LONGEST_TRIAL, max(0.2, 0.01 * budget.amount))
    per_step = seconds_per_step(checkpoint, ids, trial)
    per_validation = seconds_per_char(checkpoint, to_score, trial / 2) * len(to_score)
    left = budget.amount - used - (time.perf_counter() - began)
    validations = max(1, min(10, int(0.1 * left / per_validation))) if per_validation else 1
    steps = max(1, int((left - validations * per_validation) / per_step))
    eval_every = max(1, math.ceil(steps / validations))
    fitted = replace(checkpoint.train, steps=checkpoint.step + steps, budget=str(budget), eval_every=eval_every)
    return fitted, per_validation


class Deadline:
    """The end of a budget in seconds: the number of steps is fitted anew to the speed seen so far, again and again.

    A machine is not as fast in the long run as in the first second. What changes is the configuration alone, which a
    saved run keeps, so that a resume needs no clock.
    """

    def __init__(self, checkpoint: Checkpoint, end: float, per_validation: float) -> None:
        self.first, self.begun, self.end = checkpoint.step, time.perf_counter(), end
        self.validated, self.per_validation = len(checkpoint.history), per_validation

    def refit(self, checkpoint: Checkpoint) -> None:
        """Set the steps that are left to what the time left is enough for, saves and validations to come included.

        A run that has reached its last step has ended, whatever time is left; one validation at the end stays one.
        """
        step, config, now = checkpoint.step, checkpoint.train, time.perf_counter()
        if step in (self.first, config.steps):
            return
        validating = (len(checkpoint.history) - self.validated) * self.per_validation
        per_step = (now - self.begun - validating) / (step - self.first)
        once = config.eval_every >= config.steps
        to_come = 1 if once else -(-config.steps // config.eval_every) - step // config.eval_every
        steps = step + max(0, int((self.end - now - to_come * self.per_validation) / per_step))
        checkpoint.train = replace(config, steps=steps, eval_every=steps if once else config.eval_every)


def seconds_per_step(checkpoint: Checkpoint, ids: Ids, seconds: float) -> float:
    """Train a copy for about so many seconds; return the median time of a step."""
    to_learn = parts(checkpoint, ids)[0]
    trial = copy.deepcopy(checkpoint)
    trial.train = replace(trial.train, val_fraction=0, patience=0, steps=2**52)
    times = [time.perf_counter()]
    for _ in train(trial, to_learn):
        times.append(time.perf_counter())
        if times[-1] - times[0] > seconds and len(times) > 3:
            break
    return float(np.median(np.diff(times)[1:]))  # the first step also warms caches


def seconds_per_char(checkpoint: Checkpoint, held_out: Ids, seconds: float) -> float:
    """Score held-out text for about so many seconds; return the time a character takes."""
    begun, done, warm = time.perf_counter(), Score(), (0.0, 0)
    for done in score(checkpoint.model, [held_out], checkpoint.vocab.start_id):
        now = time.perf_counter()
        if warm[1] and now - begun > seconds:
            break
        if not warm[1] and done.chars > WINDOW:  # of a long text, what comes before is mostly read to warm up
            warm = now, done.chars
    now = time.perf_counter()
    if done.chars > warm[1] > 0:
        return (now - warm[0]) / (done.chars - warm[1])
    return (now - begun) / max(1, done.chars)
