import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core import network as network_module
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import Cache, State
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids, distinct_symbols
from charrnn.evaluation import batched
from charrnn.evaluation.batched import CUT_WIDTH, MAX_STEPS, WIDTHS, BatchedScorer, Span, with_start_symbol
from charrnn.parallel import cores as cores_module
from tests.helpers.models import V, tiny_model
from tests.helpers.naive import naive_losses, network

START = 2


def random_ids(size: int) -> Ids:
    return np.random.default_rng(3).integers(0, V, size)


# ---- the losses of packed texts ----


@pytest.mark.parametrize("config", [{}, {"zoneout": 0.3}, {"ensemble": 2}, {"line_end": START}], ids=str)
@pytest.mark.parametrize("recurrence", CELLS)
def test_every_text_has_the_losses_that_it_has_alone(recurrence: str, config: dict[str, Any]) -> None:
    model = network(recurrence, 2, **config)
    texts = [random_ids(n) for n in (17, 0, 1, 2, 40, 5, 3, 16, 33)] * 2
    spans = [Span(ids, len(ids) // 3) for ids in texts]
    scorer = BatchedScorer(model, START)
    batch = scorer.pack(spans, scorer.invariant_width)
    assert [steps.stop for steps in scorer.score(batch)][-1] == len(batch.x)
    for i, (ids, skip) in enumerate(spans):
        nats, hits = batch.span_losses(i)
        assert nats.tolist() == pytest.approx(naive_losses(model, ids, START)[skip:], rel=1e-9)
        assert len(hits) == len(nats)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=60), st.integers(1, 4))
def test_neighbours_do_not_change_a_bit_of_the_losses(sizes: list[int], cores: int) -> None:
    model = tiny_model(dtype=np.float32, cell="gru", hidden_size=32, num_layers=2)
    scorer, texts = BatchedScorer(model, START), [Span(random_ids(n)) for n in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores_module, "limit", cores)
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        together = scorer.pack(texts, scorer.invariant_width)
        list(scorer.score(together))
    assert together.x.shape[1] <= scorer.invariant_width * cores
    for i in {0, len(texts) // 2, len(texts) - 1}:
        alone = scorer.pack([texts[i]], scorer.invariant_width)
        list(scorer.score(alone))
        for one, other in zip(together.span_losses(i), alone.span_losses(0), strict=True):
            np.testing.assert_array_equal(one, other)


def test_with_many_symbols_fewer_steps_are_computed_at_a_time_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer, spans = BatchedScorer(tiny_model(dtype=np.float32), START), [Span(random_ids(100))] * 8
    losses, spied, forward = [], [], CharRNN.forward

    def spy(self: CharRNN, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        spied.append((len(x), cache["logits"].shape))
        return forward(self, x, state, cache)

    monkeypatch.setattr(CharRNN, "forward", spy)
    for max_logits in (network_module.LOGITS, 5 * 4 * (V + 1)):
        monkeypatch.setattr(network_module, "LOGITS", max_logits)
        batch = scorer.pack(spans, 4)
        list(scorer.score(batch))
        losses.append(batch.nats)
    assert max(spied) == (MAX_STEPS, (MAX_STEPS, V + 1, 4))
    assert min(shape for _, shape in spied) == (5, V + 1, 4)
    np.testing.assert_array_equal(losses[0], losses[1])


def test_the_next_text_goes_to_the_column_with_the_fewest_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores_module, "limit", 2)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    sizes = [50, 1, 1, 1, 46, 2, 2, 48, 3, 3, 40, 5, 5]
    batch = BatchedScorer(tiny_model(), START).pack([Span(random_ids(n)) for n in sizes * 4], 16)
    assert len(batch.x) == 50
    assert np.count_nonzero(batch.y >= 0) == 4 * sum(sizes)


def test_the_start_symbol_is_never_predicted() -> None:
    model, ids = tiny_model(), random_ids(40)
    larger, start = with_start_symbol(model, START)
    x = np.concatenate([[start], ids])[:, None]
    logits, _ = larger.forward(
        x, [tuple(np.ones_like(h) for h in layer) for layer in larger.zero_state(1)], larger.cache(41, 1)
    )
    own, _ = model.forward(np.where(x == start, START, x), model.zero_state(1), model.cache(41, 1))
    np.testing.assert_allclose(logits[:, :-1], own, rtol=1e-12)
    assert (logits[:, -1] == -math.inf).all()
    of_lines = tiny_model(line_end=START)
    assert with_start_symbol(of_lines, START) == (of_lines, START)


# ---- the width at which bits do not depend on the column ----


class Uneven(CharRNN):
    """A model with products that have other bits from some column on, as those of some matrix libraries do."""

    even = 4

    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        logits, after = super().forward(x, state, cache)
        logits[..., self.even :] += 1e-6
        return logits, after


class UnevenSymbols(Uneven):
    """The same for the product of the input projection, with one column per symbol of a window."""

    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        logits, after = CharRNN.forward(self, x, state, cache)
        logits += 1e-6 * (distinct_symbols(x)[1] % x.shape[1] >= self.even)[:, None]
        return logits, after


@pytest.mark.parametrize("kind", [Uneven, UnevenSymbols])
def test_no_more_columns_are_computed_together_than_have_the_same_bits(kind: type[Uneven]) -> None:
    plain = tiny_model(dtype=np.float32, line_end=START)
    model = kind(plain.config, plain.vector)
    assert BatchedScorer(plain, START).invariant_width in WIDTHS
    assert BatchedScorer(model, START).invariant_width == 4
    model.even = 1
    assert BatchedScorer(model, START).invariant_width == 1


@pytest.mark.usefixtures("small_kernels")
@pytest.mark.parametrize(("hidden_size", "width"), [(20, 16), (120, CUT_WIDTH)])
def test_groups_are_wider_where_products_are_cut(hidden_size: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(dtype=np.float32, cell="gru", hidden_size=hidden_size)
    monkeypatch.setattr(batched, "is_invariant", lambda model, x: True)
    assert BatchedScorer(model, START).invariant_width == width
    monkeypatch.setattr(batched, "is_invariant", lambda model, x: x.shape[1] < 16)
    assert BatchedScorer(model, START).invariant_width == 8
