from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from charrnn.model import CharRNN
from charrnn.sampling import Piece, Rule, Wish, samples
from charrnn.sampling.rule import Rules
from charrnn.vocab import Vocab, codes_of
from tests.helpers.models import V, tiny_model

LETTERS = Vocab(codes_of("abcdefg"))
ODDS = [8, 4, 2, 1, 0.5, 0.25, 0.25]  # sixteenths
P = np.array(ODDS) / sum(ODDS)
ALL = np.ones(V, np.bool_)


class Script:
    """A rule that allows certain letters at each step, the last ones from then on; `*` is all, and `.` may end."""

    def __init__(self, *steps: str) -> None:
        self.steps = steps
        self.taken: list[int] = []

    @property
    def step(self) -> str:
        return self.steps[min(len(self.taken), len(self.steps) - 1)]

    @property
    def may_end(self) -> bool:
        return "." in self.step

    def allowed(self) -> NDArray[np.bool_] | None:
        if "*" in self.step:
            return None
        mask = np.zeros(V, np.bool_)
        mask[LETTERS.encode(self.step.replace(".", ""))] = True
        return mask

    def take(self, id: int) -> None:  # noqa: A002
        self.taken.append(id)


def memoryless() -> CharRNN:
    """A model that expects the same at every step."""
    model = tiny_model()
    model.vector[:] = 0
    model.params["head.b_y"][:] = np.log(ODDS)
    return model


def write(count: int, *scripts: Sequence[str], **wish: object) -> list[Piece]:
    def rules() -> list[Rule]:
        return [Script(*steps) for steps in scripts]

    texts: dict[int, Piece] = {}
    settings = {"length": 30, "rules": rules} | wish
    for piece in samples(memoryless(), LETTERS, np.array([0]), 3, count, Wish(**settings)):  # type: ignore[arg-type]
        before = texts.get(piece.sample, Piece(piece.sample, "")).text
        texts[piece.sample] = piece._replace(text=before + piece.text)
    return list(texts.values())


def expect(counted: Counter[str], chances: dict[str, float], limit: float) -> None:
    """Compare counts with probabilities by their chi-square; what has less than 1 in 200 is one class."""
    count = sum(counted.values())
    common = {text: p for text, p in chances.items() if p > 0.005}
    rest = count - sum(counted[text] for text in common)
    pairs = [(counted[text], count * p) for text, p in common.items()] + [(rest, count * (1 - sum(common.values())))]
    assert sum((seen - p) ** 2 / p for seen, p in pairs if p > 1e-9) < limit
    assert all(seen == 0 for seen, p in pairs if p <= 1e-9)


def test_a_rule_restricts_what_is_drawn_and_the_rest_keeps_its_odds() -> None:
    pieces = write(800, ["bc", "a", "*", "g"], length=5)
    assert {(text[1], text[3:], finish) for _, text, finish, _ in pieces} == {("a", "gg", "length")}
    expect(Counter(piece.text[0] for piece in pieces), {"b": 2 / 3, "c": 1 / 3}, 10.8)  # 1 degree, 1 in a thousand
    expect(Counter(piece.text[2] for piece in pieces), dict(zip("abcdefg", P, strict=True)), 22.5)  # 6


def test_a_text_that_may_end_does_so_as_often_as_the_model_would_go_on_in_a_way_that_is_forbidden() -> None:
    pieces = write(1500, ["a", "ab."], length=100)
    assert {piece.finish for piece in pieces} == {"regex"}
    assert {piece.text[0] for piece in pieces} == {"a"}
    on = P[0] + P[1]
    expect(Counter(str(len(piece.text)) for piece in pieces), {str(1 + n): on**n * (1 - on) for n in range(99)}, 40)
    expect(Counter(piece.text[1] for piece in pieces if piece.text[1:]), {"a": P[0] / on, "b": P[1] / on}, 10.8)


def test_the_other_filters_decide_too_when_a_text_ends() -> None:
    greedy = write(3, ["b", "a.", "ab", "b."], filters={"temperature": 0})
    assert [(piece.text, piece.finish) for piece in greedy] == [("baa", "regex")] * 3
    narrow = write(300, ["a", "b."], filters={"top_k": 2})
    assert {piece.text for piece in narrow if len(piece.text) < 3} == {"a", "ab"}
    ended = sum(piece.text == "a" for piece in narrow) / 300
    assert ended == pytest.approx(P[0] / (P[0] + P[1]), abs=0.09)


def test_a_text_after_which_nothing_may_come_ends_at_once_even_where_its_length_does() -> None:
    assert {piece[1:3] for piece in write(5, ["c", "d", "."])} == {("cd", "regex")}
    assert {piece[1:3] for piece in write(5, ["c", "d", "."], length=2)} == {("cd", "regex")}
    assert {piece[1:3] for piece in write(5, ["."])} == {("", "regex")}
    assert {piece[1:3] for piece in write(5, ["c"], length=0)} == {("", "length")}


def test_rules_are_obeyed_together_and_what_ends_one_text_is_the_rule_that_may() -> None:
    both = write(400, ["ab", "bcd."], ["*", "ac"], length=9)
    assert {piece.text[0] for piece in both} == {"a", "b"}
    assert {letter for piece in both for letter in piece.text[1:]} == {"c"}
    expect(Counter(str(len(piece.text) == 1) for piece in both), {"True": 0.8, "False": 0.2}, 10.8)


def test_a_rule_that_leaves_nothing_of_what_others_leave_is_passed_over() -> None:
    rules = Rules([Script("ab"), Script("cd"), Script("bcd")], ALL)
    assert LETTERS.decode(np.flatnonzero(rules.drawable)) == "b"
    assert not rules.over
    rules = Rules([Script("ab")], np.array(LETTERS.encode("abcdefg") > 3))
    assert LETTERS.decode(np.flatnonzero(rules.drawable)) == "efg"


def test_every_rule_is_told_of_what_is_written_and_not_of_what_ends_the_text() -> None:
    one, other = Script("*"), Script("ab", "a.")
    rules = Rules([one, other], ALL)
    assert (rules.take(1), rules.take(0), rules.take(4), rules.take(0)) == (True, True, False, False)
    assert one.taken == other.taken == [1, 0]
    assert rules.over


def test_a_rule_knows_its_own_sample_alone() -> None:
    many, few = write(70, ["ab", "cd", "."]), write(3, ["ab", "cd", "."])
    assert many[:3] == few
    assert len({piece.text for piece in many}) == 4
