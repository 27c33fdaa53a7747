from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.model import CharRNN
from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of
from charrnn.evaluation import lines, text
from charrnn.evaluation.lines import LineScore, LineScorer, count_replaced, full_nats, line_batches
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
    for line, (score, _) in zip(found, LineScorer(model, vocab).scores(found), strict=True):
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


def test_a_long_line_is_scored_as_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MIN_BATCHED", 50)
    monkeypatch.setattr(lines, "MIN_BATCHED", 50)
    vocab, long = vocab_of(unknown=True), "abc☃de" * 100 + "\n"
    line_scorer = scorer(vocab)
    before, (score, count), after = line_scorer.scores(["ab\n", long, "cd\n"])
    assert score == score_ids(model_for(vocab), [vocab.encode(long)], vocab.start_id)
    assert count == 100
    assert [before, after] == line_scorer.scores(["ab\n", "cd\n"])


def test_a_vocabulary_without_a_newline_scores_the_rest_of_a_line() -> None:
    vocab = vocab_of("abc")
    ((score, _),) = scorer(vocab).scores(["abca\n"])
    assert (score.chars, score.unknown) == (4, 1)
    assert score.nats == pytest.approx(score_ids(model_for(vocab), [vocab.encode("abca")], 0).nats, rel=1e-5)


def test_a_line_is_normalized_as_the_vocabulary_is() -> None:
    composed, apart = scorer(vocab_of(normalize="nfd")).scores(["\u00f6\n", "o\u0308\n"])
    assert composed == apart == LineScore(composed.score, 0)
    assert (apart.score.chars, apart.score.unknown) == (3, 0)


# ---- the loss with every character counted ----


def test_full_nats_count_every_character() -> None:
    found = ["ab☃☄c\n"]
    (plain,), (replaced,) = scorer().scores(found), scorer(vocab_of(unknown=True)).scores(found)
    assert (plain.score.unknown, plain.replaced, replaced.score.unknown, replaced.replaced) == (2, 0, 0, 2)
    assert full_nats(vocab_of(), *plain) == pytest.approx(plain.score.nats + 2 * np.log(CODE_POINTS))
    others = CODE_POINTS - len(vocab_of())
    assert full_nats(vocab_of(unknown=True), *replaced) == pytest.approx(replaced.score.nats + 2 * np.log(others))
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
