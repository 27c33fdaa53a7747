import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.errors import UsageError
from charrnn.data.ignoring import IGNORED, Ignore, without_ignored

few = settings(deadline=None, max_examples=50, derandomize=True)
PATTERNS = (r"\d+", "a.", "bc", "(?<=x)y*")


@pytest.mark.parametrize(
    ("patterns", "line", "replaced"),
    [
        ([r"\d+"], "at 12:30 from 7\n", "at #:# from #\n"),
        ([r"\d+", r"\d\d:\d\d"], "at 12:30\n", "at #\n"),  # a match inside another
        (["ab", "bc", "cd"], "xabcdx", "x#x"),  # overlapping ones
        (["b", "a"], "ab-b\n", "#-#\n"),  # touching ones
        ([r"\s+"], "a \n", "a#\n"),  # never the newline
        (["(?<=x)y*"], "xz xyz", "xz x#z"),  # a match of nothing is none
        ([r"\d"], "none", "none"),
    ],
)
def test_each_match_becomes_one_character(patterns: list[str], line: str, replaced: str) -> None:
    assert Ignore(patterns).replaced(line) == replaced.replace("#", IGNORED)


@few
@given(st.text("ab1 c0xy", max_size=20), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4))
def test_each_character_of_the_result_has_its_place_in_the_line(line: str, patterns: list[str]) -> None:
    ignore = Ignore([pattern for pattern in patterns if not re.match(pattern, "")])
    replaced, places = ignore.replaced(line), ignore.positions(line)
    assert len(replaced) == len(places)
    assert [start for start, _ in places] == [0, *(end for _, end in places)][: len(places)]
    assert sum(end - start for start, end in places) == len(line)
    for c, (start, end) in zip(replaced, places, strict=True):
        assert c == (line[start:end] if c != IGNORED else IGNORED)
    covered = {i for p in patterns for m in re.finditer(p, line) for i in range(*m.span())}
    assert covered == {i for c, place in zip(replaced, places, strict=True) if c == IGNORED for i in range(*place)}


@few
@given(st.text("a1\n", max_size=30), st.integers(1, 9))
def test_blocks_do_not_matter(text: str, size: int) -> None:
    ignore = Ignore([r"\d+a"])
    blocks = [text[i : i + size] for i in range(0, len(text), size)]
    assert "".join(without_ignored(blocks, ignore)) == "".join(map(ignore.replaced, text.splitlines(keepends=True)))


@pytest.mark.parametrize(("pattern", "says"), [("(", "not a regular expression: "), ("a*", "matches the empty text")])
def test_patterns_that_cannot_be_used_are_refused(pattern: str, says: str) -> None:
    with pytest.raises(UsageError, match=rf"^--ignore {re.escape(pattern)}: {says}"):
        Ignore([pattern])


def test_a_warning_of_the_regex_engine_is_not_passed_on() -> None:
    """Warnings are errors in tests."""
    assert Ignore(["[[a]b"]).replaced("xaby[b") == f"x{IGNORED}y{IGNORED}"
