from itertools import pairwise
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.analysis.properties import MAX_DISTANCE, MAX_SECTION, MIN_SECTION, PROPERTIES, properties, sections

few = settings(deadline=None, max_examples=50, derandomize=True)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("inside quotes", 'so "yes" and “no ” «x» "', "   1111      1111  11  1"),
        ("inside brackets", "a)b(c[d]e)f{g", "   111111  11"),
        ("inside a tag", "a<b c>d<", " 1111  1"),
        ("in a comment", "x = 1  # one\nhttp://x y\n// z\na /* b */", "       11111            1111   1111111"),
        ("in a heading or speaker's name", "KING:\nSo.\nFirst Man:\nKING LEAR\n", "111111    111111111111111111111"),
        ("in the first word of the line", "  an end\nof it", "1111     11   "),
        ("in the indentation", "  \ta b\n x  ", "111    1   "),
        ("in the indentation", "x" * 100 + " " * 101 + "\n ", " " * 202 + "1"),
        ("a newline", "a\n\nb", " 11 "),
        ("a blank", "a b\tc\n", " 1 1  "),
        ("a capital letter", "aBÖ1", " 11 "),
        ("a vowel", "aBcU", "1  1"),
        ("a digit", "a1²b", " 11 "),
        ("a mark of punctuation", "a, (1)", " 1 1 1"),
    ],
)
def test_a_property_marks_the_right_characters(name: str, text: str, shown: str) -> None:
    assert "".join(" 1"[int(value)] for value in PROPERTIES[name](text)) == shown


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("position in the line", "ab\nc\n\nd", [1, 2, 0, 1, 0, 0, 1]),
        ("letters since the word began", "ab 1cd", [1, 2, 0, 0, 1, 2]),
        ("characters since the sentence began", "a. B!c", [1, 0, 1, 2, 0, 1]),
        ("depth of the line's indentation", "a\n \tb\n\n c", [0, 0, 2, 2, 2, 2, 0, 1, 1]),
    ],
)
def test_a_property_counts_the_right_characters(name: str, text: str, values: list[int]) -> None:
    assert PROPERTIES[name](text).tolist() == values


def test_every_property_is_tested_above() -> None:
    tests: tuple[Any, ...] = (test_a_property_marks_the_right_characters, test_a_property_counts_the_right_characters)
    assert {name for test in tests for name, *_ in test.pytestmark[0].args[1]} == {*PROPERTIES}


@few
@given(st.text(st.sampled_from('aB1 \t\n.:"“”()<#/*é'), max_size=300))
def test_every_property_has_a_finite_number_for_every_character(text: str) -> None:
    found = properties(text)
    assert found.shape == (len(text), len(PROPERTIES))
    assert np.isfinite(found).all()
    assert found.min(initial=0) == 0
    assert found.max(initial=0) <= max(MAX_DISTANCE, len(text))


# ---- sections ----

PARAGRAPH = dedent(
    """\
    KING: "So be it."
      He (the king) went.

    """
)


@pytest.mark.parametrize("paragraph", [PARAGRAPH, "no empty line, only lines\n", "no line at all ", "\n", "\n\nx"])
@few
@given(st.lists(st.integers(0, 4 * MAX_SECTION), max_size=6), st.integers(0, 3 * MAX_SECTION))
def test_sections_do_not_depend_on_the_blocks(paragraph: str, cuts: list[int], size: int) -> None:
    text = (paragraph * (size // len(paragraph) + 1))[:size]
    ends = [0, *sorted(cuts), len(text)]
    blocks = [text[a:b] for a, b in pairwise(ends)]
    whole = list(sections([text]))
    assert list(sections(blocks)) == whole
    assert "".join(whole) == text
    assert all(MIN_SECTION <= len(section) <= MAX_SECTION for section in whole[:-1])


def test_a_section_ends_after_an_empty_line_or_else_after_a_line() -> None:
    paragraphs, lines = PARAGRAPH * 300, "only lines\n" * 1000
    assert {section.endswith("\n\n") for section in sections([paragraphs])} == {True}
    first, *rest = sections([lines])
    assert (len(first), first[-5:]) == (MAX_SECTION // 11 * 11, "ines\n")
    assert all(section.startswith("only") for section in rest)
    assert [len(section) for section in sections(["x" * (MAX_SECTION + 1)])] == [MAX_SECTION, 1]
