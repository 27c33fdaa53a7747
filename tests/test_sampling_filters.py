import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.errors import UsageError
from charrnn.sampling.filters import DIVERGED, FILTERS, Logits, alphabet, chain, check_filters, nats, pick
from charrnn.vocab import Vocab, codes_of

LOGITS = np.array([[0.3, -1.2, 2.0, -math.inf, 0.0, 1.1, -3.0]])
V = LOGITS.shape[1]

NEARLY = (1 - 1e-9, 1 + 1e-9)

logits = st.lists(st.integers(-1000, 1000).map(lambda n: n / 64), min_size=1, max_size=12)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.1, 0.8, 1.0, 3.0]),
        "top_k": st.integers(1, 14),
        "top_p": st.floats(0.001, 1),
        "min_p": st.floats(0, 1),
    },
)


def shifted(z: Logits) -> Logits:
    """The largest of each row is 0, as filters after the temperature expect."""
    return np.array(z - z.max(axis=1, keepdims=True))


def softmax(z: Logits) -> Logits:
    odds = np.exp(z - z.max(axis=1, keepdims=True))
    return np.array(odds / odds.sum(axis=1, keepdims=True))


LEAST: dict[str, Callable[[list[float], Any], float]] = {  # of what is left, from all odds, the largest first
    "top_k": lambda odds, k: odds[min(k, len(odds)) - 1],
    "top_p": lambda odds, p: next(o for n, o in enumerate(odds) if sum(odds[: n + 1]) >= p * sum(odds)),
    "min_p": lambda odds, p: p * odds[0],
}


def naive(z: list[float], wish: dict[str, Any]) -> list[float]:
    """Probabilities after the filters, worked out on a sorted list of candidates."""
    if "allowed" in wish:
        z = [value if allowed else -math.inf for value, allowed in zip(z, wish["allowed"], strict=True)]
    if wish.get("temperature") == 0:
        return [float(i == z.index(max(z))) for i in range(len(z))]
    odds = [math.exp((value - max(z)) / wish.get("temperature", 1)) for value in z]
    for name in LEAST:
        if name in wish:
            least = LEAST[name](sorted(odds, reverse=True), wish[name])
            odds = [o if o >= least else 0.0 for o in odds]
    return [o / sum(odds) for o in odds]


def near_an_edge(z: list[float], wish: dict[str, Any]) -> bool:
    """Whether rounding could decide which characters are left."""
    below, above = ({**wish, **{name: min(1, wish[name] * by) for name in wish if name[-1] == "p"}} for by in NEARLY)
    return [p > 0 for p in naive(z, below)] != [p > 0 for p in naive(z, above)]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(logits, wishes, st.randoms(use_true_random=False))
def test_filters_in_their_order_equal_a_naive_reference(z: list[float], wish: dict[str, Any], random: Any) -> None:
    if random.random() < 0.5:
        allowed = [random.random() < 0.7 for _ in z]
        wish = wish | {"allowed": np.array(allowed)} if any(allowed) else wish
    assume(not near_an_edge(z, wish))
    with np.errstate(over="ignore"):
        filtered = chain(wish)(np.array([z], float))
    p = softmax(filtered)[0]
    assert_allclose(p, naive(z, wish), rtol=1e-9, atol=1e-12)
    assert filtered.max() == 0
    assert p.sum() == pytest.approx(1)


VALUES = {"allowed": np.arange(V) % 3 > 0, "temperature": 0.7, "top_k": 3, "top_p": 0.6, "min_p": 0.2}
every_filter = pytest.mark.parametrize("name", FILTERS)


@every_filter
def test_a_filter_keeps_the_order_of_what_it_leaves_and_changes_nothing_that_it_is_given(name: str) -> None:
    z = shifted(np.random.default_rng(1).normal(0, 2, (4, V)))
    before = z.copy()
    after = FILTERS[name].apply(z, VALUES[name])
    assert_array_equal(z, before)
    for row, result in zip(z, after, strict=True):
        left = np.flatnonzero(result > -math.inf)
        assert 0 < len(left) < V or name == "temperature"
        assert_array_equal(np.argsort(row[left]), np.argsort(result[left]))


@every_filter
def test_each_text_is_filtered_as_if_it_were_alone(name: str) -> None:
    z = shifted(np.random.default_rng(2).normal(0, 2, (4, V)))
    alone = [FILTERS[name].apply(row[None], VALUES[name])[0] for row in z]
    assert_array_equal(FILTERS[name].apply(z, VALUES[name]), alone)


TIED = np.log([[2, 8, 4, 8, 1, 1]]) - np.log(8)


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("top_k", 1, {1, 3}),  # equals stay together
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
def test_edges_are_exact(name: str, value: float, left: set[int]) -> None:
    after = FILTERS[name].apply(TIED, value)
    assert set(np.flatnonzero(after[0] > -math.inf)) == left


@pytest.mark.parametrize(("p", "left"), [(0.5, 1), (0.50001, 2), (0.75, 2), (0.8, 3), (0.875, 3), (0.876, 4)])
def test_top_p_leaves_the_fewest_that_make_it_up(p: float, left: int) -> None:
    z = np.log([[0.5, 0.25, 0.125, 0.12499999]]) - np.log(0.5)
    assert np.count_nonzero(FILTERS["top_p"].apply(z, p) > -math.inf) == left


