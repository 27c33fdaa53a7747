import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError, UsageError
from charrnn.core.sample import DIVERGED, FILTERS, Logits, chain, check_filters, generate, nats, pick, sample_rng
from charrnn.sampling import batched
from tests.helpers.files import cell_settings
from tests.helpers.models import tiny_model

LOGITS = np.array([[0.3, -1.2, 2.0, -math.inf, 0.0, 1.1, -3.0]])
V = LOGITS.shape[1]

NEARLY = (1 - 1e-9, 1 + 1e-9)

logits = st.lists(st.integers(-1000, 1000).map(lambda n: n / 64), min_size=1, max_size=12)
filter_settings = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.1, 0.8, 1.0, 3.0]),
        "top_k": st.integers(1, 14),
        "top_p": st.floats(0.001, 1),
        "min_p": st.floats(0, 1),
    },
)


def shifted(z: Logits) -> Logits:
    """Shift each row so that its largest logit is 0, as filters after the temperature expect."""
    return np.array(z - z.max(axis=1, keepdims=True))


def softmax(z: Logits) -> Logits:
    odds = np.exp(z - z.max(axis=1, keepdims=True))
    return np.array(odds / odds.sum(axis=1, keepdims=True))


LEAST: dict[str, Callable[[list[float], Any], float]] = {  # the smallest odds kept, from all odds in descending order
    "top_k": lambda odds, k: odds[min(k, len(odds)) - 1],
    "top_p": lambda odds, p: next(o for n, o in enumerate(odds) if sum(odds[: n + 1]) >= p * sum(odds)),
    "min_p": lambda odds, p: p * odds[0],
}


def naive(z: list[float], options: dict[str, Any]) -> list[float]:
    """Return probabilities after the filters, computed from a sorted list of candidates."""
    if "allowed" in options:
        z = [value if allowed else -math.inf for value, allowed in zip(z, options["allowed"], strict=True)]
    if options.get("temperature") == 0:
        return [float(i == z.index(max(z))) for i in range(len(z))]
    odds = [math.exp((value - max(z)) / options.get("temperature", 1)) for value in z]
    for name in LEAST:
        if name in options:
            least = LEAST[name](sorted(odds, reverse=True), options[name])
            odds = [o if o >= least else 0.0 for o in odds]
    return [o / sum(odds) for o in odds]


def near_an_edge(z: list[float], options: dict[str, Any]) -> bool:
    """Return whether rounding could decide which characters are kept."""
    below, above = (
        {**options, **{name: min(1, options[name] * by) for name in options if name[-1] == "p"}} for by in NEARLY
    )
    return [p > 0 for p in naive(z, below)] != [p > 0 for p in naive(z, above)]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(logits, filter_settings, st.randoms(use_true_random=False))
def test_the_chain_of_filters_equals_a_naive_reference(z: list[float], options: dict[str, Any], random: Any) -> None:
    if random.random() < 0.5:
        allowed = [random.random() < 0.7 for _ in z]
        options = options | {"allowed": np.array(allowed)} if any(allowed) else options
    assume(not near_an_edge(z, options))
    with np.errstate(over="ignore"):
        filtered = chain(options)(np.array([z], float))
    p = softmax(filtered)[0]
    assert_allclose(p, naive(z, options), rtol=1e-9, atol=1e-12)
    assert filtered.max() == 0
    assert p.sum() == pytest.approx(1)


VALUES = {"allowed": np.arange(V) % 3 > 0, "temperature": 0.7, "top_k": 3, "top_p": 0.6, "min_p": 0.2}
every_filter = pytest.mark.parametrize("name", FILTERS)


@every_filter
def test_a_filter_keeps_the_order_of_logits_and_changes_no_argument(name: str) -> None:
    z = shifted(np.random.default_rng(1).normal(0, 2, (4, V)))
    before = z.copy()
    after = FILTERS[name].apply(z, VALUES[name])
    assert_array_equal(z, before)
    for row, result in zip(z, after, strict=True):
        left = np.flatnonzero(result > -math.inf)
        assert 0 < len(left) < V or name == "temperature"
        assert_array_equal(np.argsort(row[left]), np.argsort(result[left]))


