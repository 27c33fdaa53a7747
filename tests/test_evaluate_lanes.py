import math
from itertools import islice, repeat
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn import head, threads
from charrnn.cells import CELLS
from charrnn.cells.cell import Cache, State
from charrnn.errors import DivergedError
from charrnn.evaluate import Score, read, score, score_ids, text
from charrnn.evaluate.lanes import STEPS, WIDTHS, Lanes, Part, steady_width, with_start
from charrnn.evaluate.text import BLOCK, SHORT, WARM_UP, last
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids, alphabet
from charrnn.vocab import UNKNOWN
from tests.helpers.models import V, tiny_model
from tests.helpers.naive import network

START = 2
SMALL = {"SHORT": 40, "BLOCK": 300, "PARTS": 7, "SMALLEST": 30, "WARM_UP": 20}
N = 2 * SMALL["BLOCK"] + 43

every_cell = pytest.mark.parametrize("recurrence", CELLS)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(text, name, value)


def random_ids(size: int = N, unknown: bool = False) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN if unknown else 0, V, size)


def naive_costs(model: CharRNN, ids: Ids) -> list[float]:
    """What each character costs after all before it, one forward pass a character."""
    state, before, costs = model.zero_state(1), START, []
    for i in ids.tolist():
        logits, state = model.forward(np.array([[before]]), state, model.cache(1, 1))
        z = logits[0, :, 0].tolist()
        costs.append(math.log(sum(map(math.exp, z))) - z[i])
        before = i
    return costs


def naive_parts(model: CharRNN, ids: Ids) -> float:
    """A text cut into blocks, and each into parts, which begin with what stands before them."""
    nats = 0.0
    for block in range(0, len(ids), SMALL["BLOCK"]):
        end = min(block + SMALL["BLOCK"], len(ids))
        size = max(SMALL["SMALLEST"], math.ceil((end - block) / SMALL["PARTS"]))
        for begin in range(block, end, size):
            warm = max(0, begin - SMALL["WARM_UP"])
            nats += sum(naive_costs(model, ids[warm : min(begin + size, end)])[begin - warm :])
    return nats


# ---- lanes ----


@pytest.mark.parametrize("config", [{}, {"zoneout": 0.3}, {"ensemble": 2}, {"line_end": START}], ids=str)
@every_cell
def test_every_text_costs_what_it_costs_alone(recurrence: str, config: dict[str, Any]) -> None:
    model = network(recurrence, 2, **config)
    texts = [random_ids(n) for n in (17, 0, 1, 2, 40, 5, 3, 16, 33)] * 2
    parts = [Part(ids, len(ids) // 3) for ids in texts]
    lanes = Lanes(model, START)
    sheet = lanes.deal(parts, lanes.steady_width)
    assert [rows.stop for rows in lanes.read(sheet)][-1] == len(sheet.x)
    for i, (ids, skip) in enumerate(parts):
        nats, hits = sheet.costs(i)
        assert nats.tolist() == pytest.approx(naive_costs(model, ids)[skip:], rel=1e-9)
        assert len(hits) == len(nats)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=60), st.integers(1, 4), st.randoms())
