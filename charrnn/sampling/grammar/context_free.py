"""Context-free grammars over the characters that may be written, with the shortest text of each symbol.

A grammar is usable if its start symbol has a text at all. Alternatives without a text are dropped in advance, so that
no sample can run into a dead end, whatever characters a vocabulary lacks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.core.sample import Mask
from charrnn.sampling.regex.automaton import SymbolClasses, build_automaton, counted, shortest_matches
from charrnn.sampling.regex.derivatives import TooComplexError
from charrnn.sampling.regex.parser import PatternError, compiled, parse

NAMES_SHOWN = 5  # of terminals in a message
WHOLE = "<whole>"  # the rule above the start rule, whose completion is the end of the text
NOTHING = 0  # the suffix of a production without symbols


class Rule(NamedTuple):
    """A symbol that is replaced by the symbols of one of its alternatives."""

    name: str


class Terminal(NamedTuple):
    """A symbol whose texts are those that a regular expression matches as a whole; `name` is for messages.

    They have `least` to `most` characters, None for no limit.
    """

    name: str
    pattern: str
    least: int = 0
    most: int | None = None


Symbol = Rule | Terminal
Alternative = tuple[Symbol, ...]


@dataclass(frozen=True)
class Grammar:
    """The alternatives of each rule, the rule of whole texts, and terminals that may surround every terminal."""

    rules: Mapping[Rule, Sequence[Alternative]]
    start: Rule
    ignored: Sequence[Terminal] = ()

    def with_ignored(self) -> "Grammar":
        """Return the same grammar with its ignored terminals written out, at the start and after each terminal."""
        if not self.ignored:
            return self
        space, begin = Rule("<ignored>"), Rule("<begin>")

        def spaced(alternative: Alternative) -> Alternative:
            return tuple(
                part for symbol in alternative for part in ((symbol, space)[: 1 + isinstance(symbol, Terminal)])
            )

        rules = {rule: [spaced(each) for each in alternatives] for rule, alternatives in self.rules.items()}
        rules[space] = [(), *((space, terminal) for terminal in self.ignored)]
        rules[begin] = [(space, self.start)]
        return Grammar(rules, begin)


class Automaton:
    """The automaton of a terminal over the symbols of a vocabulary; raises UsageError if its pattern is refused.

    `transitions` (S, K) and `may_end` (S,) are those of `build_automaton`, `classes` (V,) the class of each symbol, -1
    for one that may not be written. `shortest` is the length of the shortest text, `after` (S, K) how many characters
    then complete a text after one of each class, inf if none do, and `continues` (S,) whether any does.
    """

    def __init__(self, terminal: Terminal, symbols: Sequence[str], usable: Mask) -> None:
        text = re.sub(r"\\(\W)", r"\1", terminal.pattern, flags=re.DOTALL)
        if re.escape(text) == terminal.pattern and terminal[2:] == (0, None):
            self.transitions, lengths, self.classes = text_automaton(text, symbols, usable)
            self.may_end = (lengths == 0).tolist()
        else:
            self.transitions, self.may_end, self.classes = pattern_automaton(terminal, symbols, usable)
            lengths = shortest_matches(self.transitions, self.may_end)
        self.shortest = float(lengths[0])
        self.after = lengths[self.transitions]
        self.continues = (self.after.min(axis=1) < inf).tolist()


def text_automaton(
    text: str, symbols: Sequence[str], usable: Mask
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the transitions (S, K) and classes (V,) of one text, and the characters from each state to its end, (S,).

    No derivatives are needed for a text. The last state is after another text; without a way to the end it is inf.
    """
    found = {symbol: n for n, symbol in enumerate(symbols) if symbol in text and usable[n]}
    classes = np.where(usable, len(found), -1)
    classes[list(found.values())] = np.arange(len(found))
    transitions = np.full((len(text) + 2, len(found) + 1), len(text) + 1)
    lengths = np.append(np.arange(len(text), -1, -1.0), inf)
    for n, character in enumerate(text):
        if character in found:
            transitions[n, classes[found[character]]] = n + 1
        else:
            lengths[: n + 1] = inf
    return transitions, lengths, classes