@every_filter
def test_each_row_is_filtered_independently(name: str) -> None:
    z = shifted(np.random.default_rng(2).normal(0, 2, (4, V)))
    rows = [FILTERS[name].apply(row[None], VALUES[name])[0] for row in z]
    assert_array_equal(FILTERS[name].apply(z, VALUES[name]), rows)


TIED = np.log([[2, 8, 4, 8, 1, 1]]) - np.log(8)


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("top_k", 1, {1, 3}),  # equal logits are kept or excluded together
        ("top_k", 2, {1, 3}),
        ("top_k", 3, {1, 2, 3}),
        ("top_k", 5, {0, 1, 2, 3, 4, 5}),
        ("top_k", 6, {0, 1, 2, 3, 4, 5}),
        ("top_k", 10**9, {0, 1, 2, 3, 4, 5}),
        ("top_p", 5e-324, {1, 3}),
        ("top_p", 0.6666, {1, 3}),
        ("top_p", 0.6667, {1, 2, 3}),
        ("top_p", np.nextafter(1, 0), {0, 1, 2, 3, 4, 5}),
        ("top_p", 1.0, {0, 1, 2, 3, 4, 5}),
        ("min_p", 0.0, {0, 1, 2, 3, 4, 5}),
        ("min_p", 0.1251, {0, 1, 2, 3}),
        ("min_p", 0.5, {1, 2, 3}),
        ("min_p", 1.0, {1, 3}),
        ("temperature", 0, {1}),
        ("temperature", 5e-324, {1, 3}),
    ],
)
@np.errstate(over="ignore")
def test_limits_of_filters_are_exact(name: str, value: float, left: set[int]) -> None:
    after = FILTERS[name].apply(TIED, value)
    assert set(np.flatnonzero(after[0] > -math.inf)) == left


@pytest.mark.parametrize(("p", "left"), [(0.5, 1), (0.50001, 2), (0.75, 2), (0.8, 3), (0.875, 3), (0.876, 4)])
def test_top_p_keeps_the_smallest_set_of_that_probability(p: float, left: int) -> None:
    z = np.log([[0.5, 0.25, 0.125, 0.12499999]]) - np.log(0.5)
    assert np.count_nonzero(FILTERS["top_p"].apply(z, p) > -math.inf) == left


def test_filters_that_exclude_nothing_return_the_same_logits() -> None:
    for name, value in (("top_p", 1), ("min_p", 0), ("top_k", V)):
        assert_array_equal(FILTERS[name].apply(LOGITS, value), LOGITS)


@pytest.mark.parametrize("scale", [1, 1e300])
@np.errstate(over="ignore")
def test_a_tiny_temperature_takes_the_largest_logit(scale: float) -> None:
    for temperature in (1e-300, 5e-324, 1e-3):
        assert pick(chain({"temperature": temperature})(LOGITS * scale), np.array([0.999])) == [2]


# ---- drawing ----


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"temperature": 3.0, "top_p": 0.9}, {"top_k": 3}, VALUES]
)
def test_ids_are_drawn_with_their_probabilities(options: dict[str, Any]) -> None:
    draws, p = 100_000, np.array(naive(LOGITS[0].tolist(), options))
    drawn = pick(np.repeat(chain(options)(LOGITS), draws, axis=0), np.random.default_rng(4).random(draws))
    counts, expected = np.bincount(drawn, minlength=V), draws * p
    assert counts[p == 0].sum() == 0
    chi_square = ((counts - expected)[p > 0] ** 2 / expected[p > 0]).sum()
    assert chi_square < 20.5  # with at most 5 degrees of freedom, one of a thousand correct runs is above


@pytest.mark.parametrize(("number", "drawn"), [(0.0, 1), (np.nextafter(1, 0), 4)])
def test_the_smallest_and_largest_numbers_draw_possible_ids(number: float, drawn: int) -> None:
    z = np.array([[-math.inf, 0, -math.inf, 0, last, -math.inf] for last in np.linspace(-30, 0, 99)])
    assert_array_equal(pick(z, np.full(99, number)), np.full(99, drawn))