def test_top_p_and_min_p_of_nothing_are_the_very_logits() -> None:
    for name, value in (("top_p", 1), ("min_p", 0), ("top_k", V)):
        assert_array_equal(FILTERS[name].apply(LOGITS, value), LOGITS)


@pytest.mark.parametrize("scale", [1, 1e300])
@np.errstate(over="ignore")
def test_a_tiny_temperature_takes_the_largest(scale: float) -> None:
    for temperature in (1e-300, 5e-324, 1e-3):
        assert pick(chain({"temperature": temperature})(LOGITS * scale), np.array([0.999])) == [2]


# ---- the draw ----


@pytest.mark.parametrize("wish", [{}, {"temperature": 0.7}, {"temperature": 3.0, "top_p": 0.9}, {"top_k": 3}, VALUES])
def test_characters_come_as_often_as_they_are_likely(wish: dict[str, Any]) -> None:
    draws, p = 100_000, np.array(naive(LOGITS[0].tolist(), wish))
    drawn = pick(np.repeat(chain(wish)(LOGITS), draws, axis=0), np.random.default_rng(4).random(draws))
    counts, expected = np.bincount(drawn, minlength=V), draws * p
    assert counts[p == 0].sum() == 0
    chi_square = ((counts - expected)[p > 0] ** 2 / expected[p > 0]).sum()
    assert chi_square < 20.5  # of 5 degrees of freedom at most: one fair run in a thousand is above


@pytest.mark.parametrize(("number", "drawn"), [(0.0, 1), (np.nextafter(1, 0), 4)])
def test_the_ends_of_the_draw_fall_on_possible_characters(number: float, drawn: int) -> None:
    z = np.array([[-math.inf, 0, -math.inf, 0, last, -math.inf] for last in np.linspace(-30, 0, 99)])
    assert_array_equal(pick(z, np.full(99, number)), np.full(99, drawn))


@pytest.mark.parametrize("temperature", [0, 1e-3, 1, 2])
@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_one_logit_that_is_no_number_spoils_its_own_row_alone(logit: float, temperature: float) -> None:
    z = np.array([[0.0, 1, 9], [0, logit, 1], [9, 1, 0]])
    with np.errstate(invalid="ignore"):
        drawn = pick(chain({"temperature": temperature})(z), np.array([0.9, 0.5, 0.0]))
    assert drawn.tolist() == [2, DIVERGED, 0]


def test_nats_are_what_a_character_costs_before_any_filter() -> None:
    z = np.random.default_rng(3).normal(0, 400, (5, V))
    ids = np.array([0, 6, 2, 2, 5])
    expected = [
        math.log(sum(math.exp(x - max(row)) for x in row)) + max(row) - row[i] for row, i in zip(z, ids, strict=True)
    ]
    assert_allclose(nats(z, ids), expected, rtol=1e-12, atol=1e-12)


# ---- values that make sense ----


@pytest.mark.parametrize(
    ("name", "values", "needs"),
    [
        ("temperature", [math.nan, math.inf, -math.inf, -0.1], "0 "),
        ("top_k", [0, -1], "at least 1"),
        ("top_p", [0, -0.1, 1.0001, math.nan, math.inf], "above 0 and at most 1"),
        ("min_p", [-0.1, 1.0001, math.nan, math.inf], "0 to 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_option(
    name: str, values: list[float], needs: str
) -> None:
    check_filters({name: VALUES[name]})
    for value in values:
        with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} {value}: must be {needs}"):
            check_filters({name: value})


def vocab(text: str, unknown: bool = False, normalize: str = "none") -> Vocab:
    return Vocab(np.unique(codes_of(text)), unknown, normalize)


@pytest.mark.parametrize(
    ("keep", "ban", "unknown", "left"),
    [
        (None, "", False, None),
        (None, "", True, "abcd"),
        ("ad", "", True, "ad"),
        ("aad", "d", False, "a"),
        (None, "dd", False, "abc"),
        ("abcd", "", False, None),
    ],
)
def test_an_alphabet_is_what_is_kept_without_what_is_banned(
    keep: str | None, ban: str, unknown: bool, left: str | None
) -> None:
    allowed = alphabet(vocab("abcd", unknown), keep, ban)
    assert (left and "".join("abcd"[i] for i in np.flatnonzero(np.array(allowed)))) == left
    assert (allowed is None) == (left is None)


@pytest.mark.parametrize("unknown", [False, True])
def test_an_alphabet_of_characters_that_the_model_lacks_or_of_none_is_refused(unknown: bool) -> None:
    known = vocab("ab", unknown)
    for keep, ban, told in (
        ("aé", "", r"^--only: .*U\+00E9 é"),
        (None, "☃", r"^--ban: .*U\+2603"),
        ("ab", "ba", "leave no character"),
        (None, "ab", "leave no character"),
        ("", "", "leave no character"),
    ):
        with pytest.raises(UsageError, match=told):
            alphabet(known, keep, ban)


def test_an_alphabet_is_read_in_the_models_normal_form() -> None:
    composed = vocab("aé", normalize="nfc")
    allowed = alphabet(composed, "e\u0301")
    assert allowed is not None
    assert allowed.tolist() == [False, True]
