from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from charrnn.core.model import CharRNN
from charrnn.core.vocab import Vocab, codes_of
from charrnn.sampling.constraint import Constraint, Constraints, Finish
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.samples import Piece, SampleOptions, samples
from tests.helpers.models import V, tiny_model

LETTERS = Vocab(codes_of("abcdefg"))
ODDS = [8, 4, 2, 1, 0.5, 0.25, 0.25]  # sixteenths
P = np.array(ODDS) / sum(ODDS)
ALL = np.ones(V, np.bool_)


class Script:
    """A constraint with the allowed letters of each step, the last ones repeated; `*` for all, with `.` it may end."""

    finish: Finish = "regex"

    def __init__(self, *steps: str) -> None:
        self.steps = steps
        self.ids: list[int] = []

    @property
    def step(self) -> str:
        return self.steps[min(len(self.ids), len(self.steps) - 1)]

    @property
    def may_end(self) -> bool:
        return "." in self.step

    def allowed(self, drawable: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        if "*" in self.step:
            return None
        mask = np.zeros(V, np.bool_)
        mask[LETTERS.encode(self.step.replace(".", ""))] = True
        return mask

    def advance(self, id: int) -> None:  # noqa: A002
        self.ids.append(id)


def memoryless() -> CharRNN:
    """A model with the same probabilities at every step."""
    model = tiny_model()
    model.vector[:] = 0
    model.params["head.b_y"][:] = np.log(ODDS)
    return model


def write(count: int, *scripts: Sequence[str], **options: object) -> list[Piece]:
    def constraints() -> list[Constraint]:
        return [Script(*steps) for steps in scripts]

    texts: dict[int, Piece] = {}
    settings = {"length": 30, "constraints": constraints} | options
    start = PromptState(memoryless(), np.array([0]))
    for piece in samples(start, LETTERS, 3, count, SampleOptions(**settings)):  # type: ignore[arg-type]
        before = texts.get(piece.sample, Piece(piece.sample, "")).text
        texts[piece.sample] = piece._replace(text=before + piece.text)
    return list(texts.values())


def expect(counted: Counter[str], chances: dict[str, float], limit: float) -> None:
    """Compare counts with probabilities by their chi-square; texts with less than 1 in 200 are one class."""
    count = sum(counted.values())
    common = {text: p for text, p in chances.items() if p > 0.005}
    rest = count - sum(counted[text] for text in common)
    pairs = [(counted[text], count * p) for text, p in common.items()] + [(rest, count * (1 - sum(common.values())))]
    assert sum((seen - p) ** 2 / p for seen, p in pairs if p > 1e-9) < limit
    assert all(seen == 0 for seen, p in pairs if p <= 1e-9)


def test_a_constraint_excludes_characters_and_keeps_the_odds_of_the_others() -> None:
    pieces = write(800, ["bc", "a", "*", "g"], length=5)
    assert {(text[1], text[3:], finish) for _, text, finish, _ in pieces} == {("a", "gg", "length")}
    expect(Counter(piece.text[0] for piece in pieces), {"b": 2 / 3, "c": 1 / 3}, 10.8)  # 1 degree, 1 in a thousand
    expect(Counter(piece.text[2] for piece in pieces), dict(zip("abcdefg", P, strict=True)), 22.5)  # 6


def test_a_text_that_may_end_does_so_with_the_probability_of_the_forbidden_characters() -> None:
    pieces = write(1500, ["a", "ab."], length=100)
    assert {piece.finish for piece in pieces} == {"regex"}
    assert {piece.text[0] for piece in pieces} == {"a"}
    on = P[0] + P[1]
    expect(Counter(str(len(piece.text)) for piece in pieces), {str(1 + n): on**n * (1 - on) for n in range(99)}, 40)
    expect(Counter(piece.text[1] for piece in pieces if piece.text[1:]), {"a": P[0] / on, "b": P[1] / on}, 10.8)


def test_the_other_filters_apply_to_the_end_of_a_text_too() -> None:
    greedy = write(3, ["b", "a.", "ab", "b."], filters={"temperature": 0})
    assert [(piece.text, piece.finish) for piece in greedy] == [("baa", "regex")] * 3
    narrow = write(300, ["a", "b."], filters={"top_k": 2})
    assert {piece.text for piece in narrow if len(piece.text) < 3} == {"a", "ab"}
    ended = sum(piece.text == "a" for piece in narrow) / 300
    assert ended == pytest.approx(P[0] / (P[0] + P[1]), abs=0.09)


def test_a_text_that_nothing_may_follow_ends_at_once_even_at_its_full_length() -> None:
    assert {piece[1:3] for piece in write(5, ["c", "d", "."])} == {("cd", "regex")}
    assert {piece[1:3] for piece in write(5, ["c", "d", "."], length=2)} == {("cd", "regex")}
    assert {piece[1:3] for piece in write(5, ["."])} == {("", "regex")}
    assert {piece[1:3] for piece in write(5, ["c"], length=0)} == {("", "length")}


def test_constraints_hold_together_and_only_one_that_may_end_ends_a_text() -> None:
    both = write(400, ["ab", "bcd."], ["*", "ac"], length=9)
    assert {piece.text[0] for piece in both} == {"a", "b"}
    assert {letter for piece in both for letter in piece.text[1:]} == {"c"}
    expect(Counter(str(len(piece.text) == 1) for piece in both), {"True": 0.8, "False": 0.2}, 10.8)


def test_a_constraint_that_would_leave_no_character_is_ignored() -> None:
    constraints = Constraints([Script("ab"), Script("cd"), Script("bcd")], ALL)
    assert LETTERS.decode(np.flatnonzero(constraints.choice.drawable)) == "b"
    assert not constraints.choice.ended
    constraints = Constraints([Script("ab")], np.array(LETTERS.encode("abcdefg") > 3))
    assert LETTERS.decode(np.flatnonzero(constraints.choice.drawable)) == "efg"


def test_every_constraint_sees_the_written_characters_but_not_the_one_that_ends_the_text() -> None:
    one, other = Script("*"), Script("ab", "a.")
    constraints = Constraints([one, other], ALL)
    assert tuple(map(constraints.accept, (1, 0, 4, 0))) == (True, True, False, False)
    assert one.ids == other.ids == [1, 0]
    assert constraints.choice.ended


def test_each_sample_has_its_own_constraints() -> None:
    many, few = write(70, ["ab", "cd", "."]), write(3, ["ab", "cd", "."])
    assert many[:3] == few
    assert len({piece.text for piece in many}) == 4
