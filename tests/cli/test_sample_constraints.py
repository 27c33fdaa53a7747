import re
from pathlib import Path

import pytest

from tests.helpers.command import NETWORK, TEXT, charrnn, ok, refused

pytestmark = pytest.mark.usefixtures("model")

LINE = r"\d größere fox(es){0,4} than 1?\d"


def trained_text() -> str:
    return TEXT[: int(len(TEXT) * 0.9)]


# ---- --regex ----


def test_every_sample_is_a_full_match_and_the_same_for_any_count() -> None:
    line = ("sample", "--regex", LINE, "--seed", 1, "-q")
    many = ok(*line, "--count", 70).text.splitlines()
    assert len(many) == 70
    assert [text for text in many if not re.fullmatch(LINE, text)] == []
    assert len(set(many)) > 3
    assert ok(*line, "--count", 9).text.splitlines() == many[:9]
    records = ok(*line, "--count", 9, "--json").records
    assert [(record["text"], record["finish"]) for record in records] == [(text, "regex") for text in many[:9]]


def test_a_text_that_matches_is_ended_by_the_model_or_at_its_length() -> None:
    line = ("sample", "--seed", 2, "--json", "-q", "-t", 1)
    words = ok(*line, "--regex", "[a-z]+", "--count", 60, "-p", "3 größere ", "--no-echo").records
    assert {record["finish"] for record in words} == {"regex"}
    assert len({len(record["text"]) for record in words}) > 3
    (endless,) = ok(*line, "--regex", r"(.|\n)*", "-n", 50).records
    assert (len(endless["text"]), endless["finish"]) == (50, "length")
    (whole,) = ok(*line, "--regex", "f[a-z]{49}", "-n", 50).records
    assert (len(whole["text"]), whole["finish"]) == (50, "regex")
    tight = ok(*line, "--regex", "(fox )+hens", "-n", 13, "--count", 30).records
    assert {record["text"] for record in tight} <= {"fox hens", "fox fox hens"}
    assert len(ok("sample", "--regex", "[a-z]+", "-n", -1, "--count", 3, "--seed", 1, "-q").text.splitlines()) == 3


def test_the_pattern_does_not_apply_to_the_prompt() -> None:
    line = ("sample", "-p", "3 gr", "--regex", "^[ößa-z]+ fox", "--seed", 1, "-q")
    assert re.fullmatch("3 gr[ößa-z]+ fox\n", ok(*line).text)
    assert re.fullmatch("[ößa-z]+ fox\n", ok(*line, "--no-echo").text)


def test_banned_characters_leave_a_way_to_a_match() -> None:
    assert ok("sample", "--regex", "(fox|hen)es", "--ban", "n", "--count", 20, "-q").text == "foxes\n" * 20
    refused(charrnn("sample", "--regex", "(fox|hen)es", "--only", "foxhn", "-q"), 2, "matches e s")
    refused(charrnn("sample", "--regex", "fox☃", "-q"), 2, "--regex fox☃", "matches ☃")


def test_a_pattern_is_read_in_the_normal_form_of_the_model() -> None:
    ok("train", "a.txt", "-m", "b", *NETWORK, "--steps", 1, "--normalize", "nfd", "-q")
    assert ok("sample", "-m", "b", "--regex", "größer", "-q").text == "gro\u0308ßer\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--regex", "(fox"], ["--regex (fox: missing )"]),
        (["--regex", r"(.)\1"], [r"\1", "docs/cli.md"]),
        (["--regex", "fox", "--stop", "x"], ["--regex", "--stop"]),
        (["--regex", "foxes than", "-n", 9], ["10 characters", "--length 9"]),
        (["--no-copy", 0], ["--no-copy"]),
    ],
)
def test_wrong_patterns_and_numbers_are_refused(options: list[object], words: list[str]) -> None:
    refused(charrnn("sample", "-m", "a", *options), 2, *words)


def test_without_the_regex_package_the_extra_is_named() -> None:
    missing = charrnn("sample", "--regex", r"\p{Lu}", "-q", prelude="import sys; sys.modules['regex'] = None")
    refused(missing, 2, "pip install 'charrnn-numpy[regex]'")


# ---- --no-copy ----


def longest_copy(text: str, start: int = 0) -> int:
    train = trained_text()
    return max(n for n in range(len(text)) if any(text[i : i + n] in train for i in range(start, len(text) - n + 1)))


def test_no_longer_run_is_in_the_training_text() -> None:
    free, bound = (ok("sample", "-n", 400, "--seed", 3, "-t", 0.2, "-q", *more).text for more in ([], ["--no-copy", 5]))
    assert longest_copy(free) > 5 == longest_copy(bound)


def test_a_run_that_begins_in_the_prompt_counts() -> None:
    prompt = TEXT[1:40]
    text = ok("sample", "-n", 60, "--seed", 3, "-t", 0, "-q", "--no-copy", 9, "-p", prompt).text.removesuffix("\n")
    assert text.startswith(prompt)
    assert longest_copy(text, start=len(prompt) - 9) == 9
    copied = [n for n in range(len(text)) if text[: len(prompt) + n] in trained_text()]
    assert copied == [0]


def test_both_constraints_hold_or_an_error_names_the_conflict() -> None:
    line = ("sample", "--count", 30, "--seed", 1, "-q", "-t", 2, "--regex")
    texts = ok(*line, "[a-z ]{25}", "--no-copy", 5).text.splitlines()
    assert {len(text) for text in texts} == {25}
    assert max(map(longest_copy, texts)) <= 5
    result = charrnn(*line, "größere fox", "--no-copy", 5)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "use a larger N" in result.err


def test_the_training_text_must_be_unchanged() -> None:
    Path("a.txt").write_text(TEXT + ".")
    refused(charrnn("sample", "-q", "--no-copy", 9), 1, "a.txt", "leave out --no-copy")
    ok("train", "-", "-m", "b", *NETWORK, "--steps", 1, "-q", input=TEXT.encode())
    refused(charrnn("sample", "-m", "b", "-q", "--no-copy", 9), 1, "stdin", "leave out --no-copy")


def test_a_pattern_may_come_from_a_file_or_stdin(model: Path) -> None:
    words = ["fox", "foxes", "hens", "than"]
    Path("words").write_text("|".join(words) + "\n")
    line = ("sample", "--count", 9, "-n", 9, "--seed", 1, "-q")
    typed = ok(*line, "--regex", "|".join(words)).text
    assert {*typed.splitlines()} <= {*words}
    assert ok(*line, "--regex-file", "words").text == typed
    assert ok(*line, "--regex-file", "-", input=Path("words").read_bytes()).text == typed
    refused(charrnn(*line, "--regex", "a", "--regex-file", "words"), 2, "--regex and --regex-file")
    refused(charrnn(*line, "--regex-file", "nothere"), 1, "nothere: No such file")
    refused(charrnn(*line, "--regex-file", "words", "--stop", "x"), 2, "--regex and --stop")
