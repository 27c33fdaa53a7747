import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.format import to_bytes
from charrnn.core.cells import CELLS
from charrnn.core.errors import ResumeError, UsageError
from charrnn.core.model import CharRNN, initial_parameters
from charrnn.core.ops import Array
from charrnn.core.score import Score
from charrnn.core.state import TrainState
from charrnn.core.train import train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from charrnn.training import configure, defaults
from charrnn.training.configure import run_settings, start_bits, start_run, warm_start
from charrnn.training.defaults import Budget, default_lr
from tests.helpers.files import cell_settings, copy_of, corpus_of, plain, random_text, tiny_run
from tests.helpers.models import B, T

OLD = "bdf\n"
RUN: dict[str, Any] = {"batch_size": B, "seq_len": T, "seed": 3, "eval_every": 4}


def source_of(corpus: Corpus, **model: Any) -> TrainState:
    """Return a run with best weights that differ from the last ones."""
    state = tiny_run(corpus, {"num_layers": 2, **model}, val_fraction=0.5, lr=0.05)
    next(report for report in train(state, corpus.ids) if report.step == 7)
    assert state.best
    assert not np.array_equal(state.best.vector, state.model.vector)
    return state


def started_from(source: TrainState, text: str, min_count: int = 1) -> tuple[TrainState, Corpus]:
    corpus = corpus_of(text, min_count, source.vocab)
    return warm_start(source.best_model, source.vocab, "old.npz", corpus, RUN, Budget("steps", 9)), corpus


def rows_by_character(state: TrainState, model: CharRNN, name: str) -> dict[str, list[float]]:
    """Return the rows of a parameter by their characters, which must not change when the ids do."""
    array: Array = model.params[name]
    return {state.vocab.decode([i]): np.atleast_1d(row).tolist() for i, row in enumerate(array)}


@pytest.mark.parametrize("cell", CELLS)
def test_with_the_same_symbols_a_text_has_the_score_of_the_best_weights(cell: str) -> None:
    source = source_of(corpus_of(random_text(200, OLD)), **cell_settings(cell))
    state, corpus = started_from(source, random_text(300, OLD[:3], seed=1))
    assert state.vocab == source.vocab
    before, after = (
        score_ids(model, [corpus.ids], source.vocab.start_id) for model in (source.best_model, state.model)
    )
    assert before == after


def test_everything_except_the_network_is_new() -> None:
    source = source_of(corpus_of(random_text(200, OLD)), zoneout=0.25)
    state, corpus = started_from(source, random_text(300, OLD, seed=1))
    assert (state.config.steps, state.config.seed, state.origin.chars) == (9, 3, 300)
    fresh = start_run(source.model.config, state.config, corpus)
    fresh.init_from = "old.npz"
    fresh.model.vector[:] = source.best_model.vector
    np.testing.assert_equal(plain(state), plain(fresh))


@pytest.mark.parametrize(
    ("old", "old_count", "new", "new_count"),
    [
        (OLD, 1, "acegbz\n", 1),  # ids shift, and the text lacks two old symbols
        (OLD + "q", 2, "acegbz\n", 1),  # the id of the unknown symbol shifts too
        (OLD, 1, "acegbz\n" + "é", 2),  # a new unknown symbol
        (OLD + "q", 2, "acegbz\n" + "é", 2),
    ],
)
@pytest.mark.parametrize("name", ["embed.W", "head.W_hy", "head.b_y"])
def test_rows_move_with_their_characters_and_new_ones_are_initialised(
    name: str, old: str, old_count: int, new: str, new_count: int
) -> None:
    text = random_text(200, OLD) + old[4:]
    source = source_of(corpus_of(text, old_count))
    before = to_bytes(source)
    state, corpus = started_from(source, random_text(300, new[:7], seed=1) + new[7:], new_count)
    vector = initial_parameters(state.model.config, np.random.default_rng([3, 0, 0]))
    fresh = rows_by_character(state, CharRNN(state.model.config, vector), name)
    known = rows_by_character(source, source.best_model, name)
    assert {*known} | {*corpus.vocab.characters} == {*fresh}
    assert rows_by_character(state, state.model, name) == fresh | known
    assert to_bytes(source) == before


