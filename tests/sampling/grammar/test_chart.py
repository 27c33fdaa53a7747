"""What may follow the beginning of a text, held to all texts of small grammars up to a length."""

import json
import random
import re
from itertools import product
from math import inf

import lark
import numpy as np
import pytest

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar import chart as chart_module
from charrnn.sampling.grammar.chart import Chart, GrammarConstraint
from charrnn.sampling.grammar.context_free import Alternative, CompiledGrammar, Grammar, Rule, Terminal
from charrnn.sampling.grammar.json_schema import json_schema_grammar
from tests.sampling.grammar.examples import EXAMPLES, GRAMMARS, PRINTABLE, chart_of, walk

LETTERS = "abc"
LONGEST = 6
ALL = np.ones(len(LETTERS), np.bool_)
S, A, B = Rule("S"), Rule("A"), Rule("B")
a, b, c = (Terminal(letter, letter) for letter in LETTERS)
some, ab = Terminal("some", "[ab]+"), Terminal("ab", "(?:ab){0,2}")
Rules = dict[Rule, list[Alternative]]
SMALL: dict[str, Rules] = {
    "right recursion": {S: [(a, S), (b,)]},
    "left recursion": {S: [(S, a), (b,)]},
    "hidden left recursion": {S: [(A, S, a), (b,)], A: [(), (c,)]},
    "cycle": {S: [(S,), (a, S), (A,)], A: [(S,), (b,)]},
    "nested": {S: [(), (a, S, b, S)]},
    "ambiguous": {S: [(S, S), (a,), (a, b)]},
    "long terminals": {S: [(some, c, A), (some,)], A: [(), (some, A)]},
    "empty terminals": {S: [(ab, A, ab), (c,)], A: [(ab,), (c, A)]},
    "palindromes": {S: [(a, S, a), (b, S, b), (c,), ()]},
    "mutual left recursion": {S: [(A, a), (b,)], A: [(S, b), (c,), (A, S)]},
    "tails": {S: [(a, A), (A,)], A: [(b, S, B), (c,)], B: [(), (c, B)]},
    "no end": {S: [(a,), (b, A), (B, B)], A: [(a, A)], B: [(A, c), ()]},
}


def language(rules: Rules) -> set[str]:
    """Return all texts of rule S of up to LONGEST characters, by applying every alternative until nothing is new."""
    words = ["".join(letters) for n in range(LONGEST + 1) for letters in product(LETTERS, repeat=n)]
    texts: dict[Rule | Terminal, set[str]] = {rule: set() for rule in rules}
    for parts in (parts for alternatives in rules.values() for parts in alternatives):
        for part in parts:
            if isinstance(part, Terminal):
                texts[part] = {word for word in words if re.fullmatch(part.pattern, word)}
    size = -1
    while size < (size := sum(map(len, texts.values()))):
        for rule, alternatives in rules.items():
            for parts in alternatives:
                found = {""}
                for part in parts:
                    found = {x + y for x in found for y in texts[part] if len(x + y) <= LONGEST}
                texts[rule] |= found
    return texts[S]


@pytest.mark.parametrize("name", SMALL)
def test_what_may_follow_equals_what_all_texts_show(name: str) -> None:
    texts = language(SMALL[name])
    chart = Chart(CompiledGrammar(name, Grammar(SMALL[name], S), LETTERS, ALL))
    assert len(texts) > 1
    for prefix in {text[:n] for text in texts for n in range(len(text) + 1)}:
        for length in range(len(prefix) + 1, LONGEST + 1):
            if not any(len(text) <= length for text in texts):
                continue
            constraint = GrammarConstraint(chart, (), length)
            reachable = True
            for letter in prefix:
                id_ = LETTERS.index(letter)
                reachable = reachable and bool(constraint.allowed(ALL)[id_])
                if reachable:
                    constraint.advance(id_)
            fits = any(text.startswith(prefix) and len(text) <= length for text in texts)
            assert reachable == fits
            if reachable:
                following = {
                    text[len(prefix)] for text in texts if text.startswith(prefix) and len(prefix) < len(text) <= length
                }
                assert {LETTERS[n] for n in np.flatnonzero(constraint.allowed(ALL))} == following
                assert constraint.may_end == (prefix in texts)