def test_what_stands_beside_a_text_changes_no_bit_of_its_costs(sizes: list[int], cores: int, shuffled: object) -> None:
    model = tiny_model(dtype=np.float32, cell="gru", hidden_size=32, num_layers=2)
    lanes, texts = Lanes(model, START), [Part(random_ids(n)) for n in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "limit", cores)
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        together = lanes.deal(texts, lanes.steady_width)
        list(lanes.read(together))
    assert together.x.shape[1] <= lanes.steady_width * cores
    for i in {0, len(texts) // 2, len(texts) - 1}:
        alone = lanes.deal([texts[i]], lanes.steady_width)
        list(lanes.read(alone))
        for one, other in zip(together.costs(i), alone.costs(0), strict=True):
            np.testing.assert_array_equal(one, other)


def test_with_many_symbols_lanes_read_fewer_characters_at_once_and_no_bit_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lanes, parts, costs, spied = Lanes(tiny_model(dtype=np.float32), START), [Part(random_ids(100))] * 8, [], []
    forward = CharRNN.forward

    def spy(self: CharRNN, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        spied.append((len(x), cache["logits"].shape))
        return forward(self, x, state, cache)

    monkeypatch.setattr(CharRNN, "forward", spy)
    for block in (head.BLOCK, 5 * 4 * (V + 1)):
        monkeypatch.setattr(head, "BLOCK", block)
        sheet = lanes.deal(parts, 4)
        list(lanes.read(sheet))
        costs.append(sheet.nats)
    assert max(spied) == (STEPS, (STEPS, V + 1, 4))
    assert min(shape for _, shape in spied) == (5, V + 1, 4)
    np.testing.assert_array_equal(costs[0], costs[1])


def test_a_lane_is_given_the_next_text_when_it_has_least_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "limit", 2)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    sizes = [50, 1, 1, 1, 46, 2, 2, 48, 3, 3, 40, 5, 5]
    sheet = Lanes(tiny_model(), START).deal([Part(random_ids(n)) for n in sizes * 4], 16)
    assert len(sheet.x) == 50
    read = [np.count_nonzero(lane >= 0) for lane in sheet.y.T]
    assert sum(read) == 4 * sum(sizes)


def test_the_symbol_that_begins_a_text_is_never_expected() -> None:
    model, ids = tiny_model(), random_ids(40)
    larger, start = with_start(model, START)
    x = np.concatenate([[start], ids])[:, None]
    logits, _ = larger.forward(
        x, [tuple(np.ones_like(h) for h in layer) for layer in larger.zero_state(1)], larger.cache(41, 1)
    )
    own, _ = model.forward(np.where(x == start, START, x), model.zero_state(1), model.cache(41, 1))
    np.testing.assert_allclose(logits[:, :-1], own, rtol=1e-12)
    assert (logits[:, -1] == -math.inf).all()
    of_lines = tiny_model(line_end=START)
    assert with_start(of_lines, START) == (of_lines, START)


class Uneven(CharRNN):
    """A model whose products have other bits from some column on, as those of some matrix libraries do."""

    even = 4

    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        logits, after = super().forward(x, state, cache)
        logits[..., self.even :] += 1e-6
        return logits, after


def test_no_more_lanes_are_computed_together_than_have_the_same_bits() -> None:
    plain = tiny_model(dtype=np.float32)
    model = Uneven(plain.config, plain.vector)
    assert steady_width(plain, START) in WIDTHS
    assert steady_width(model, START) == 4
    model.even = 1
    assert steady_width(model, START) == 1


# ---- a long text in parts ----


@pytest.mark.usefixtures("small")
@every_cell
def test_a_long_text_costs_what_its_parts_cost_after_what_stands_before_them(recurrence: str) -> None:
    model, ids = network(recurrence, 2), random_ids()
    assert score_ids(model, [ids], START).nats == pytest.approx(naive_parts(model, ids), rel=1e-12)
    assert score_ids(model, [ids], START).nats != sum(naive_costs(model, ids))


@pytest.mark.parametrize("size", [SHORT - 1, SHORT])
def test_parts_cost_what_one_stream_does(size: int) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(size, unknown=True)
    result, stream = score_ids(model, [ids], START), last(r.score for r in read(model, [ids], START, 1024))
    assert result.nats_per_char == pytest.approx(stream.nats_per_char, rel=1e-5)
    assert (result.chars, result.unknown) == (stream.chars, stream.unknown)
    assert result.hits == pytest.approx(stream.hits, abs=3)
    assert (size >= SHORT) or result == last(r.score for r in read(model, [ids], START, 256))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("unknown", [UNKNOWN, 0])
def test_a_text_of_parts_counts_what_it_cannot_score(unknown: int) -> None:
    model, ids = tiny_model(), random_ids(unknown=True)
    ids[:300] = unknown
    known = ids[ids != UNKNOWN]
    result = score_ids(model, [ids], START)
    assert (result.chars, result.unknown) == (len(known), len(ids) - len(known))
    assert result.nats == pytest.approx(sum(naive_costs(model, known)), rel=1e-3)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.lists(st.integers(0, N), max_size=8), st.sampled_from([1, 3, 8]))
def test_the_score_of_parts_does_not_depend_on_how_a_text_arrives_nor_much_on_the_cores(
    cuts: list[int], cores: int
) -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(unknown=True).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(text, name, value)
        patch.setattr(threads, "limit", cores)
        expected = score_ids(model, [ids], START)
        result = score_ids(model, np.split(ids, sorted(cuts)), START)
        patch.setattr(threads, "limit", 2)
        elsewhere = score_ids(model, [ids], START)
    assert (result, result.pieces) == (expected, expected.pieces)
    assert elsewhere.nats == pytest.approx(result.nats, rel=1e-6)


def test_the_score_so_far_grows_to_that_of_the_whole() -> None:
    model, ids = tiny_model(dtype=np.float32), random_ids(SHORT + 100)
    results = list(score(model, [ids], START))
    chars = [result.chars for result in results]
    assert chars == sorted(chars)
    assert len(set(chars)) > 5
    assert chars[-1] == len(ids)
    for result in results:
        assert result.nats == pytest.approx(result.chars * results[-1].nats_per_char, rel=0.1)


@pytest.mark.usefixtures("small")
def test_a_text_without_end_is_read_as_it_comes() -> None:
    scores = score(tiny_model(), repeat(random_ids(70)), START)
    assert max(result.chars for result in islice(scores, 40)) > 5 * SMALL["BLOCK"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
def test_scores_of_parts_that_are_not_finite_stop_with_a_clear_error(weight: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        score_ids(model, [random_ids()], START)


@pytest.mark.usefixtures("small")
def test_blocks_without_a_known_character_score_nothing() -> None:
    assert score_ids(tiny_model(), [np.full(N, UNKNOWN)], START) == Score(unknown=N)


def test_a_part_is_warm_before_it_is_scored() -> None:
    assert WARM_UP <= BLOCK // text.PARTS


class UnevenSymbols(Uneven):
    """The same for the products that look symbols up, whose columns are the symbols of a window."""

    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        logits, after = CharRNN.forward(self, x, state, cache)
        logits += 1e-6 * (alphabet(x)[1] % x.shape[1] >= self.even)[:, None]
        return logits, after


def test_nor_than_have_the_same_bits_wherever_a_symbol_stands_in_its_window() -> None:
    plain = tiny_model(dtype=np.float32)
    model = UnevenSymbols(plain.config, plain.vector)
    assert steady_width(model, START) == 4
    model.even = 1
    assert steady_width(model, START) == 1
