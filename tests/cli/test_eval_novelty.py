from pathlib import Path

import pytest

from tests.helpers.command import NETWORK, TEXT, charrnn, ok, refused

pytestmark = pytest.mark.usefixtures("model")

KEYS = [
    *("text", "model", "chars", "longest_copy", "longest_copy_at", "longest_copy_text"),
    *("seen_5", "seen_10", "seen_20", "seen_40"),
]


def test_a_row_has_the_longest_copy_and_the_shares_of_copied_runs() -> None:
    copied = TEXT[200:300]
    text = "☃" + copied + "\t☃\n"
    result = ok("eval", "-m", "a", "--novelty", "-", "a.txt", input=text.encode())
    assert result.err == f"read the text of the model: a.txt, {len(TEXT):,} characters\n"
    rows = [row.split("\t") for row in result.text.splitlines()]
    shares = [f"{(100 - n + 1) / (104 - n + 1):.4f}" for n in (5, 10, 20, 40)]
    assert rows[0] == ["100", *shares, "104", "-", copied[:60].replace("\n", "\\n").replace("\t", "\\t") + " …"]
    assert [row[5:7] for row in rows] == [["104", "-"], [str(len(TEXT)), "a.txt"]]
    (record, _) = ok("eval", "-m", "a", "--novelty", "--json", "-", "a.txt", input=text.encode()).records
    assert [*record] == KEYS
    assert record["longest_copy_text"] == text[record["longest_copy_at"] :][: record["longest_copy"]] == copied
    assert record["seen_40"] == pytest.approx(61 / 65)


def test_without_a_text_it_measures_the_held_out_part() -> None:
    (record,) = ok("eval", "--novelty", "--json").records
    train, held_out = TEXT[: int(len(TEXT) * 0.9)], TEXT[int(len(TEXT) * 0.9) :]
    assert (record["text"], record["chars"]) == ("a.txt (held out)", len(held_out))
    runs = [held_out[i : i + 40] in train for i in range(len(held_out) - 39)]
    assert record["seen_40"] == pytest.approx(sum(runs) / len(runs))
    n = record["longest_copy"]
    assert record["longest_copy_text"] in train
    assert not any(held_out[i : i + n + 1] in train for i in range(len(held_out) - n))


def test_a_text_too_short_for_a_run_has_no_share_of_it() -> None:
    args = ("eval", "-m", "a", "--novelty", "-", "-q")
    assert ok(*args, input=b"foxes").text == "5\t1.0000\t-\t-\t-\t5\t-\tfoxes\n"
    (record,) = ok(*args, "--json", input=b"fo\xe2\x98\x83").records
    assert (record["longest_copy_text"], record["seen_5"]) == ("fo", None)
    refused(charrnn(*args), 1, "empty")


def test_characters_replaced_by_the_unknown_symbol_are_not_copies() -> None:
    ok("train", "a.txt", "-m", "b", *NETWORK, "--steps", 1, "--min-count", 30, "-q")
    (record,) = ok("eval", "-m", "b", "--novelty", "--json", "-", input="☃fox☃es☃".encode()).records
    assert (record["longest_copy_text"], record["chars"]) == ("fox", 8)


def test_the_training_text_must_be_unchanged_and_other_modes_are_refused() -> None:
    Path("a.txt").write_text(TEXT + ".")
    refused(charrnn("eval", "-m", "a", "--novelty", "a.txt"), 1, "a.txt", "leave out --novelty")
    refused(charrnn("eval", "-m", "a", "--novelty", "--lines"), 2, "--lines", "--novelty")
    refused(charrnn("eval", "-m", "a", "--novelty", "--dynamic"), 2, "--novelty", "--dynamic")