def test_a_text_at_its_length_shows_whether_it_could_go_on() -> None:
    chart = Chart(CompiledGrammar("x", Grammar(SMALL["right recursion"], S), LETTERS, ALL))
    constraint = GrammarConstraint(chart, (), 1)
    assert constraint.allowed(ALL).tolist() == [False, True, False]
    constraint.advance(1)
    assert constraint.may_end
    assert not constraint.allowed(ALL).any()
    longer = GrammarConstraint(Chart(CompiledGrammar("x", Grammar(SMALL["left recursion"], S), LETTERS, ALL)), (), 1)
    longer.advance(1)
    assert longer.may_end
    assert longer.allowed(ALL).tolist() == [True, False, False]


def test_a_prompt_is_the_beginning_of_the_text() -> None:
    chart = Chart(CompiledGrammar("--grammar g", Grammar(SMALL["palindromes"], S), LETTERS, ALL))
    constraint = GrammarConstraint(chart, [0, 1, 2], 2)
    assert constraint.allowed(ALL).tolist() == [False, True, False]
    with pytest.raises(UsageError, match=r"--grammar g: no text begins with the first 4 characters.*--no-echo"):
        GrammarConstraint(chart, [0, 1, 2, 0])
    with pytest.raises(UsageError, match=r"--grammar g: a text needs 2 characters: --length 1 is too small"):
        GrammarConstraint(chart, [0, 1, 2], 1)


def test_texts_with_equal_futures_share_a_position() -> None:
    chart = Chart(CompiledGrammar("x", Grammar(SMALL["left recursion"], S), LETTERS, ALL))
    constraint = GrammarConstraint(chart)
    for letter in "b" + "a" * 50:
        constraint.advance(LETTERS.index(letter))
    assert len(chart.positions) == 1


def test_forgotten_positions_do_not_change_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [walk(chart_of("arithmetic"), random.Random(1), 40) for _ in range(3)]
    monkeypatch.setattr(chart_module, "MAX_POSITIONS", 3)
    chart = chart_of("arithmetic")
    assert [walk(chart, random.Random(1), 40) for _ in range(3)] == texts
    assert len(chart.positions) <= 3


UNFINISHABLE = {
    *((name, "é猫 0b") for name in ("right recursion", "left recursion", "hidden left recursion", "case", "object")),
    *((name, 'y",3)q') for name in ("object", "short list", "pair", "tree", "strings", "pattern", "part", "cases")),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("without", ["", "é猫 0b", 'y",3)q'])
def test_no_random_walk_ends_in_a_dead_end(name: str, without: str) -> None:
    if (name, without) in UNFINISHABLE:
        with pytest.raises(UsageError, match="no text is possible without"):
            chart_of(name, without)
        return
    chart = chart_of(name, without)
    rng = random.Random(name)
    shortest = chart.grammar.shortest[chart.grammar.productions[0][0]]
    for _ in range(20):
        text = walk(chart, rng, int(max(shortest, 1)) + rng.randrange(60))
        assert not set(text) & set(without)


@pytest.mark.parametrize("name", [name for name in GRAMMARS if name != "empty or not"])
def test_lark_parses_every_text_of_its_grammar(name: str) -> None:
    parser, chart, rng = (
        lark.Lark(GRAMMARS[name], ambiguity="resolve", lexer="dynamic_complete"),
        chart_of(name),
        random.Random(name),
    )
    for _ in range(20):
        parser.parse(walk(chart, rng, 30))


def test_lengths_without_a_limit() -> None:
    chart = chart_of("brackets")
    assert GrammarConstraint(chart, (), inf).may_end
    allowed = GrammarConstraint(chart).allowed(np.ones(len(PRINTABLE), np.bool_))
    assert "".join(PRINTABLE[n] for n in np.flatnonzero(allowed)) == "(["


def test_positions_do_not_multiply_with_the_ways_that_lead_to_them() -> None:
    schema = {"type": "object", "properties": {f"key{n}": {"type": "boolean"} for n in range(12)}}
    grammar = json_schema_grammar(json.dumps(schema))
    chart = Chart(CompiledGrammar("x", grammar, PRINTABLE, np.ones(len(PRINTABLE), np.bool_)))
    rng = random.Random(3)
    for _ in range(300):
        walk(chart, rng, 400)
    assert 100 < len(chart.positions) < 400  # 12 times the characters of `, "key1": false` and more, not 2 ** 12