def pattern_automaton(
    terminal: Terminal, symbols: Sequence[str], usable: Mask
) -> tuple[NDArray[np.int64], list[bool], NDArray[np.int64]]:
    """Return the transitions (S, K), ends (S,) and classes (V,) of a terminal's automaton."""
    try:
        compiled(terminal.pattern)
        tree = parse(terminal.pattern)
        known = SymbolClasses(tree, symbols, usable)
        transitions, may_end = build_automaton(tree, known)
        if terminal.least or terminal.most is not None:
            transitions, may_end = counted(transitions, may_end, terminal.least, terminal.most)
    except PatternError as error:
        raise UsageError(f"{terminal.name}: {error}") from error
    except (TooComplexError, RecursionError) as error:
        raise UsageError(f"{terminal.name}: too many cases to distinguish: use smaller counts") from error
    return transitions, may_end, known.classes


class CompiledGrammar:
    """A grammar over the symbols (V,) of a vocabulary; only those for which `usable` (V,) is true are written.

    Symbols that no terminal distinguishes form one of K classes: `classes` (V,), K for what may not be written;
    `own_class[terminal]` (K,) are the classes of its automaton. `shortest` is the length of the shortest text of each
    symbol; `lacking` are the names of terminals that cannot be written, whose alternatives are left out.

    The rests of productions are numbered: suffix `n` is the symbol `first[n]` and then suffix `next[n]`, and its
    shortest text has `tails[n]` characters. `alternatives` are the numbers of whole productions by rule.
    Raises UsageError if no text of usable symbols is in the grammar, naming what it lacks.
    """

    def __init__(self, name: str, grammar: Grammar, symbols: Sequence[str], usable: Mask) -> None:
        self.name = name
        whole = Rule(WHOLE)
        grammar = grammar.with_ignored()
        rules = {whole: [(grammar.start,)], **grammar.rules}
        terminals = {
            part: None for each in rules.values() for parts in each for part in parts if isinstance(part, Terminal)
        }
        different = {terminal[1:]: terminal for terminal in reversed(terminals)}  # names do not matter
        try:
            made = {key: Automaton(terminal, symbols, usable) for key, terminal in different.items()}
            self.automata = {terminal: made[terminal[1:]] for terminal in terminals}
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        self.add_classes(usable)
        self.shortest: dict[Symbol, float] = {terminal: each.shortest for terminal, each in self.automata.items()}
        add_shortest(self.shortest, rules)
        self.lacking = [terminal.name for terminal in terminals if self.shortest[terminal] == inf]
        if self.shortest[whole] == inf:
            problem = (
                f"possible without {listed(self.lacking)}" if self.lacking else "finite: each contains a longer one"
            )
            raise UsageError(f"{name}: no text is {problem}")
        self.productions = [
            (rule, parts)
            for rule, alternatives in rules.items()
            for parts in alternatives
            if all(self.shortest[part] < inf for part in parts)
        ]
        self.first: list[Symbol] = [whole]  # that of NOTHING is not used
        self.next, self.tails = [NOTHING], [0.0]
        self.suffixes: dict[Alternative, int] = {(): NOTHING}
        self.alternatives: dict[Rule, list[int]] = {rule: [] for rule in rules}
        for rule, parts in self.productions:
            self.alternatives[rule].append(self.suffix(parts))

    def suffix(self, parts: Alternative) -> int:
        """Return the number of the rest of a production."""
        for start in range(len(parts) - 1, -1, -1):
            if parts[start:] not in self.suffixes:
                following = self.suffixes[parts[start + 1 :]]
                self.suffixes[parts[start:]] = len(self.first)
                self.first.append(parts[start])
                self.next.append(following)
                self.tails.append(self.shortest[parts[start]] + self.tails[following])
        return self.suffixes[parts]

    def add_classes(self, usable: Mask) -> None:
        """Join the classes of all automata, so that one look-up serves them all."""
        rows = np.array([each.classes[usable] for each in self.automata.values()]).reshape(-1, usable.sum())
        columns, column = np.unique(rows, axis=1, return_inverse=True)
        self.K = columns.shape[1]
        self.classes = np.full(len(usable), self.K)
        self.classes[usable] = column.ravel()
        self.own_class: dict[Terminal, NDArray[np.int64]] = dict(zip(self.automata, columns, strict=True))


def add_shortest(shortest: dict[Symbol, float], rules: Mapping[Rule, Sequence[Alternative]]) -> None:
    """Add the length of the shortest text of each rule, inf if it has none, to those of the terminals."""
    shortest.update(dict.fromkeys(rules, inf))
    changed = True
    while changed:
        changed = False
        for rule, alternatives in rules.items():
            best = min((sum(shortest[part] for part in parts) for parts in alternatives), default=inf)
            if best < shortest[rule]:
                shortest[rule], changed = best, True


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list for a message."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