@pytest.mark.parametrize("cell", CELLS)
def test_new_symbols_do_not_change_the_logits_of_others(cell: str) -> None:
    source = source_of(corpus_of(random_text(200, OLD)), **cell_settings(cell))
    state, corpus = started_from(source, random_text(300, OLD + "ace"))
    text = "\nbfd\ndb"
    logits = []
    for model, vocab in ((source.best_model, source.vocab), (state.model, corpus.vocab)):
        x = vocab.encode(text)[:, None]
        output, _ = model.forward(x, model.zero_state(1), model.cache(len(x), 1))
        logits.append(output[:, vocab.encode(OLD), 0])
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-5, atol=1e-6)


def test_the_run_trains_and_its_file_is_whole() -> None:
    source = source_of(corpus_of(random_text(200, OLD)))
    state, corpus = started_from(source, random_text(300, OLD + "ace"))
    for _ in train(state, corpus.ids):
        pass
    again = copy_of(state)
    assert (again.step, again.init_from, len(again.vocab)) == (9, "old.npz", 7)


# ---- the learning rate ----


@pytest.mark.parametrize(
    ("optimizer", "bits", "lr"),
    [
        ("soap", math.inf, 7e-3),
        ("soap", 4.0, 7e-3),
        ("soap", 3.35, 4.2e-3),  # the geometric mean
        ("soap", 2.7, 2.5e-3),
        ("soap", 0.0, 2.5e-3),
        ("adamw", 4.0, 4e-3),
        ("adamw", 3.0, 1.4e-3),
        ("adamw", 2.7, 1e-3),
        ("sgd", 2.7, 4e-3),
    ],
)
def test_a_text_that_the_weights_know_is_learnt_at_a_lower_rate(optimizer: str, bits: float, lr: float) -> None:
    assert default_lr(optimizer, bits) == lr


def test_the_rate_of_a_run_follows_from_the_loss_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(corpus_of(random_text(200, OLD)))
    text = random_text(300, OLD, seed=1)
    corpus = corpus_of(text, 1, source.vocab)
    known = start_bits(source.best_model, source.vocab, corpus.vocab, corpus.ids[:270])  # the part to train on
    assert 1.5 < known < 2.5  # of four symbols
    assert started_from(source, text)[0].config.lr == 1e-3
    monkeypatch.setattr(defaults, "FAMILIAR", known - 1)
    monkeypatch.setattr(defaults, "STRANGE", known + 1)
    assert started_from(source, text)[0].config.lr == 2e-3
    assert started_from(source, "xyz" * 90)[0].config.lr == 4e-3
    monkeypatch.setitem(RUN, "lr", 0.5)
    assert started_from(source, text)[0].config.lr == 0.5


