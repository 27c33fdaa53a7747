"""Training from Python: the same run as that of `charrnn train`, with its reports.

import charrnn

model = charrnn.train("novel.txt", time="3m", on_report=print)
"""

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypedDict, Unpack

from charrnn.api.model import Model, load_file
from charrnn.api.sampling import several, whole
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.config import require
from charrnn.core.errors import UsageError
from charrnn.core.train import EvalReport, Report, StepReport
from charrnn.parallel.products import each_within, library_call
from charrnn.training.model_file import open_store, sole_writer
from charrnn.training.presets import PRESETS
from charrnn.training.run import SaveReport, begin
from charrnn.training.settings import NAMES, checked_settings, given_budget
from charrnn.training.start import Request
from charrnn.training.timer import Timer

__all__ = ["EvalReport", "SaveReport", "StepReport", "train", "training_reports"]


class TrainingOptions(TypedDict, total=False):
    """The options of a run. All of them may be left out, and mean what those of `charrnn train` mean."""

    # the budget: one of these
    steps: int
    epochs: int
    time: str | float  # "3m", "1h30m" or seconds
    more: str | int  # steps or a time on top of what is done; needs resume=True
    # the start, and the file
    model: str | PathLike[str]  # by default named after the first text
    resume: bool
    force: bool
    init_from: str
    preset: str
    ignore: str | Sequence[str]
    save_every: str | int  # a time such as "30s", or steps
    keep_going: bool
    threads: int
    # the network
    cell: str
    activation: str
    hidden_size: int
    num_layers: int
    embed_size: int
    zoneout: float
    ensemble: int
    lines: bool
    # the text
    min_count: int
    encoding: str
    encoding_errors: str
    normalize: str
    val_fraction: float
    holdout: str
    # the optimization
    seq_len: int
    batch_size: int
    dropout: float
    variational_dropout: float
    optimizer: str
    lr: float
    schedule: str
    warmup: int
    weight_decay: float
    grad_clip: float
    eval_every: int
    patience: int
    seed: int


def train(
    *texts: str | PathLike[str],
    on_report: Callable[[Report | SaveReport], object] | None = None,
    **options: Unpack[TrainingOptions],
) -> Model:
    """Train a model on text files and folders, save it as `charrnn train` does, and return it.

    Without texts it learns the plays that come with the program. `on_report` is called with every StepReport,
    EvalReport and SaveReport. The same texts, options and seed give the same file as the command, byte for byte.
    Whatever ends the run early, an exception of `on_report` or Ctrl-C, the model is saved, and `resume=True` trains on.

    Raises CheckpointError if the model exists and neither `resume` nor `force` is given, UsageError for wrong options,
    TextError for a text that cannot be read, and DivergedError if the loss is not finite.

    >>> steps = []
    >>> model = train("a.txt", model="doctest", steps=3, hidden_size=8, on_report=steps.append)
    >>> [report.step for report in steps if isinstance(report, StepReport)]
    [1, 2, 3]
    >>> model.path.name
    'doctest.npz'
    """
    training = prepared(texts, options)
    for report in training.reports():
        if on_report:
            on_report(report)
    name = training.store.name
    return load_file(Path(name), fspath(options.get("model") or name))


def training_reports(*texts: str | PathLike[str], **options: Unpack[TrainingOptions]) -> Iterator[Report | SaveReport]:
    """Train as `train` does, and yield its reports. The run starts with the first one.

    Losses are in nats per character. A program that leaves the loop, or closes the iterator, ends the run: the model is
    saved, and `resume=True` trains on.

    >>> for report in training_reports("a.txt", model="doctest", steps=9, hidden_size=8, force=True):
    ...     if isinstance(report, StepReport) and report.step == 2:
    ...         break
    >>> reports = training_reports("a.txt", model="doctest", resume=True)
    >>> next(report.step for report in reports if isinstance(report, StepReport))
    3
    >>> reports.close()
    """
    return prepared(texts, options).reports()


@dataclass(frozen=True)
class Training:
    """A run that is about to start."""

    store: CheckpointStore
    request: Request
    save_every: str
    keep_going: bool
    threads: int | None

    def reports(self) -> Iterator[Report | SaveReport]:
        """Train and yield reports, each computed as a call of the library."""
        return each_within(lambda: library_call(self.threads), self.run())

    def run(self) -> Generator[Report | SaveReport, None, None]:
        """Train and yield reports; the model is saved, also if the iterator is closed."""
        began, timer = time.perf_counter(), Timer(self.save_every, "save_every")
        with sole_writer(self.store, warn):
            run = begin(self.store, self.request, timer, self.keep_going, began, warn)
            with run.rescued():
                yield from run.reports()


def prepared(texts: Sequence[str | PathLike[str]], options: Mapping[str, Any]) -> Training:
    """Return the run that texts and options ask for; raises UsageError for wrong ones, before anything is read."""
    unknown = options.keys() - TrainingOptions.__annotations__.keys()
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))}: no options of training")
    preset = options.get("preset")
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"preset {preset!r}: must be {' or '.join(PRESETS)}")
    sources, model = tuple(fspath(text) for text in texts), options.get("model")
    resume, threads = bool(options.get("resume")), options.get("threads")
    require(threads is None or whole(threads, "threads") > 0, "threads", threads, "1 or more")
    given = {name: value for name, value in options.items() if name in NAMES}
    request = Request(
        sources,
        checked_settings(PRESETS.get(preset or "", {}) | given),
        given_budget({name: options.get(name) for name in ("steps", "epochs", "time", "more")}, resume),
        resume,
        bool(options.get("force")),
        options.get("init_from"),
        several(options.get("ignore") or ()),
    )
    save_every = str(options.get("save_every", "30s"))
    Timer(save_every, "save_every")
    store = open_store(None if model is None else fspath(model), sources)
    return Training(store, request, save_every, bool(options.get("keep_going")), threads)


def warn(text: str) -> None:
    """Warn a Python program, as the command warns a person."""
    warnings.warn(text, stacklevel=2)
