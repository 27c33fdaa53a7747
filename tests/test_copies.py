import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import UsageError
from charrnn.grams import run_numbers
from charrnn.ops import Ids
from charrnn.rules import copies as module
from charrnn.rules.copies import Copies, CopyRule
from charrnn.rules.pattern import Pattern

V = 5
ALL = np.ones(V, bool)
LETTERS = st.lists(st.integers(0, V - 1), max_size=60)


def runs(ids: list[int], n: int) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}


def array(ids: list[int]) -> Ids:
    return np.array(ids, np.uint8)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LETTERS, LETTERS, st.integers(1, 6))
def test_what_may_follow_is_what_makes_no_longer_copy(training: list[int], text: list[int], n: int) -> None:
    copied, rule = runs(training, n + 1), CopyRule(Copies(array(training), V, n), array([]), ALL)
    for at, character in enumerate(text):
        allowed = rule.allowed()
        for i in range(V) if at >= n else ():
            assert (allowed is None or bool(allowed[i])) == ((*text[at - n : at], i) not in copied)
        assert allowed is None or at >= n
        rule.take(character)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LETTERS, st.integers(1, 6))
def test_however_crowded_a_filter_is_it_holds_every_run(training: list[int], n: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGEST", 4)
        copies = Copies(array(training), V, n)
    for length in (n, n + 1):
        for _, numbers in run_numbers(array(training), length, copies.R):
            assert copies.holds(numbers).all()
            assert all(map(copies.holds_one, numbers.tolist()))


def test_a_copy_that_begins_in_the_prompt_counts() -> None:
    training = array([0, 1, 2, 3, 4])
    for prompt, allowed in [([0, 1, 2], [0, 1, 2, 4]), ([4, 1, 2], None), ([4, 0, 1, 2], [0, 1, 2, 4]), ([1, 2], None)]:
        mask = CopyRule(Copies(training, V, 3), array(prompt), ALL).allowed()
        assert (None if mask is None else np.flatnonzero(mask).tolist()) == allowed


def test_a_text_that_is_written_by_the_rule_holds_no_longer_copy() -> None:
    rng, n = np.random.default_rng(1), 6
    training = rng.integers(0, V, 4000)
    rule, text = CopyRule(Copies(training, V, n), training[:9], ALL), training[:9].tolist()
    for _ in range(3000):
        allowed = rule.allowed()
        text.append(int(rng.choice(V if allowed is None else np.flatnonzero(allowed))))
        rule.take(text[-1])
    longest = max(map(len, itertools.chain(*(runs(text[9 - n :], m) & runs(training.tolist(), m) for m in (n, n + 1)))))
    assert longest == n


@pytest.mark.parametrize(("alphabet", "pattern"), [([1, 1, 0, 0, 0], None), ([1, 1, 1, 1, 1], "a*[ab]")])
def test_a_place_from_which_all_goes_on_with_a_copy_is_an_error(alphabet: list[int], pattern: str | None) -> None:
    rules = [Pattern(pattern, list("abcde"), ALL).rule()] if pattern else []
    rule = CopyRule(Copies(array([0, 0, 1, 2, 3, 1, 0]), V, 1), array([]), np.array(alphabet, bool), rules)
    for i in (4, 0):
        assert rule.allowed() is None
        rule.take(i)
    with pytest.raises(UsageError, match=r"^--no-copy 1: a sample .*: take a larger N$"):
        rule.allowed()


def test_the_filter_takes_few_others_for_copies_and_is_bounded() -> None:
    rng = np.random.default_rng(2)
    copies = Copies(rng.integers(0, 60, 100_000).astype(np.uint8), 60, 8)
    others = rng.integers(1 << 64, size=100_000, dtype=np.uint64)
    assert copies.holds(others).mean() < 0.02
    assert len(copies.filter) == 4 * 2**17 == 2**19
    assert [copies.holds_one(int(number)) for number in others[:500]] == copies.holds(others[:500]).tolist()


def test_a_number_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--no-copy 0: must be 1 or more"):
        Copies(array([1, 2]), V, 0)
