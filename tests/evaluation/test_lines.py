import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.model import CharRNN
from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of
from charrnn.data.ignoring import IGNORED
from charrnn.evaluation import lines, text
from charrnn.evaluation.lines import LineScorer, count_replaced, full_nats, line_batches
from charrnn.evaluation.text import score_ids
from tests.helpers.models import tiny_model

ALPHABET = "\nabcdeo\u0308"


def vocab_of(alphabet: str = ALPHABET, unknown: bool = False, normalize: str = "none") -> Vocab:
    return Vocab(np.unique(codes_of(alphabet)), unknown, normalize)


def model_for(vocab: Vocab, **config: int) -> CharRNN:
    return tiny_model(len(vocab), dtype=np.float32, cell="gru", hidden_size=16, num_layers=2, **config)


def scorer(vocab: Vocab | None = None, **config: int) -> LineScorer:
    vocab = vocab or vocab_of()
    return LineScorer(model_for(vocab, **config), vocab)


# ---- the score of a line ----


@pytest.mark.parametrize("config", [{}, {"line_end": 0}], ids=str)
def test_a_line_has_the_score_of_a_text_of_its_own(config: dict[str, int]) -> None:
    vocab = vocab_of()
    model = model_for(vocab, **config)
    found = ["abc\n", "\n", "e" * 300 + "\n", "a☃b\n", "☃☃", "no\n", "last"]
    for line, each in zip(found, LineScorer(model, vocab).scores(found), strict=True):
        score = each.score
        alone = score_ids(model, [vocab.encode(line)], vocab.start_id)
        assert score.nats == pytest.approx(alone.nats, rel=1e-5)
        assert (score.chars, score.unknown, score.hits) == (alone.chars, alone.unknown, alone.hits)
        assert score.chars + score.unknown == len(line)


LINES = st.lists(
    st.text(ALPHABET.replace("\n", "☃"), max_size=40).map(lambda line: f"{line}\n"), min_size=1, max_size=40
)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(LINES, st.data())
def test_neighbours_do_not_change_a_bit_of_a_score(found: list[str], data: st.DataObject) -> None:
    line_scorer = scorer()
    together = line_scorer.scores(found)
    i = data.draw(st.integers(0, len(found) - 1))
    assert line_scorer.scores([found[i]]) == [together[i]]
    order = data.draw(st.permutations(range(len(found))))
    assert line_scorer.scores([found[k] for k in order]) == [together[k] for k in order]


def test_equal_lines_are_scored_once_while_they_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "REMEMBERED", 8)
    line_scorer, read = scorer(), list[str]()
    plain = line_scorer.short_line_scores

    def counted(texts: Sequence[str]) -> Iterator[lines.LineScore]:
        read.extend(texts)
        return plain(texts)

    monkeypatch.setattr(line_scorer, "short_line_scores", counted)
    first = line_scorer.scores(["abc\n", "de\n", "abc\n"])
    assert line_scorer.scores(["de\n", "abcd\n"]) == [first[1], *scorer().scores(["abcd\n"])]
    assert (first[0], read) == (first[2], ["abc\n", "de\n", "abcd\n"])
    assert line_scorer.scores(["abc\n"]) == first[:1]  # once more: the others were 12 characters
    assert read[3:] == ["abc\n"]


def test_a_long_line_is_scored_as_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MIN_BATCHED", 50)
    monkeypatch.setattr(lines, "MIN_BATCHED", 50)
    vocab, long = vocab_of(unknown=True), "abc☃de" * 100 + "\n"
    line_scorer = scorer(vocab)
    before, middle, after = line_scorer.scores(["ab\n", long, "cd\n"])
    assert middle.score == score_ids(model_for(vocab), [vocab.encode(long)], vocab.start_id)
    assert middle.replaced == 100
    assert [before, after] == line_scorer.scores(["ab\n", "cd\n"])


def test_a_vocabulary_without_a_newline_scores_the_rest_of_a_line() -> None:
    vocab = vocab_of("abc")
    (line,) = scorer(vocab).scores(["abca\n"])
    score = line.score
    assert (score.chars, score.unknown) == (4, 1)
    assert score.nats == pytest.approx(score_ids(model_for(vocab), [vocab.encode("abca")], 0).nats, rel=1e-5)


def test_a_line_is_normalized_as_the_vocabulary_is() -> None:
    composed, apart = scorer(vocab_of(normalize="nfd")).scores(["\u00f6\n", "o\u0308\n"])
    assert composed == apart
    assert apart.replaced == 0
    assert (apart.score.chars, apart.score.unknown) == (3, 0)


# ---- the losses of its characters ----