def test_the_loss_at_the_start_is_that_of_pieces_from_all_of_a_text_without_new_symbols(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(configure, "PIECE", 10)
    monkeypatch.setattr(configure, "PIECES", 3)
    source = source_of(corpus_of(random_text(200, OLD)))
    text = random_text(50, OLD + "ace", seed=1)
    corpus = corpus_of(text, 1, source.vocab)
    total = Score()
    for piece in (text[:10], text[20:30], text[40:]):
        known = source.vocab.encode("".join(each for each in piece if each in OLD))
        total += score_ids(source.best_model, [known], source.vocab.start_id)
    found = start_bits(source.best_model, source.vocab, corpus.vocab, corpus.ids)
    assert found == pytest.approx(total.bits_per_char, rel=1e-6)
    assert start_bits(source.best_model, source.vocab, corpus.vocab, corpus.vocab.encode("ac")) == math.inf


# ---- several networks from one ----


def ensemble_from(source: TrainState, **given: Any) -> tuple[TrainState, Corpus]:
    corpus = corpus_of(random_text(300, OLD, seed=1), 1, source.vocab)
    settings = RUN | {"ensemble": 3} | given
    return warm_start(source.best_model, source.vocab, "old.npz", corpus, settings, Budget("steps", 4)), corpus


def test_networks_that_start_from_the_same_weights_are_made_different_by_dropout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = source_of(corpus_of(random_text(200, OLD)))
    assert ensemble_from(source)[0].config.dropout == 0.3  # as for any text of this size
    monkeypatch.setattr(configure, "default_dropout", lambda chars: 0.0)
    assert ensemble_from(source, ensemble=1)[0].config.dropout == 0
    assert ensemble_from(source, variational_dropout=0.2)[0].config.dropout == 0
    state, corpus = ensemble_from(source)
    assert (state.config.dropout, len(state.model.networks)) == (0.05, 3)
    for network in state.model.networks:
        for name, W in network.params.items():
            np.testing.assert_array_equal(W, source.best_model.params[name])
    for _ in train(state, corpus.ids):
        pass
    first, second, third = (network.params["head.W_hy"] for network in state.model.networks)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


def test_without_dropout_they_would_stay_equal_which_is_refused() -> None:
    source = source_of(corpus_of(random_text(200, OLD)))
    with pytest.raises(UsageError, match="--dropout 0: networks that start from the same weights stay equal"):
        ensemble_from(source, dropout=0.0)


def test_an_ensemble_starts_as_many_networks_each_from_its_own() -> None:
    source = source_of(corpus_of(random_text(200, OLD)), ensemble=2)
    state, _ = started_from(source, random_text(300, OLD, seed=1))
    assert state.model.config.ensemble == 2
    np.testing.assert_array_equal(state.model.vector, source.best_model.vector)


# ---- settings ----


@pytest.fixture(scope="module")
def source() -> TrainState:
    return tiny_run(corpus_of(random_text(200, OLD)), {"zoneout": 0.25})


def test_settings_of_the_run_are_free_and_those_of_the_network_may_be_repeated(source: TrainState) -> None:
    run = {"lr": 0.5, "seq_len": 9, "min_count": 3}
    given = {"hidden_size": 4, "cell": "rnn", "zoneout": 0.25, "normalize": "none"}
    assert run_settings(given | run, source.model.config, source.vocab) == run
    assert run_settings({"ensemble": 2}, source.model.config, source.vocab) == {"ensemble": 2}
    ensemble = replace(source.model.config, ensemble=2)
    with pytest.raises(ResumeError, match="--ensemble was 2, not 3"):
        run_settings({"ensemble": 3}, ensemble, source.vocab)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden_size": 5, "lr": 0.5}, "--hidden-size was 4, not 5"),
        ({"cell": "gru", "activation": "relu"}, "--cell was rnn, not gru; --activation was tanh, not relu"),
        ({"zoneout": 0.0}, "--zoneout was 0.25, not 0.0"),
        ({"normalize": "nfd", "num_layers": 1}, "--normalize was none, not nfd"),
    ],
)
def test_another_network_is_refused_and_the_difference_named(
    given: dict[str, Any], words: str, source: TrainState
) -> None:
    with pytest.raises(ResumeError, match=f"--init-from cannot change the network: {words}: leave that out"):
        run_settings(given, source.model.config, source.vocab)


def test_lines_end_at_the_newline_even_if_its_id_changes() -> None:
    corpus = corpus_of(random_text(200, OLD))
    source = source_of(corpus, line_end=corpus.vocab.newline_id)
    state, grown = started_from(source, "\t" + random_text(300, OLD, seed=1))
    assert (source.model.config.line_end, state.model.config.line_end) == (0, 1)
    assert len(list(train(state, grown.ids)))


def test_a_network_of_lines_stays_one() -> None:
    corpus = corpus_of(random_text(200, OLD))
    source = source_of(corpus, line_end=corpus.vocab.newline_id)
    assert run_settings({"lines": True, "lr": 0.1}, source.model.config, source.vocab) == {"lr": 0.1}
    with pytest.raises(ResumeError, match="--lines was False, not True"):
        run_settings({"lines": True}, source_of(corpus).model.config, corpus.vocab)
