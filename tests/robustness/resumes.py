"""Runs of every kind that are stopped at random reports, and go on from their files."""

import io
from itertools import islice
from typing import Any

import numpy as np

from charrnn.cells import CELLS
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.config import SCHEDULE_NAMES
from charrnn.corpus import Corpus
from charrnn.optim import OPTIMIZERS
from charrnn.train import train
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.robustness.experiment import Experiment

NOISES: list[dict[str, Any]] = [{}, {"dropout": 0.3}, {"variational_dropout": 0.3}]


def any_run(draw: np.random.Generator) -> tuple[Corpus, Checkpoint]:
    """Draw a text and a run on it: any cell, noise, optimizer and schedule, one network or two, with lines or not."""

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
    """A run is stopped at a random report, goes on from its file, is stopped again, and goes on to its end."""

    def attempt(self, number: int) -> str:
        """Stop and resume a run; return how it differs from the one that was not stopped."""
        draw = np.random.default_rng([number, 3])
        corpus, run = any_run(draw)
        described, first = f"{run.model.config} {run.train}", to_bytes(run)
        files = [first, *(to_bytes(run) for _ in train(run, corpus.ids))]
        stop, more = (int(draw.integers(len(files))), int(draw.integers(len(files))))
        once = stopped(first, corpus, stop)
        twice = stopped(once, corpus, more)
        if once == files[stop] and stopped(twice, corpus, len(files)) == files[-1]:
            return ""
        return f"stopped after report {stop}, and after {more} more, it ends otherwise: {described}"


def stopped(file: bytes, corpus: Corpus, reports: int) -> bytes:
    """Go on from a file for so many reports, or to the end; return the file then."""
    run = from_file(io.BytesIO(file))
    for _ in islice(train(run, corpus.ids), reports):
        pass
    return to_bytes(run)
