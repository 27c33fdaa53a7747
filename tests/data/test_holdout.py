from pathlib import Path

import numpy as np
import pytest

from charrnn.core.errors import TextError
from charrnn.data import holdout, reading
from charrnn.data.corpus import Corpus, load_corpus
from charrnn.data.holdout import ChosenLines, Holdout
from tests.data.texts import file_in, text_of
from tests.helpers.files import random_text

TEXTS = [random_text(701), random_text(53, seed=1), "", random_text(260, seed=2)]


def corpus(folder: Path, texts: list[str], kind: str, fraction: float = 0.1, **more: int) -> tuple[Corpus, str, str]:
    """Return the corpus of some texts, and its text in two parts: to train on and held out."""
    names = [file_in(folder, text.encode(), f"{i}.txt") for i, text in enumerate(texts)]
    found = load_corpus(names, holdout=Holdout(kind, fraction, more.get("seed", 0), bool(more.get("lines"))))
    whole = text_of(found)
    assert sorted(whole) == sorted("".join(texts))
    return found, whole[: len(whole) - (found.held_out or 0)], whole[len(whole) - (found.held_out or 0) :]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.9])
def test_the_tail_of_each_text_comes_last(
    block: int, fraction: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    found, to_train, held_out = corpus(tmp_path, TEXTS, "each", fraction)
    cuts = [int(len(text) * (1 - fraction)) for text in TEXTS]
    assert to_train == "".join(text[:cut] for text, cut in zip(TEXTS, cuts, strict=True))
    assert held_out == "".join(text[cut:] for text, cut in zip(TEXTS, cuts, strict=True))
    assert found.holdout == "each"


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_with_lines_a_tail_starts_with_a_line(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    texts = [f"{text}\n" for text in TEXTS]
    _, to_train, held_out = corpus(tmp_path, texts, "each", 0.25, lines=1)
    cuts = [int(len(text) * 0.75) for text in texts]
    starts = [len(text) if cut == 0 else text.index("\n", cut - 1) + 1 for text, cut in zip(texts, cuts, strict=True)]
    starts[2] = 0  # its only line begins at its cut
    assert to_train == "".join(text[:at] for text, at in zip(texts, starts, strict=True))
    assert held_out == "".join(text[at:] for text, at in zip(texts, starts, strict=True))


@pytest.mark.parametrize("scored", [1, 40, 99])
def test_what_is_scored_of_many_tails_has_a_share_of_each(
    scored: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdout, "VALIDATION_CHARS", scored)
    texts = ["a" * 500, "b" * 300, "c" * 200]
    _, _, held_out = corpus(tmp_path, texts, "each", 0.1)
    counts = [held_out[:scored].count(letter) for letter in "abc"]
    assert [abs(count - scored * share) < 2 for count, share in zip(counts, (0.5, 0.3, 0.2), strict=True)] == [True] * 3
    assert held_out.count("a") == 50


# ---- lines ----

LINES = [f"{i} {'x' * (i * 37 % 11)}\n" for i in range(97)]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize(("fraction", "count"), [(0.1, 10), (0.001, 1), (0.5, 48), (0.8, 78), (0.999, 96)])
def test_a_choice_of_lines_comes_last_in_their_order(
    block: int, fraction: float, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    found, to_train, held_out = corpus(tmp_path, ["".join(LINES)], "lines", fraction, lines=1)
    trained, held = to_train.splitlines(True), held_out.splitlines(True)
    assert sorted(trained + held, key=LINES.index) == LINES
    assert (trained, held) == (sorted(trained, key=LINES.index), sorted(held, key=LINES.index))
    assert (len(held), found.holdout) == (count, "lines")
    for m in range(count):  # one of each run of lines
        assert sum(line in held for line in LINES[m * 97 // count : (m + 1) * 97 // count]) == 1


def test_the_choice_follows_from_the_seed(tmp_path: Path) -> None:
    chosen = [corpus(tmp_path, ["".join(LINES)], "lines", 0.3, seed=seed)[2] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_last_line_without_a_newline_is_trained_on(tmp_path: Path) -> None:
    for seed in range(5):
        _, to_train, _ = corpus(tmp_path, ["a\nb\nc\nend"], "lines", 0.6, seed=seed)
        assert to_train.endswith("end")


def test_the_lines_that_are_scored_come_from_the_whole_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"{i:04}\n" for i in range(4000))
    monkeypatch.setattr(holdout, "VALIDATION_CHARS", 1000)
    _, _, held_out = corpus(tmp_path, [text], "lines", 0.5, lines=1)
    assert len(held_out) == 5 * 2000
    numbers = [int(line) for line in held_out.split()]
    scored = numbers[: numbers.index(max(numbers[:300])) + 1]
    assert scored == sorted(scored)
    assert 120 < len(scored) < 280
    assert np.histogram(scored, 4, (0, 4000))[0].min() > 20


@pytest.mark.parametrize("at_a_time", [1, 3, 1000])
@pytest.mark.parametrize("step", [1, 7, 97])
def test_the_choice_does_not_depend_on_how_it_is_made(
    at_a_time: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ChosenLines(97, 5000, 0.2, 3).levels(0, 97).tolist()
    assert sum(level > 0 for level in expected) == 19
    monkeypatch.setattr(holdout, "LINES_AT_A_TIME", at_a_time)
    parts = ChosenLines(97, 5000, 0.2, 3)
    found = [level for line in range(0, 97, step) for level in parts.levels(line, min(step, 97 - line)).tolist()]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("abab", "has no newlines, so it has no lines: {}"), ("abab\n", "one line leaves no whole line")],
)
def test_a_text_without_two_lines_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(TextError, match=rf"0\.txt: {words.format('leave out --lines')}"):
        corpus(tmp_path, [text], "lines", lines=1)
    with pytest.raises(TextError, match=rf"0\.txt: {words.format('use --holdout tail')}"):
        corpus(tmp_path, [text], "lines")


def test_nothing_is_moved_without_a_held_out_part_or_for_a_tail(tmp_path: Path) -> None:
    for kind, fraction in (("tail", 0.5), ("each", 0.0), ("lines", 0.0)):
        found, text, _ = corpus(tmp_path, TEXTS, kind, fraction)
        assert (text, found.holdout, found.held_out) == ("".join(TEXTS), "tail", None)


@pytest.mark.parametrize(("min_count", "counts"), [(1, [1, 4, 2, 1, 1]), (2, [4, 2, 3])])
def test_a_corpus_counts_its_symbols(min_count: int, counts: list[int], tmp_path: Path) -> None:
    found = load_corpus([file_in(tmp_path, b"abacabad\n")], min_count=min_count)
    assert found.counts is not None
    assert found.counts.tolist() == counts
