import math
import tracemalloc
from itertools import islice, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core import score as plain
from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.score import Score, read
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation import text
from charrnn.evaluation.text import CONTEXT, IDS_PER_BLOCK, MAX_SPANS, MIN_BATCHED, last, score, score_ids
from charrnn.parallel import cores as cores_module
from tests.helpers.models import V, tiny_model
from tests.helpers.naive import naive_losses, network

START = 2
SMALL = {"MIN_BATCHED": 40, "IDS_PER_BLOCK": 300, "MAX_SPANS": 7, "MIN_SPAN": 30, "CONTEXT": 20}
N = 2 * SMALL["IDS_PER_BLOCK"] + 43


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(text, name, value)


def random_ids(size: int = N, unknown: bool = False) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN if unknown else 0, V, size)


def naive_span_nats(model: CharRNN, ids: Ids) -> float:
    """The loss of a text that is cut into blocks, and each block into spans with the context before them."""
    nats = 0.0
    for block in range(0, len(ids), SMALL["IDS_PER_BLOCK"]):
        end = min(block + SMALL["IDS_PER_BLOCK"], len(ids))
        size = max(SMALL["MIN_SPAN"], math.ceil((end - block) / SMALL["MAX_SPANS"]))
        for begin in range(block, end, size):
            context = max(0, begin - SMALL["CONTEXT"])
            nats += sum(naive_losses(model, ids[context : min(begin + size, end)], START)[begin - context :])
    return nats


# ---- a short text ----


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, N), max_size=8))
def test_a_short_text_is_scored_as_one_stream_in_any_blocks(cuts: list[int]) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True).astype(np.int32)
    assert list(score(model, np.split(ids, sorted(cuts)), START)) == list(plain.score(model, [ids], START))


def test_a_text_without_a_known_character_has_no_score() -> None:
    nothing = np.empty(0, np.int64)
    assert list(score(tiny_model(), [], START)) == list(score(tiny_model(), [nothing, nothing], START)) == []
    assert list(score(tiny_model(), [np.full(9, UNKNOWN)], START)) == [Score(unknown=9)]


def test_the_score_of_ids_is_the_last_one() -> None:
    model, ids = tiny_model(), random_ids(unknown=True)
    *_, result = score(model, [ids], START)
    assert score_ids(model, [ids], START) == result
    assert score_ids(model, [np.full(9, UNKNOWN)], START) == Score(unknown=9)
    assert score_ids(model, [], START) == Score()


# ---- a long text in spans ----


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("recurrence", CELLS)
def test_a_long_text_has_the_losses_of_its_spans_after_their_context(recurrence: str) -> None:
    model, ids = network(recurrence, 2), random_ids()
    assert score_ids(model, [ids], START).nats == pytest.approx(naive_span_nats(model, ids), rel=1e-12)
    assert score_ids(model, [ids], START).nats != sum(naive_losses(model, ids, START))


@pytest.mark.parametrize("size", [MIN_BATCHED - 1, MIN_BATCHED])
def test_spans_have_the_loss_of_one_stream(size: int) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(size, unknown=True)
    result, stream = score_ids(model, [ids], START), last(r.score for r in read(model, [ids], START, 1024))
    assert result.nats_per_char == pytest.approx(stream.nats_per_char, rel=1e-5)
    assert (result.chars, result.unknown) == (stream.chars, stream.unknown)
    assert result.hits == pytest.approx(stream.hits, abs=3)
    assert (size >= MIN_BATCHED) or result == last(r.score for r in read(model, [ids], START, 256))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("unknown", [UNKNOWN, 0])
def test_unknown_characters_of_a_long_text_are_counted(unknown: int) -> None:
    model, ids = tiny_model(), random_ids(unknown=True)
    ids[:300] = unknown
    known = ids[ids != UNKNOWN]
    result = score_ids(model, [ids], START)
    assert (result.chars, result.unknown) == (len(known), len(ids) - len(known))
    assert result.nats == pytest.approx(sum(naive_losses(model, known, START)), rel=1e-3)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.lists(st.integers(0, N), max_size=8), st.sampled_from([1, 3, 8]))
def test_the_score_of_spans_does_not_depend_on_the_blocks_and_hardly_on_the_cores(cuts: list[int], cores: int) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(text, name, value)
        patch.setattr(cores_module, "limit", cores)
        expected = score_ids(model, [ids], START)
        result = score_ids(model, np.split(ids, sorted(cuts)), START)
        patch.setattr(cores_module, "limit", 2)
        elsewhere = score_ids(model, [ids], START)
    assert (result, result.pieces) == (expected, expected.pieces)
    assert elsewhere.nats == pytest.approx(result.nats, rel=1e-6)


@pytest.mark.usefixtures("small")
def test_an_endless_text_is_scored_as_it_arrives() -> None:
    scores = score(tiny_model(), repeat(random_ids(70)), START)
    assert max(result.chars for result in islice(scores, 40)) > 5 * SMALL["IDS_PER_BLOCK"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("size", [SMALL["MIN_BATCHED"] - 1, N])
def test_scores_that_are_not_finite_raise_a_clear_error(weight: float, size: int) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        score_ids(model, [random_ids(size)], START)


@pytest.mark.usefixtures("small")
def test_blocks_without_a_known_character_score_nothing() -> None:
    assert score_ids(tiny_model(), [np.full(N, UNKNOWN)], START) == Score(unknown=N)


def test_the_context_of_a_span_is_no_longer_than_a_span_of_a_whole_block() -> None:
    assert CONTEXT <= IDS_PER_BLOCK // MAX_SPANS


def test_ids_take_little_of_the_memory_of_a_score() -> None:
    model, chars = tiny_model(), 1 << 17
    ids = random_ids(chars).astype(np.uint8)
    score_ids(model, [ids[: MIN_BATCHED + 1]], START)  # imports and caches
    tracemalloc.start()
    score_ids(model, [ids], START)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * chars  # 12 for losses in float64 with the context, 5 for ids of one byte; 37 with ids of eight
