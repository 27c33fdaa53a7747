"""Grammars over a vocabulary: shortest texts, and what is refused."""

import re
from itertools import product
from math import inf

import numpy as np
import pytest

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.context_free import Automaton, CompiledGrammar, Grammar, Rule, Terminal

S, A = Rule("S"), Rule("A")
WORD, EMPTY_OR_DIGITS, CAT = Terminal("WORD", "[a-z]{2,}"), Terminal("DIGITS", "[0-9]*"), Terminal('"cat"', "cat")


def compiled(
    rules: dict[Rule, list[tuple[Rule | Terminal, ...]]], symbols: str, ignored: tuple[Terminal, ...] = ()
) -> CompiledGrammar:
    return CompiledGrammar("--grammar g", Grammar(rules, S, ignored), symbols, np.ones(len(symbols), np.bool_))


def test_the_shortest_text_of_each_symbol() -> None:
    grammar = compiled({S: [(A, WORD, A), (WORD, WORD, WORD)], A: [(EMPTY_OR_DIGITS, CAT), (S, S)]}, "abct1")
    lengths = {symbol.name: length for symbol, length in grammar.shortest.items()}
    assert lengths == {"WORD": 2, "DIGITS": 0, '"cat"': 3, "S": 6, "A": 3, "<whole>": 6}


def test_alternatives_without_a_text_are_dropped() -> None:
    grammar = compiled({S: [(A, WORD), (WORD,), (CAT,)], A: [(A, WORD), (CAT,)]}, "ab")
    assert [(rule.name, [part.name for part in parts]) for rule, parts in grammar.productions] == [
        ("<whole>", ["S"]),
        ("S", ["WORD"]),
    ]
    assert grammar.shortest[CAT] == grammar.shortest[A] == inf


def test_what_a_vocabulary_lacks_is_named() -> None:
    with pytest.raises(UsageError, match=r'^--grammar g: no text is possible without "cat"$'):
        compiled({S: [(CAT, WORD)]}, "abc")
    with pytest.raises(UsageError, match="no text is finite"):
        compiled({S: [(S, WORD)]}, "abc")


def test_symbols_that_no_terminal_distinguishes_share_a_class() -> None:
    grammar = compiled({S: [(WORD, EMPTY_OR_DIGITS)]}, "a1b2-")
    classes = grammar.classes.tolist()
    assert grammar.K == 3
    assert (classes[0], classes[1]) == (classes[2], classes[3])
    assert len(set(classes)) == 3


def test_symbols_that_may_not_be_written_are_in_the_last_class() -> None:
    usable = np.array([True, False, True])
    grammar = CompiledGrammar("g", Grammar({S: [(WORD,)]}, S), "abc", usable)
    assert grammar.classes.tolist() == [0, 1, 0]
    assert grammar.K == 1


def test_ignored_terminals_may_surround_each_terminal() -> None:
    blank = Terminal("BLANK", " ")
    written = Grammar({S: [(WORD, A)], A: [(), (CAT,)]}, S, [blank]).with_ignored()
    space = Rule("<ignored>")
    assert written.rules == {
        S: [(WORD, space, A)],
        A: [(), (CAT, space)],
        space: [(), (space, blank)],
        Rule("<begin>"): [(space, S)],
    }
    assert written.start == Rule("<begin>")


@pytest.mark.parametrize(
    ("pattern", "problem"), [(r"(a)\1", "position"), ("[a-z]{3000,9000}[b-d]{3000}", "too many cases")]
)
def test_patterns_that_are_refused(pattern: str, problem: str) -> None:
    with pytest.raises(UsageError, match=f"^--grammar g: X: .*{problem}"):
        compiled({S: [(Terminal("X", pattern),)]}, "abc")


@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 3), (2, 4), (3, None), (5, 2)])
@pytest.mark.parametrize("pattern", ["a*", "(?:ab|c)*", "a{2}b?", "abc"])
def test_terminals_of_bounded_length(pattern: str, least: int, most: int | None) -> None:
    automaton = Automaton(Terminal("X", pattern, least, most), "abc", np.ones(3, np.bool_))
    lengths = list[int]()
    for letters in (letters for n in range(6) for letters in product("abc", repeat=n)):
        state, text = 0, "".join(letters)
        for letter in letters:
            state = int(automaton.transitions[state, automaton.classes["abc".index(letter)]])
        fits = least <= len(text) and (most is None or len(text) <= most)
        assert automaton.may_end[state] == bool(fits and re.fullmatch(pattern, text)), text
        lengths += [len(text)] * automaton.may_end[state]
    assert automaton.shortest == min(lengths, default=inf)


def test_the_automaton_of_a_text_is_that_of_its_pattern() -> None:
    for text in ("a", "a.b", "aab\n", "a-z"):
        quick = Automaton(Terminal("X", re.escape(text)), "ab.\n-z", np.array([True] * 5 + [text != "a-z"]))
        slow = Automaton(Terminal("X", f"(?:{re.escape(text)})"), "ab.\n-z", np.array([True] * 5 + [text != "a-z"]))
        states, state = {0: 0}, 0
        for character in text:
            n = "ab.\n-z".index(character)
            assert (quick.after[state].min(), quick.shortest) == (slow.after[states[state]].min(), slow.shortest)
            state, before = int(quick.transitions[state, quick.classes[n]]), states[state]
            states[state] = int(slow.transitions[before, slow.classes[n]])
            assert quick.may_end[state] == slow.may_end[states[state]]
