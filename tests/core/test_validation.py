import copy
import io
import math
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.format import from_file
from charrnn.core.batches import split
from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError
from charrnn.core.state import TrainState
from charrnn.core.train import EvalReport, StepReport, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.helpers.runs import HELD_OUT, finished, losses, run


def test_a_validation_scores_the_first_characters_held_out(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.core.train.VALIDATION_CHARS", 260)
    state = run(corpus, steps=4)
    (*_, last) = train(state, corpus.ids)
    held_out = split(corpus.ids, HELD_OUT)[1]
    first = score_ids(state.model, [held_out[:260]], state.vocab.start_id)
    assert isinstance(last, EvalReport)
    assert (last.chars, last.loss) == (260, first.nats / 260)
    assert state.history == [(4, last.train_loss, last.loss)]


def test_the_history_has_the_mean_training_loss_and_the_held_out_loss(corpus: Corpus) -> None:
    state, held_out = run(corpus, steps=10), split(corpus.ids, HELD_OUT)[1]
    expected: list[tuple[int, float, float]] = []
    since: list[float] = []
    for report in train(state, corpus.ids):
        if isinstance(report, StepReport):
            since.append(report.loss)
        elif report.loss is not None:
            score = score_ids(state.model, [held_out], corpus.vocab.start_id)
            expected.append((report.step, reduce(add, since) / len(since), score.nats / score.chars))
            assert (report.step, report.train_loss, report.loss) == expected[-1]
            assert report.chars == len(held_out)
            since.clear()
    assert [step for step, _, _ in expected] == [4, 8, 10]  # every fourth, and the last
    assert state.history == expected
    assert state.loss_sum == 0


def test_the_best_weights_are_those_of_the_lowest_held_out_loss() -> None:
    corpus = corpus_of("abcdefg\n" * 30 + random_text(160))  # the better the order is learnt, the higher the loss
    state = tiny_run(corpus, {"hidden_size": 9}, steps=60, lr=0.02, val_fraction=0.6, eval_every=3)
    vectors, lowest = {}, math.inf
    for report in train(state, corpus.ids):
        if isinstance(report, EvalReport) and report.loss is not None:
            vectors[report.step] = state.model.vector.copy()
            assert report.best == (report.loss < lowest)
            lowest = min(lowest, report.loss)
    step, _, nats = min(state.history, key=lambda row: row[2])
    assert 3 < step < 60
    assert state.best
    assert (state.best.step, state.best.nats) == (step, nats)
    np.testing.assert_array_equal(state.best.vector, vectors[step])
    held_out = split(corpus.ids, 0.6)[1]
    assert score_ids(state.best_model, [held_out], corpus.vocab.start_id).nats_per_char == nats
    last = score_ids(state.model, [held_out], corpus.vocab.start_id)
    assert last.nats / last.chars > nats


def test_without_held_out_text_there_is_no_validation(corpus: Corpus) -> None:
    state = run(corpus, val_fraction=0.0)
    reports = list(train(state, corpus.ids))
    assert len(losses(reports)) == len(reports) == 16
    assert (state.history, state.best) == ([], None)
    assert state.best_model is state.model
    assert state.loss_sum == reduce(add, losses(reports))


@pytest.mark.parametrize("cell", CELLS)
def test_a_validation_of_a_diverged_model_is_an_error(cell: str, corpus: Corpus) -> None:
    state = run(corpus, cell_settings(cell))
    state.step, state.loss_sum = 4, 8.0
    state.model.params["head.b_y"][0] = np.nan  # very large weights may saturate the gates and give finite scores
    with pytest.raises(DivergedError, match="--lr"):
        next(train(state, corpus.ids))
    assert (state.history, state.best) == ([], None)


# ---- patience ----


@pytest.fixture(scope="module")
def overfitting() -> Corpus:
    """A text with a held-out part unlike the rest, so that the best validation comes early."""
    return corpus_of("abcdefg\n" * 30 + random_text(160))


def run_with_patience(corpus: Corpus, patience: int) -> TrainState:
    settings: dict[str, Any] = {"steps": 60, "lr": 0.02, "val_fraction": 0.6, "eval_every": 3}
    return tiny_run(corpus, {"hidden_size": 9}, **settings, patience=patience)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_ends_a_run_after_that_many_validations_without_a_new_best(patience: int, overfitting: Corpus) -> None:
    whole, state = run_with_patience(overfitting, 0), run_with_patience(overfitting, patience)
    finished(whole, overfitting)
    reports = list(train(state, overfitting.ids))
    nats = [nats for _, _, nats in whole.history]
    done = next(n for n in range(1, 20) if n - 1 - np.argmin(nats[:n]) == patience)
    assert len(nats) == 20
    assert state.history == whole.history[:done]
    assert state.step == 3 * done
    assert isinstance(reports[-1], EvalReport)
    assert state.best
    assert state.best.nats == min(nats[:done])
    assert state.best.step == 3 * (done - patience)


def test_a_run_ended_by_patience_continues_with_more_patience_only(overfitting: Corpus) -> None:
    ended = from_file(io.BytesIO(finished(run_with_patience(overfitting, 2), overfitting)))
    for longer in (ended.config, replace(ended.config, steps=90)):
        assert list(train(replace(ended, config=longer), overfitting.ids)) == []
    for patience in (4, 0):
        resumed = copy.deepcopy(ended)
        resumed.config = replace(ended.config, patience=patience)
        assert finished(resumed, overfitting) == finished(run_with_patience(overfitting, patience), overfitting)
