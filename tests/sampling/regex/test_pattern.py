import itertools
import sys
from collections.abc import Iterator
from copy import copy

import numpy as np
import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.sampling.regex import derivatives
from charrnn.sampling.regex.parser import expansion
from charrnn.sampling.regex.pattern import Pattern, PatternConstraint

SYMBOLS = ["\n", " ", "a", "b", "é"]
LONGEST = 4
TEXTS = ["".join(text) for n in range(LONGEST + 1) for text in itertools.product(SYMBOLS, repeat=n)]

ATOMS = [
    "a",
    "b",
    "é",
    ".",
    r"\w",
    r"\W",
    r"\s",
    "[ab]",
    "[^a]",
    r"[^\W\d_]",
    r"\p{Lu}",
    r"\p{Ll}",
    r"[[:space:]]",
    r"\n",
    r"\x61",
    r"\142",
    "[]a]",
    "[^]a]",
    r"[\]b]",
    "[a-é]",
    "[[:alpha:] ]",
    "(?i:A)",
]
ANCHORS = ["^", "$", r"\A", r"\Z", r"\b", r"\B", "(?=a)", r"(?!\w)", r"(?<=b)", r"(?<! )"]
REPEATS = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "{,2}", "*?", "+?", "??", "{1,2}?"]


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(REPEATS)).map("(?:{0[0]}){0[1]}".format),
        st.tuples(st.sampled_from(["(", "(?:", "(?s:", "(?i-s:", "(?m:"]), inner).map("{0[0]}{0[1]})".format),
    )


PLAIN = st.recursive(st.sampled_from(ATOMS + ANCHORS), wrapped, max_leaves=6)
LOOKS = st.tuples(st.sampled_from(["(?=", "(?!"]), PLAIN, PLAIN, st.sampled_from(["", "?", "{2}"])).map(
    lambda parts: f"({parts[0]}{parts[1]}){parts[2]}){parts[3]}"
)
PATTERNS = st.one_of(PLAIN, st.lists(st.one_of(PLAIN, LOOKS), min_size=1, max_size=3).map("".join))


def everything() -> NDArray[np.bool_]:
    return np.ones(len(SYMBOLS), bool)


def allowed(constraint: PatternConstraint) -> NDArray[np.bool_]:
    return constraint.allowed(np.ones(len(constraint.state.choices.classes), bool))


def every_sample(constraint: PatternConstraint, length: int, text: str = "") -> Iterator[str]:
    """Yield every sample of at most `length` characters."""
    if constraint.may_end:
        yield text
    for i in np.flatnonzero(allowed(constraint)) if length else ():
        longer = copy(constraint)
        longer.advance(int(i))
        yield from every_sample(longer, length - 1, text + SYMBOLS[i])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(PATTERNS)
def test_the_possible_samples_are_exactly_the_full_matches(source: str) -> None:
    expected = [text for text in TEXTS if regex.compile(source).fullmatch(text)]
    try:
        found = list(every_sample(PatternConstraint(Pattern(source, SYMBOLS, everything()), LONGEST), LONGEST))
    except UsageError as error:
        assume("endless repeat" not in str(error))
        found = []
    assert sorted(found) == sorted(expected)


ASCII = [chr(code) for code in range(32, 127)]
DATE = r"(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"


def pattern_of(source: str, without: str = "", symbols: list[str] = ASCII) -> Pattern:
    return Pattern(source, symbols, np.array([symbol not in without for symbol in symbols]))


def random_sample(pattern: Pattern, length: float, rng: np.random.Generator, symbols: list[str] = ASCII) -> str:
    constraint, text = PatternConstraint(pattern, length), ""
    while not constraint.may_end or (constraint.left and allowed(constraint).any() and rng.random() < 0.9):
        i = int(rng.choice(np.flatnonzero(allowed(constraint))))
        constraint.advance(i)
        text += symbols[i]
    return text


