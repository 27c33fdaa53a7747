"""Runs of every kind that are stopped at random reports and resumed from their files."""

import io
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.core.cells import CELLS
from charrnn.core.config import SCHEDULE_NAMES
from charrnn.core.errors import DivergedError
from charrnn.core.optim import OPTIMIZERS
from charrnn.core.state import TrainState
from charrnn.data.corpus import Corpus
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.robustness.experiment import Experiment, reports

NOISES: list[dict[str, Any]] = [{}, {"dropout": 0.3}, {"variational_dropout": 0.3}]


def any_run(draw: np.random.Generator) -> tuple[Corpus, TrainState]:
    """Draw a text and a run on it, with random settings."""

    def one_of(choices: Any) -> Any:
        return list(choices)[draw.integers(len(choices))]

    corpus = corpus_of(
        random_text(int(draw.integers(200, 400)), seed=int(draw.integers(1 << 30))) + "é", one_of([1, 2])
    )
    network = cell_settings(one_of(CELLS)) | {
        "num_layers": one_of([1, 2]),
        "ensemble": one_of([1, 2]),
        "zoneout": one_of([0.0, 0.3]),
        "line_end": one_of([None, corpus.vocab.newline_id]),
    }
    settings = one_of(NOISES) | {
        "optimizer": one_of(OPTIMIZERS),
        "schedule": one_of(SCHEDULE_NAMES),
        "warmup": one_of([0, 3, 40]),
        "steps": int(draw.integers(4, 24)),
        "eval_every": int(draw.integers(1, 9)),
        "batch_size": one_of([1, 3, 4]),
        "seq_len": one_of([1, 5, 8]),
        "val_fraction": one_of([0.0, 0.3, 0.8]),
        "patience": 0,
        "seed": int(draw.integers(1 << 30)),
    }
    settings["patience"] = one_of([0, 2]) if settings["val_fraction"] else 0
    return corpus, tiny_run(corpus, network, **settings)


class Resumes(Experiment):
    """A run is stopped at a random report, resumed, stopped again, and resumed to its end."""

    def attempt(self, number: int) -> str:
        """Stop and resume a run; return a description if it differs from the uninterrupted run."""
        draw = np.random.default_rng([number, 3])
        corpus, run = any_run(draw)
        described, first = f"{run.model.config} {run.config}", to_bytes(run)
        files = [first, *(to_bytes(run) for _ in finite_reports(run, corpus))]
        stop, more = (int(draw.integers(len(files))), int(draw.integers(len(files))))
        once = stopped(first, corpus, stop)
        twice = stopped(once, corpus, more)
        if once == files[stop] and stopped(twice, corpus, len(files)) == files[-1]:
            return ""
        return f"stopped after report {stop}, and after {more} more, it ends differently: {described}"


def stopped(file: bytes, corpus: Corpus, count: int) -> bytes:
    """Resume a file for `count` reports, or to the end; return the bytes of the file after that."""
    run = from_file(io.BytesIO(file))
    for _ in islice(finite_reports(run, corpus), count):
        pass
    return to_bytes(run)


def finite_reports(run: TrainState, corpus: Corpus) -> Iterator[object]:
    """Yield the reports of a run up to the step, if any, in which it diverges: a few of so small networks do."""
    with suppress(DivergedError):
        yield from reports(run, corpus)
