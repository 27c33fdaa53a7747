"""Scores compared with single predictions and with the evaluation in parts, and the sums that make a score."""

import math
from typing import Any

import numpy as np
import pytest

from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.score import MAX_PIECES, PIECE, WINDOW, Score, Tally, read, score, windows
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation import text
from tests.helpers.files import cell_settings
from tests.helpers.models import V, tiny_model

START = 2
N = 2 * WINDOW + 77
every_cell = pytest.mark.parametrize("cell", CELLS)
configs = pytest.mark.parametrize("config", [{}, {"zoneout": 0.3, "ensemble": 2}, {"line_end": START}], ids=str)


def model_of(cell: str, **config: Any) -> CharRNN:
    """Return a model with weights so small that relu does not overflow in a long text."""
    model = tiny_model(num_layers=2, **cell_settings(cell), **config)
    model.vector *= 0.5
    return model


def random_ids(size: int, low: int = 0) -> Ids:
    return np.random.default_rng(size).integers(low, V, size)


def naive_score(model: CharRNN, ids: Ids) -> Score:
    state, before, chars, nats, hits = model.zero_state(1), START, 0, 0.0, 0
    for i in ids[ids != UNKNOWN].tolist():
        logits, state = model.forward(np.array([[before]]), state, model.cache(1, 1))
        z = logits[0, :, 0].tolist()
        nats += math.log(sum(map(math.exp, z))) - z[i]
        hits += z[i] == max(z)
        chars, before = chars + 1, i
    return Score(chars, nats, hits, len(ids) - chars)


# ---- a text as one stream ----


@pytest.mark.parametrize("unknown", [False, True])
def test_a_score_is_the_sum_of_the_losses_of_single_predictions(unknown: bool) -> None:
    model, ids = tiny_model(num_layers=2), random_ids(N, UNKNOWN if unknown else 0)
    expected = naive_score(model, ids)
    *_, result = score(model, [ids], START)
    assert result.nats == pytest.approx(expected.nats, rel=1e-12)
    assert (result.chars, result.hits, result.unknown) == (expected.chars, expected.hits, expected.unknown)
    assert (result.unknown > 0) is unknown


def test_the_score_so_far_comes_after_each_window_and_the_model_does_not_change() -> None:
    model, ids = tiny_model(), random_ids(N)
    before = model.vector.copy()
    results = list(score(model, [ids], START))
    assert [result.chars for result in results] == [WINDOW, 2 * WINDOW, N]
    for result in results:
        assert result.nats == pytest.approx(naive_score(model, ids[: result.chars]).nats, rel=1e-12)
    np.testing.assert_array_equal(model.vector, before)


def test_a_text_without_a_known_character_has_no_score() -> None:
    nothing = np.empty(0, np.int64)
    assert list(score(tiny_model(), [], START)) == list(score(tiny_model(), [nothing, nothing], START)) == []
    (result,) = score(tiny_model(), [np.full(9, UNKNOWN)], START)
    assert result == Score(unknown=9)