@pytest.mark.parametrize(
    ("source", "length"),
    [
        (DATE, 10),
        (r"[a-z][a-z0-9.]*[a-z0-9]@[a-z]+\.(com|org)", 12),
        (r"(a+)+$", 30),  # a backtracking engine takes 2^30 steps to reject a text
        (r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])(?!.*[oO0])\w{8,12}", 9),
        (r"hello(?=.*world)( mom| dad| world)+", 20),
        (r"(?!True\b|False\b)[A-Z]\w*", 6),
        (r"(?i)sir (?<name>to(?-i:by)|andrew)(, knight)?", 30),
        (r"([KQRBN]?[a-h]?[1-8]?x?[a-h][1-8](=[QRBN])?[+#]?|O-O(-O)?) ?", 9),
        (r"(\b\w{2,5}\b ?){3}", 13),
    ],
)
def test_every_sample_is_a_full_match_within_its_length(source: str, length: int) -> None:
    pattern, rng = pattern_of(source), np.random.default_rng(3)
    texts = [random_sample(pattern, length, rng) for _ in range(50)]
    assert [text for text in texts if not regex.fullmatch(source, text)] == []
    assert max(map(len, texts)) <= length
    assert len(set(texts)) > 1


def test_forbidden_characters_cause_no_dead_end() -> None:
    rng, source = np.random.default_rng(4), "(ab|ac|d[xy]*z)+"
    assert {random_sample(pattern_of(source, without="cz"), 9, rng) for _ in range(20)} <= {
        "ab" * n for n in range(1, 5)
    }
    with pytest.raises(UsageError, match=r"^--regex \(ab.*none of the characters .* matches b c z$"):
        pattern_of(source, without="bcz")


def test_near_the_maximum_length_only_characters_that_can_be_completed_are_allowed() -> None:
    constraint = PatternConstraint(pattern_of(r"(<\w+>)*"), 7)
    for character, before in zip("<ab>", "<\0\0\0", strict=True):
        assert not before.strip("\0") or {ASCII[i] for i in np.flatnonzero(allowed(constraint))} == {before}
        constraint.advance(ASCII.index(character))
    for character in "<x>":
        constraint.advance(ASCII.index(character))
    assert constraint.may_end
    assert {ASCII[i] for i in np.flatnonzero(allowed(constraint))} == {"<"}
    assert {PatternConstraint(pattern_of("a{3}|b{5}"), length).left for length in (3, 4)} == {3, 4}
    with pytest.raises(UsageError, match="at least 3 characters: --length 2"):
        PatternConstraint(pattern_of("a{3}|b{5}"), 2)


def test_symbols_that_the_pattern_does_not_distinguish_share_a_class() -> None:
    han = [chr(0x4E00 + i) for i in range(6000)] + ["a", "1"]
    pattern = pattern_of(r"\p{Han}{2}\d", symbols=han)
    assert pattern.symbols.K == 3
    assert random_sample(pattern, 3, np.random.default_rng(5), han)[2] == "1"
    mask = allowed(PatternConstraint(pattern))
    assert np.flatnonzero(mask).tolist() == list(range(6000))
    assert allowed(PatternConstraint(pattern)) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("é", ["matches é"]),
        ("abé|☃", ["matches é ☃"]),
        ("(?!a)a", ["no text", "matches all of it"]),
        ("(?<=a)b", ["no text"]),
        (r"(.)\1", [r"\1 at position 3", "docs/cli.md"]),
        ("a++", ["possessive"]),
        ("(?>ab)", ["(?> at position 0"]),
        ("a{e}", ["brace", r"\{"]),
        ("(?:ab){,2}+", ["possessive"]),
        (r"\X", [r"\X at position 0"]),
        ("(?<=ab)c", ["lookbehind"]),
        ("(?:(?=ab)a)*", ["endless repeat", "(?:(?=ab)a)*"]),
        ("(?x) a", ["(?x"]),
        ("a(?i)b", ["(?i"]),
        ("(?R)?a", ["(?R"]),
        ("(a", ["missing )", "position 2"]),
        ("[z-a]", ["bad character range"]),
        ("a{2}{3}", ["multiple repeat"]),
        ("(a|b)*a(a|b){9}", ["too many cases"]),
        ("a?" * 3000, ["optional parts in a row, too many times"]),
        ("((((?=ab)a?b?){99}c?){99}d?){9}", ["too many cases"]),
        ("((?=ab)){9999}b", ["no text"]),
        ("(a|b){2,10000}", ["above 9999"]),
        ("\n\x1b(a", [r"\n\x1b(a: missing )"]),
        ("(" * 500 + ")" * 500, ["--regex (("]),
    ],
)
def test_an_unsupported_pattern_is_refused_in_one_line(
    source: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derivatives, "MAX_WORK", 10_000)
    with pytest.raises(UsageError) as refusal:
        pattern_of(source)
    message = str(refusal.value)
    assert message.startswith("--regex ")
    assert [word for word in words if word not in message] == []
    assert message.isprintable()
    assert len(message) < 250