@pytest.mark.parametrize("temperature", [0, 1e-3, 1, 2])
@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_a_logit_that_is_not_finite_affects_its_own_row_only(logit: float, temperature: float) -> None:
    z = np.array([[0.0, 1, 9], [0, logit, 1], [9, 1, 0]])
    with np.errstate(invalid="ignore"):
        drawn = pick(chain({"temperature": temperature})(z), np.array([0.9, 0.5, 0.0]))
    assert drawn.tolist() == [2, DIVERGED, 0]


def test_nats_are_the_negative_log_probabilities_of_unfiltered_logits() -> None:
    z = np.random.default_rng(3).normal(0, 400, (5, V))
    ids = np.array([0, 6, 2, 2, 5])
    expected = [
        math.log(sum(math.exp(x - max(row)) for x in row)) + max(row) - row[i] for row, i in zip(z, ids, strict=True)
    ]
    assert_allclose(nats(z, ids), expected, rtol=1e-12, atol=1e-12)


# ---- values of filters ----


@pytest.mark.parametrize(
    ("name", "values", "needs"),
    [
        ("temperature", [math.nan, math.inf, -math.inf, -0.1], "0 "),
        ("top_k", [0, -1], "at least 1"),
        ("top_p", [0, -0.1, 1.0001, math.nan, math.inf], "above 0 and at most 1"),
        ("min_p", [-0.1, 1.0001, math.nan, math.inf], "0 to 1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_name_of_its_option(
    name: str, values: list[float], needs: str
) -> None:
    check_filters({name: VALUES[name]})
    for value in values:
        with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} {value}: must be {needs}"):
            check_filters({name: value})


# ---- the plain loop ----

PROMPT = np.array([1, 5, 3])
every_cell = pytest.mark.parametrize("cell", CELLS)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"temperature": 0},
        {"temperature": 0.7, "top_p": 0.9},
        {"top_k": 3, "min_p": 0.05, "allowed": np.arange(7) != 2},
    ],
    ids=["unfiltered", "greedy", "top_p", "top_k, min_p and an alphabet"],
)
@pytest.mark.parametrize("config", [{}, {"zoneout": 0.3, "line_end": 2, "ensemble": 2}], ids=str)
@every_cell
def test_the_plain_loop_and_the_fast_one_draw_the_same_ids(
    cell: str, config: dict[str, Any], filters: dict[str, Any]
) -> None:
    model = tiny_model(num_layers=2, dtype=np.float32, **cell_settings(cell), **config)
    plain, fast = (
        list(islice(loop(model, PROMPT, sample_rng(3, 1), filters), 300)) for loop in (generate, batched.generate)
    )
    assert plain == fast
    assert len(set(plain)) > 1 or filters.get("temperature") == 0


@every_cell
def test_the_plain_loop_draws_each_id_from_the_logits_after_the_whole_text(cell: str) -> None:
    model, rng = tiny_model(**cell_settings(cell)), np.random.default_rng(6)
    drawn = list(islice(generate(model, PROMPT, np.random.default_rng(6), {"temperature": 0.8}), 40))
    text = np.concatenate([PROMPT, drawn])
    logits, _ = model.forward(text[:, None], model.zero_state(1), model.cache(len(text), 1))
    expected = pick(chain({"temperature": 0.8})(np.array(logits[len(PROMPT) - 1 : -1, :, 0], float)), rng.random(40))
    assert_array_equal(drawn, expected)


def test_the_plain_loop_refuses_wrong_filters_and_a_diverged_model() -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match="--top-k 0"):
        next(generate(model, PROMPT, sample_rng(0, 0), {"top_k": 0}))
    model.params["head.b_y"][0] = math.nan
    with pytest.raises(DivergedError, match="diverged"):
        next(generate(model, PROMPT, sample_rng(0, 0), {}))