@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
def test_scores_that_are_not_finite_raise_a_clear_error(weight: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(score(model, [random_ids(N)], START))


@pytest.mark.parametrize(
    ("cell", "config"),
    [*((cell, {}) for cell in CELLS), ("gru", {"zoneout": 0.3, "ensemble": 2}), ("lstm", {"line_end": START})],
    ids=str,
)
def test_a_long_text_has_the_score_of_the_evaluation_in_parts(cell: str, config: dict[str, Any]) -> None:
    model, ids = model_of(cell, **config), random_ids(18_000, UNKNOWN)  # read in parts by the evaluation
    *_, plain = score(model, [ids], START)
    fast = text.score_ids(model, [ids], START)
    assert plain.nats_per_char == pytest.approx(fast.nats_per_char, rel=0, abs=1e-5)
    assert (plain.chars, plain.unknown) == (fast.chars, fast.unknown)
    assert plain.unknown > 0


@configs
@every_cell
def test_a_short_text_has_the_same_score_to_the_bit(cell: str, config: dict[str, Any]) -> None:
    model, ids = model_of(cell, **config), random_ids(3 * WINDOW + 7, UNKNOWN)
    *_, plain = score(model, [ids], START)
    fast = text.score_ids(model, [ids], START)
    assert plain == fast
    assert plain.pieces == fast.pieces


@every_cell
def test_the_loss_is_that_of_one_pass_over_the_whole_text(cell: str) -> None:
    model, ids = model_of(cell), random_ids(2 * WINDOW + 5)
    logits, _ = model.forward(
        np.concatenate([[START], ids[:-1]])[:, None], model.zero_state(1), model.cache(len(ids), 1)
    )
    p = np.exp(logits[:, :, 0]) / np.exp(logits[:, :, 0]).sum(axis=1, keepdims=True)
    *_, result = score(model, [ids], START)
    assert result.nats == pytest.approx(-np.log(p[np.arange(len(ids)), ids]).sum(), rel=1e-12)
    assert (result.chars, result.hits) == (len(ids), int(np.count_nonzero(p.argmax(axis=1) == ids)))


@pytest.mark.parametrize("sizes", [[600], [1] * 600, [255, 1, 0, 300, 44], [256, 256, 88]])
def test_a_score_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    model, ids = model_of("gru"), random_ids(600)
    blocks = np.split(ids, np.cumsum(sizes)[:-1])
    assert list(score(model, blocks, START)) == list(score(model, [ids], START))
    assert [len(window) for window in windows(blocks, WINDOW)] == [256, 256, 88]
    np.testing.assert_array_equal(np.concatenate(list(windows(blocks, WINDOW))), ids)


def test_a_text_of_unknown_characters_scores_nothing() -> None:
    *_, last = read(model_of("rnn_tanh"), [np.full(300, UNKNOWN)], START)
    assert last.score == Score(chars=0, nats=0.0, hits=0, unknown=300)
    assert last.x.shape == (0, 1)


def test_a_model_that_has_diverged_has_no_score() -> None:
    model = model_of("lstm")
    model.params["head.b_y"][1] = math.nan
    with pytest.raises(DivergedError, match="diverged"):
        list(score(model, [random_ids(10)], START))


# ---- sums, means and pieces ----


def tallied(nats: list[float]) -> Score:
    tally = Tally()
    tally.add(np.array(nats), 0, 0)
    return tally.score


def test_means_are_over_the_scored_characters() -> None:
    result = Score(chars=4, nats=8 * math.log(2), hits=3, unknown=5)
    assert result.nats_per_char == 2 * math.log(2)
    assert result.bits_per_char == 2
    assert result.perplexity == pytest.approx(4)
    assert result.accuracy == 0.75
    assert math.isfinite(Score(chars=1, nats=1e9).perplexity or math.nan)
    empty = Score(unknown=9)
    assert (empty.nats_per_char, empty.bits_per_char, empty.perplexity, empty.accuracy) == (None, None, None, None)


def test_a_long_text_has_few_pieces_that_cover_all_of_it() -> None:
    rng, tally = np.random.default_rng(1), Tally()
    for n in [3, 700, PIECE, 40 * PIECE, 1] * 40:
        tally.add(rng.random(n), 1, 2)
        assert len(tally.pieces) <= MAX_PIECES
    total = tally.score
    assert sum(chars for chars, _ in total.pieces) == total.chars
    assert sum(nats for _, nats in total.pieces) == pytest.approx(total.nats, rel=1e-12)
    assert (total.hits, total.unknown) == (200, 400)
    sizes = [chars for chars, _ in total.pieces]
    assert max(sizes[:-1]) < 4 * min(sizes[:-1])


def test_scores_of_texts_add_up() -> None:
    one, two = tallied([1.0, 2.0]), tallied([3.0] * MAX_PIECES * PIECE)
    total = one + two
    assert total.chars == one.chars + two.chars
    assert total.nats == pytest.approx(one.nats + two.nats)
    assert sum(chars for chars, _ in total.pieces) == total.chars
    assert len(total.pieces) <= MAX_PIECES
    assert (one + Score(1, 1.0, None)).hits is None
    assert (Score(1, 1.0, 1, 2) + Score(3, 4.0, 5, 6)) == Score(4, 5.0, 6, 8)