@pytest.mark.parametrize(
    "source", ["(foo|fo+)[a-c]{2,3}", r"\d{4}-\w+", r"(?i:A)\b.(?=b)b", r"code=\{10001\}", "[^{10001}]"]
)
def test_without_the_regex_package_the_standard_library_reads_most_patterns(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pattern_of(source)
    monkeypatch.setitem(sys.modules, "regex", None)
    found = pattern_of(source)
    np.testing.assert_array_equal(found.transitions, expected.transitions)
    np.testing.assert_array_equal(found.symbols.classes, expected.symbols.classes)


@pytest.mark.parametrize("source", [r"\p{Lu}", "[[:alpha:]]", "(?<name>a)", "(a"])
def test_what_needs_the_regex_package_names_its_install_command(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(UsageError, match=r"pip install 'charrnn-numpy\[regex\]'$"):
        pattern_of(source)


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 0),
        ("abc|d", 5),
        ("a{3}", 3),
        ("a{2,5}b", 6),
        ("(ab{2}){10}", 30),
        ("(((a{99}){99}){99}){99}", 99**4),
        (r"\{99}[{99}]", 4 + 1),
        ("(?:ab){3,}", 12),
        ("(a", 1),
        (")a{7}", 8),
    ],
)
def test_the_size_of_a_pattern_with_its_counts_written_out(pattern: str, size: int) -> None:
    assert abs(expansion(pattern) - size) <= 9 * ("?" in pattern)


@pytest.mark.parametrize("pattern", ["(((a{99}){99}){99}){99}", "((a|b){0,9999}c){9999}", "(a{9999}){9}" * 20])
def test_nested_counts_are_refused_before_anything_is_compiled(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regex.compile", lambda pattern: pytest.fail("compiled"))
    with pytest.raises(UsageError, match="its counts multiply to more than 1,000,000 characters: use smaller counts"):
        Pattern(pattern, list("abc"), np.ones(3, bool))


URL = r"https?://(www\.)?[-a-zA-Z0-9@:%._+~#=]{1,256}\.[a-zA-Z0-9()]{1,6}\b([-a-zA-Z0-9()@:%_+.~#?&/=]*)"


@pytest.mark.parametrize(("source", "length"), [(".{0,40}ERROR.{0,40}", 60), (URL, 40), (r"x{2,5}y|x{4,9}y|y|xy", 9)])
def test_counts_that_overlap_are_merged(source: str, length: int) -> None:
    pattern, rng = pattern_of(source), np.random.default_rng(5)
    texts = [random_sample(pattern, length, rng) for _ in range(20)]
    assert [text for text in texts if not regex.fullmatch(source, text)] == []


def test_a_list_of_words_is_a_trie() -> None:
    rng = np.random.default_rng(6)
    words = sorted({"".join(rng.choice(list("abcdefgh"), rng.integers(2, 8))) for _ in range(500)})
    pattern = pattern_of("|".join(words))
    prefixes = {word[:n] for word in words for n in range(len(word) + 1)}
    assert len(pattern.transitions) <= len(prefixes) + 1  # and the state without a way out
    assert {random_sample(pattern, 9, rng) for _ in range(100)} <= set(words)


def test_many_characters_in_a_group_are_not_many_cases() -> None:
    assert pattern_of(f"({'ab' * 495}){{2}}").lengths[0] == 1980


def test_a_brace_that_is_escaped_or_in_a_set_is_no_count() -> None:
    assert pattern_of(r"code=\{10001\}").lengths[0] == 12
    assert pattern_of("[{10001}]").lengths[0] == 1
    for source in ("a{10000}", r"\\{10000}", "a{,10000}", "a{2,10000}"):
        with pytest.raises(UsageError, match="above 9999"):
            pattern_of(source)
