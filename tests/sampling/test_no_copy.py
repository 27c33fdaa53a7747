import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.errors import UsageError
from charrnn.core.ops import Ids
from charrnn.data.ngrams import ngram_hashes
from charrnn.sampling import no_copy
from charrnn.sampling.constraint import Constraints
from charrnn.sampling.no_copy import NGramFilter, NoCopyConstraint
from charrnn.sampling.regex.pattern import Pattern, PatternConstraint

V = 5
ALL = np.ones(V, bool)
LETTERS = st.lists(st.integers(0, V - 1), max_size=60)


def ngrams_of(ids: list[int], n: int) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}


def array(ids: list[int]) -> Ids:
    return np.array(ids, np.uint8)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LETTERS, LETTERS, st.integers(1, 6))
def test_the_allowed_characters_are_those_that_make_no_longer_copy(
    training: list[int], text: list[int], n: int
) -> None:
    copied, constraint = ngrams_of(training, n + 1), NoCopyConstraint(NGramFilter(array(training), V, n), array([]))
    for at, character in enumerate(text):
        allowed = constraint.allowed(ALL)
        for i in range(V) if at >= n else ():
            assert (allowed is None or bool(allowed[i])) == ((*text[at - n : at], i) not in copied)
        assert allowed is None or at >= n
        constraint.advance(character)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(LETTERS, st.integers(1, 6))
def test_a_full_filter_still_contains_every_ngram(training: list[int], n: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(no_copy, "MAX_BITS_LOG2", 4)
        ngrams = NGramFilter(array(training), V, n)
    for length in (n, n + 1):
        for _, hashes in ngram_hashes(array(training), length, ngrams.R):
            assert ngrams.contains(hashes).all()
            assert all(map(ngrams.contains_one, hashes.tolist()))


def test_a_copy_that_begins_in_the_prompt_counts() -> None:
    training = array([0, 1, 2, 3, 4])
    for prompt, allowed in [([0, 1, 2], [0, 1, 2, 4]), ([4, 1, 2], None), ([4, 0, 1, 2], [0, 1, 2, 4]), ([1, 2], None)]:
        mask = NoCopyConstraint(NGramFilter(training, V, 3), array(prompt)).allowed(ALL)
        assert (None if mask is None else np.flatnonzero(mask).tolist()) == allowed


def test_a_constrained_text_contains_no_longer_copy() -> None:
    rng, n = np.random.default_rng(1), 6
    training = rng.integers(0, V, 4000)
    constraint = NoCopyConstraint(NGramFilter(training, V, n), training[:9])
    text = training[:9].tolist()
    for _ in range(3000):
        allowed = constraint.allowed(ALL)
        text.append(int(rng.choice(V if allowed is None else np.flatnonzero(allowed))))
        constraint.advance(text[-1])
    longest = max(
        map(len, itertools.chain(*(ngrams_of(text[9 - n :], m) & ngrams_of(training.tolist(), m) for m in (n, n + 1))))
    )
    assert longest == n


@pytest.mark.parametrize(("alphabet", "pattern"), [([1, 1, 0, 0, 0], None), ([1, 1, 1, 1, 1], "a*[ab]")])
def test_an_error_is_raised_where_every_character_makes_a_longer_copy(alphabet: list[int], pattern: str | None) -> None:
    others = [PatternConstraint(Pattern(pattern, list("abcde"), ALL))] if pattern else []
    constraint = NoCopyConstraint(NGramFilter(array([0, 0, 1, 2, 3, 1, 0]), V, 1), array([]))
    for i in (4, 0):
        assert constraint.allowed(ALL) is None
        constraint.advance(i)
    with pytest.raises(UsageError, match=r"^--no-copy 1: a sample .*: use a larger N$"):
        Constraints([*others, constraint], np.array(alphabet, bool))


def test_the_filter_has_few_false_positives_and_a_bounded_size() -> None:
    rng = np.random.default_rng(2)
    ngrams = NGramFilter(rng.integers(0, 60, 100_000).astype(np.uint8), 60, 8)
    others = rng.integers(1 << 64, size=100_000, dtype=np.uint64)
    assert ngrams.contains(others).mean() < 0.02
    assert len(ngrams.filter) == 4 * 2**17 == 2**19
    assert [ngrams.contains_one(int(value)) for value in others[:500]] == ngrams.contains(others[:500]).tolist()


def test_a_number_below_1_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--no-copy 0: must be 1 or more"):
        NGramFilter(array([1, 2]), V, 0)
