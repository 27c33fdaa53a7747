import copy
import io
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.cells import CELLS
from charrnn.core.optim import OPTIMIZERS
from charrnn.core.sample import sample_rng
from charrnn.core.score import WINDOW
from charrnn.core.train import EvalReport, Report, StepReport, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from charrnn.sampling.batched import generate
from tests.helpers.files import array_of, cell_settings
from tests.helpers.models import B, T
from tests.helpers.runs import NOISES, finished, noisy_run, run


def in_progress(report: Report) -> bool:
    """Return whether a report belongs to a validation that is not done."""
    return isinstance(report, EvalReport) and report.loss is None


@pytest.mark.parametrize(("layers", "noise"), [(1, {}), (2, {}), *((2, noise) for noise in NOISES)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_a_run_resumed_from_any_report_equals_an_uninterrupted_one(
    cell: str, layers: int, noise: dict[str, Any], corpus: Corpus
) -> None:
    state = noisy_run(corpus, noise, {"num_layers": layers, **cell_settings(cell)})
    files, reports = [to_bytes(state)], []
    for report in train(state, corpus.ids):
        reports.append(report)
        files.append(to_bytes(state))
    chars = [report.chars for report in reports if isinstance(report, StepReport)]
    epoch = [*[B * T] * 6, 11]  # ends with a short window
    assert chars == [*epoch, *epoch, B * T, B * T]
    assert sum(map(in_progress, reports)) == 4 * (599 // WINDOW)
    for done, file in enumerate(files):
        while done and in_progress(reports[done - 1]):
            done -= 1  # a validation in progress is repeated
        resumed = from_file(io.BytesIO(file))
        assert list(train(resumed, corpus.ids)) == reports[done:]
        assert to_bytes(resumed) == files[-1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_resumes_from_its_file(optimizer: str, corpus: Corpus) -> None:
    state = run(corpus, optimizer=optimizer)
    next(report for report in train(state, corpus.ids) if report.step == 9)
    resumed = from_file(io.BytesIO(to_bytes(state)))
    assert finished(resumed, corpus) == finished(run(corpus, optimizer=optimizer), corpus)


def test_a_copy_trains_as_the_original_does(corpus: Corpus) -> None:
    original = run(corpus)
    assert finished(copy.deepcopy(original), corpus) == finished(original, corpus)


@pytest.mark.parametrize("noise", [{}, *NOISES], ids=str)
def test_scoring_sampling_and_saving_do_not_change_a_run(noise: dict[str, Any], corpus: Corpus, tmp_path: Path) -> None:
    disturbed = noisy_run(corpus, noise, {})
    for report in train(disturbed, corpus.ids):
        score_ids(disturbed.model, [corpus.ids], corpus.vocab.start_id)
        list(islice(generate(disturbed.best_model, corpus.ids[:3], sample_rng(report.step, 0), {}), 5))
        CheckpointStore(tmp_path / "m.npz").save(disturbed)
    assert to_bytes(disturbed) == finished(noisy_run(corpus, noise, {}), corpus)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(corpus: Corpus) -> None:
    one, same, other = (finished(run(corpus, seed=seed), corpus) for seed in (1, 1, 2))
    assert one == same
    assert not np.isclose(array_of(one, "last"), array_of(other, "last")).any()


def test_a_run_that_is_done_yields_no_reports(corpus: Corpus) -> None:
    state = run(corpus)
    done = finished(state, corpus)
    assert list(train(state, corpus.ids)) == []
    assert to_bytes(state) == done