def test_the_losses_of_the_characters_add_up_to_the_full_loss() -> None:
    found = ["ab☃c\n", "e" * 40 + "\n", "☃☃", "d"]
    for unknown in (False, True):
        vocab = vocab_of(unknown=unknown)
        for line, each in zip(found, scorer(vocab).scores(found), strict=True):
            assert len(each.losses) == len(line)
            assert each.losses.sum() == pytest.approx(full_nats(vocab, each.score, each.replaced))
            assert (each.losses[[c == "☃" for c in line]] >= math.log(CODE_POINTS - len(vocab))).all()


def test_a_long_line_of_unknown_characters_alone_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MIN_BATCHED", 100)
    (found,) = scorer().scores(["☃" * 100])
    assert (found.score.chars, found.score.unknown, len(found.losses)) == (0, 100, 100)


def test_the_losses_of_a_long_line_are_those_of_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "abc☃de" * 100 + "\n"
    (short,) = scorer().scores([long])
    monkeypatch.setattr(lines, "MIN_BATCHED", 50)
    (found,) = scorer().scores([long])
    np.testing.assert_allclose(found.losses, short.losses, rtol=1e-3)


# ---- what is ignored ----


@pytest.mark.parametrize("known", [True, False])
def test_what_is_ignored_costs_nothing_and_the_rest_is_read_around_it(known: bool) -> None:
    vocab = vocab_of(ALPHABET + IGNORED if known else ALPHABET)
    ignoring = LineScorer(model_for(vocab), vocab, ["d+", "☃"])
    first, again, plain = ignoring.scores(["abddc☃e\n", "abdc☃☃e\n", "abc\n"])
    assert (first.score.chars, first.score.unknown, len(first.losses)) == (5, 0, 7)
    assert (first.losses[[2, 4]] == 0).all()
    as_read = f"ab{IGNORED}c{IGNORED}e\n" if known else "abce\n"
    (whole,) = LineScorer(model_for(vocab), vocab).scores([as_read])
    expected = whole.losses[[c != IGNORED for c in as_read]]
    np.testing.assert_allclose(first.losses[[0, 1, 3, 5, 6]], expected, rtol=1e-5)
    assert first == again
    assert plain.score.chars == 4


def test_a_line_that_is_ignored_as_a_whole_has_no_score() -> None:
    (line,) = LineScorer(model_for(vocab_of()), vocab_of(), [r".+"]).scores(["abc"])
    assert (line.score.chars, line.score.unknown, line.losses.tolist()) == (0, 0, [0.0])


def test_what_is_ignored_in_a_long_line_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MIN_BATCHED", 50)
    (line,) = LineScorer(model_for(vocab_of()), vocab_of(), ["[de]+"]).scores(["abcde" * 100 + "\n"])
    assert (line.score.chars, line.score.unknown) == (301, 0)
    assert line.score.nats == pytest.approx(line.losses.sum())


# ---- the loss with every character counted ----


def test_full_nats_count_every_character() -> None:
    found = ["ab☃☄c\n"]
    (plain,), (replaced,) = scorer().scores(found), scorer(vocab_of(unknown=True)).scores(found)
    assert (plain.score.unknown, plain.replaced, replaced.score.unknown, replaced.replaced) == (2, 0, 0, 2)
    assert full_nats(vocab_of(), plain.score, plain.replaced) == pytest.approx(
        plain.score.nats + 2 * np.log(CODE_POINTS)
    )
    others = CODE_POINTS - len(vocab_of())
    assert full_nats(vocab_of(unknown=True), replaced.score, replaced.replaced) == pytest.approx(
        replaced.score.nats + 2 * np.log(others)
    )
    assert count_replaced(vocab_of(), vocab_of().encode("☃")) == 0


# ---- lines from blocks ----


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.text("a\n\r\u2028", max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 9))
def test_lines_do_not_depend_on_the_blocks(whole: str, cuts: list[int], size: int) -> None:
    edges = [0, *sorted(cuts), len(whole)]
    blocks = [whole[a:b] for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHARS_PER_BATCH", size)
        found = list(line_batches(blocks))
    *ended, rest = whole.split("\n")
    assert [line for batch in found for line in batch] == [f"{line}\n" for line in ended] + [rest] * bool(rest)
    assert all(sum(map(len, batch[:-1])) < size for batch in found)


def test_a_line_that_has_arrived_does_not_wait_for_others() -> None:
    events = list[str]()

    def source() -> Iterator[str]:
        for block in ("one\ntwo\nth", "ree", "\n\n", "last"):
            events.append(block)
            yield block

    for batch in line_batches(source()):
        events.extend(batch)
    assert events == ["one\ntwo\nth", "one\n", "two\n", "ree", "\n\n", "three\n", "\n", "last", "last"]
