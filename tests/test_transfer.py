from typing import Any

import numpy as np
import pytest

from charrnn.cells import CELLS
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.config import Budget
from charrnn.corpus import Corpus
from charrnn.errors import ResumeError
from charrnn.evaluate import score_ids
from charrnn.model import CharRNN, initial_parameters
from charrnn.ops import Array
from charrnn.train import new_run, train
from charrnn.transfer import run_from, without_network
from tests.helpers.files import cell_settings, copy_of, corpus_of, plain, random_text, tiny_run
from tests.helpers.models import B, T

OLD = "bdf\n"
RUN: dict[str, Any] = {"batch_size": B, "seq_len": T, "seed": 3, "eval_every": 4}


def source_of(corpus: Corpus, **model: Any) -> Checkpoint:
    """A run whose best weights are not its last ones."""
    checkpoint = tiny_run(corpus, {"num_layers": 2, **model}, val_fraction=0.5, lr=0.05)
    next(report for report in train(checkpoint, corpus.ids) if report.step == 7)
    assert checkpoint.best
    assert not np.array_equal(checkpoint.best.vector, checkpoint.model.vector)
    return checkpoint


def begun(source: Checkpoint, text: str, min_count: int = 1) -> tuple[Checkpoint, Corpus]:
    corpus = corpus_of(text, min_count, source.vocab)
    return run_from(source.trained, "old.npz", corpus, RUN, Budget("steps", 9)), corpus


def rows_by_character(checkpoint: Checkpoint, model: CharRNN, name: str) -> dict[str, list[float]]:
    """A row a symbol, found by the character it stands for: what must not change, whatever the ids do."""
    array: Array = model.params[name]
    return {checkpoint.vocab.decode([i]): np.atleast_1d(row).tolist() for i, row in enumerate(array)}


@pytest.mark.parametrize("cell", CELLS)
def test_with_the_same_symbols_it_scores_a_text_as_the_best_weights_did(cell: str) -> None:
    source = source_of(corpus_of(random_text(200, OLD)), **cell_settings(cell))
    checkpoint, corpus = begun(source, random_text(300, OLD[:3], seed=1))
    assert checkpoint.vocab == source.vocab
    before, after = (
        score_ids(model, [corpus.ids], source.vocab.start_id) for model in (source.trained.model, checkpoint.model)
    )
    assert before == after


def test_all_but_the_network_begins_anew() -> None:
    source = source_of(corpus_of(random_text(200, OLD)), zoneout=0.25)
    checkpoint, corpus = begun(source, random_text(300, OLD, seed=1))
    assert (checkpoint.train.steps, checkpoint.train.seed, checkpoint.origin.chars) == (9, 3, 300)
    fresh = new_run(source.model.config, checkpoint.train, corpus)
    fresh.init_from = "old.npz"
    fresh.model.vector[:] = source.trained.model.vector
    np.testing.assert_equal(plain(checkpoint), plain(fresh))


@pytest.mark.parametrize(
    ("old", "old_count", "new", "new_count"),
    [
        (OLD, 1, "acegbz\n", 1),  # ids shift, and two old symbols are missing in the text
        (OLD + "q", 2, "acegbz\n", 1),  # an unknown symbol, whose id shifts too
        (OLD, 1, "acegbz\n" + "é", 2),  # one that is new
        (OLD + "q", 2, "acegbz\n" + "é", 2),
    ],
)
@pytest.mark.parametrize("name", ["embed.W", "head.W_hy", "head.b_y"])
def test_rows_move_with_their_characters_and_new_ones_are_fresh(
    name: str, old: str, old_count: int, new: str, new_count: int
) -> None:
    text = random_text(200, OLD) + old[4:]
    source = source_of(corpus_of(text, old_count))
    before = to_bytes(source)
    checkpoint, corpus = begun(source, random_text(300, new[:7], seed=1) + new[7:], new_count)
    vector = initial_parameters(checkpoint.model.config, np.random.default_rng([3, 0, 0]))
    fresh = rows_by_character(checkpoint, CharRNN(checkpoint.model.config, vector), name)
    known = rows_by_character(source, source.trained.model, name)
    assert {*known} | {*corpus.vocab.characters} == {*fresh}
    assert rows_by_character(checkpoint, checkpoint.model, name) == fresh | known
    assert to_bytes(source) == before


@pytest.mark.parametrize("cell", CELLS)
def test_new_symbols_leave_the_others_logits_as_they_were(cell: str) -> None:
    source = source_of(corpus_of(random_text(200, OLD)), **cell_settings(cell))
    checkpoint, corpus = begun(source, random_text(300, OLD + "ace"))
    text = "\nbfd\ndb"
    logits = []
    for model, vocab in ((source.trained.model, source.vocab), (checkpoint.model, corpus.vocab)):
        x = vocab.encode(text)[:, None]
        told, _ = model.forward(x, model.zero_state(1), model.cache(len(x), 1))
        logits.append(told[:, vocab.encode(OLD), 0])
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-5, atol=1e-6)


def test_it_learns_on_and_its_file_is_whole() -> None:
    source = source_of(corpus_of(random_text(200, OLD)))
    checkpoint, corpus = begun(source, random_text(300, OLD + "ace"))
    for _ in train(checkpoint, corpus.ids):
        pass
    again = copy_of(checkpoint)
    assert (again.step, again.init_from, len(again.vocab)) == (9, "old.npz", 7)


# ---- what it may not change ----


@pytest.fixture(scope="module")
def source() -> Checkpoint:
    return tiny_run(corpus_of(random_text(200, OLD)), {"zoneout": 0.25})


def test_settings_of_the_run_are_free_and_those_of_the_network_may_be_said_again(source: Checkpoint) -> None:
    run = {"lr": 0.5, "seq_len": 9, "min_count": 3}
    said = {"hidden_size": 4, "cell": "rnn", "zoneout": 0.25, "normalize": "none"}
    assert without_network(said | run, source.trained) == run


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
    given: dict[str, Any], words: str, source: Checkpoint
) -> None:
    with pytest.raises(ResumeError, match=f"--init-from cannot change the network: {words}: leave that out"):
        without_network(given, source.trained)


def test_lines_end_at_the_newline_wherever_its_id_has_moved_to() -> None:
    corpus = corpus_of(random_text(200, OLD))
    source = source_of(corpus, line_end=corpus.vocab.newline_id)
    checkpoint, grown = begun(source, "\t" + random_text(300, OLD, seed=1))
    assert (source.model.config.line_end, checkpoint.model.config.line_end) == (0, 1)
    assert len(list(train(checkpoint, grown.ids)))


def test_a_network_of_lines_stays_one() -> None:
    corpus = corpus_of(random_text(200, OLD))
    source = source_of(corpus, line_end=corpus.vocab.newline_id)
    assert without_network({"lines": True, "lr": 0.1}, source.trained) == {"lr": 0.1}
    with pytest.raises(ResumeError, match="--lines was False, not True"):
        without_network({"lines": True}, source_of(corpus).trained)
