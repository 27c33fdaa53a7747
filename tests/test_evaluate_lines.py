from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.evaluate import LineScore, LineScorer, batches, full_nats, lines, score_ids, stand_ins, text
from charrnn.model import CharRNN
from charrnn.vocab import CODE_POINTS, Vocab, codes_of
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
def test_a_line_costs_what_it_costs_as_a_text_of_its_own(config: dict[str, int]) -> None:
    vocab = vocab_of()
    model = model_for(vocab, **config)
    found = ["abc\n", "\n", "e" * 300 + "\n", "a☃b\n", "☃☃", "no\n", "last"]
    for line, (score, _) in zip(found, LineScorer(model, vocab).scores(found), strict=True):
        alone = score_ids(model, [vocab.encode(line)], vocab.start_id)
        assert score.nats == pytest.approx(alone.nats, rel=1e-5)
        assert (score.chars, score.unknown, score.hits) == (alone.chars, alone.unknown, alone.hits)
        assert score.chars + score.unknown == len(line)


TEXTS = st.lists(
    st.text(ALPHABET.replace("\n", "☃"), max_size=40).map(lambda line: f"{line}\n"), min_size=1, max_size=40
)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(TEXTS, st.data())
def test_no_neighbour_changes_a_bit_of_a_line_s_score(found: list[str], data: st.DataObject) -> None:
    reader = scorer()
    together = reader.scores(found)
    i = data.draw(st.integers(0, len(found) - 1))
    assert reader.scores([found[i]]) == [together[i]]
    order = data.draw(st.permutations(range(len(found))))
    assert reader.scores([found[k] for k in order]) == [together[k] for k in order]


def test_a_long_line_is_read_in_parts_as_a_long_text_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "SHORT", 50)
    monkeypatch.setattr(lines, "SHORT", 50)
    vocab, long = vocab_of(unknown=True), "abc☃de" * 100 + "\n"
    reader = scorer(vocab)
    before, (score, count), after = reader.scores(["ab\n", long, "cd\n"])
    assert score == score_ids(model_for(vocab), [vocab.encode(long)], vocab.start_id)
    assert count == 100
    assert [before, after] == reader.scores(["ab\n", "cd\n"])


def test_a_vocabulary_without_a_newline_scores_the_rest_of_a_line() -> None:
    vocab = vocab_of("abc")
    ((score, _),) = scorer(vocab).scores(["abca\n"])
    assert (score.chars, score.unknown) == (4, 1)
    assert score.nats == pytest.approx(score_ids(model_for(vocab), [vocab.encode("abca")], 0).nats, rel=1e-5)


def test_a_line_is_read_in_the_normal_form_of_the_model() -> None:
    composed, apart = scorer(vocab_of(normalize="nfd")).scores(["\u00f6\n", "o\u0308\n"])
    assert composed == apart == LineScore(composed.score, 0)
    assert (apart.score.chars, apart.score.unknown) == (3, 0)


# ---- what a text costs with all its characters ----


def test_models_compare_by_what_a_text_costs_down_to_its_last_character() -> None:
    found = ["ab☃☄c\n"]
    (plain,), (stood_for,) = scorer().scores(found), scorer(vocab_of(unknown=True)).scores(found)
    assert (plain.score.unknown, plain.stand_ins, stood_for.score.unknown, stood_for.stand_ins) == (2, 0, 0, 2)
    assert full_nats(vocab_of(), *plain) == pytest.approx(plain.score.nats + 2 * np.log(CODE_POINTS))
    others = CODE_POINTS - len(vocab_of())
    assert full_nats(vocab_of(unknown=True), *stood_for) == pytest.approx(stood_for.score.nats + 2 * np.log(others))
    assert stand_ins(vocab_of(), vocab_of().encode("☃")) == 0


# ---- lines out of blocks ----


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.text("a\n\r\u2028", max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 9))
def test_lines_are_the_same_in_whatever_blocks_they_come(whole: str, cuts: list[int], size: int) -> None:
    edges = [0, *sorted(cuts), len(whole)]
    blocks = [whole[a:b] for a, b in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BATCH", size)
        found = list(batches(blocks))
    *ended, rest = whole.split("\n")
    assert [line for batch in found for line in batch] == [f"{line}\n" for line in ended] + [rest] * bool(rest)
    assert all(sum(map(len, batch[:-1])) < size for batch in found)


def test_lines_that_are_there_are_not_kept_waiting_for_others() -> None:
    events = list[str]()

    def source() -> Iterator[str]:
        for block in ("one\ntwo\nth", "ree", "\n\n", "last"):
            events.append(block)
            yield block

    for batch in batches(source()):
        events.extend(batch)
    assert events == ["one\ntwo\nth", "one\n", "two\n", "ree", "\n\n", "three\n", "\n", "last", "last"]
