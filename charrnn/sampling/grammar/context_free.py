"""Context-free grammars over the characters that may be written, with the shortest text of each symbol.

A grammar is usable if its start symbol has a text at all. Alternatives without a text are dropped in advance, so that
no sample can run into a dead end, whatever characters a vocabulary lacks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.core.sample import Mask
from charrnn.sampling.regex.automaton import SymbolClasses, build_automaton, shortest_matches
from charrnn.sampling.regex.derivatives import TooComplexError
from charrnn.sampling.regex.parser import PatternError, compiled, parse

NAMES_SHOWN = 5  # of terminals in a message
WHOLE = "<whole>"  # the rule above the start rule, whose completion is the end of the text


class Rule(NamedTuple):
    """A symbol that is replaced by the symbols of one of its alternatives."""

    name: str


class Terminal(NamedTuple):
    """A symbol whose texts are those that a regular expression matches as a whole; `name` is for messages."""

    name: str
    pattern: str


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

    `transitions` (S, K) and `may_end` (S,) are those of `build_automaton`, `lengths` (S,) of `shortest_matches`, and
    `classes` (V,) the class of each symbol, -1 for one that may not be written.
    """

    def __init__(self, terminal: Terminal, symbols: Sequence[str], usable: Mask) -> None:
        try:
            compiled(terminal.pattern)
            tree = parse(terminal.pattern)
            known = SymbolClasses(tree, symbols, usable)
            self.transitions, self.may_end = build_automaton(tree, known)
        except PatternError as error:
            raise UsageError(f"{terminal.name}: {error}") from error
        except (TooComplexError, RecursionError) as error:
            raise UsageError(f"{terminal.name}: too many cases to distinguish: use smaller counts") from error
        self.classes = known.classes
        self.lengths = shortest_matches(self.transitions, self.may_end)


class CompiledGrammar:
    """A grammar over the symbols (V,) of a vocabulary; only those for which `usable` (V,) is true are written.

    Symbols that no terminal distinguishes form one of K classes: `classes` (V,), K for what may not be written.
    `transitions[terminal]` (S, K) are the states after a character of each class, `after[terminal]` (S, K) the fewest
    characters that then complete the terminal. `shortest` is the length of the shortest text of each symbol;
    `lacking` are the names of terminals that cannot be written, whose alternatives are left out.
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
        try:
            automata = {terminal: Automaton(terminal, symbols, usable) for terminal in terminals}
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        self.add_classes(automata, usable)
        self.may_end = {terminal: automaton.may_end for terminal, automaton in automata.items()}
        self.shortest: dict[Symbol, float] = {terminal: each.lengths[0] for terminal, each in automata.items()}
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
        self.of_rule: dict[Rule, list[int]] = {rule: [] for rule in rules}
        for number, (rule, _) in enumerate(self.productions):
            self.of_rule[rule].append(number)
        self.tails = [
            [sum(self.shortest[part] for part in parts[dot:]) for dot in range(len(parts) + 1)]
            for _, parts in self.productions
        ]

    def add_classes(self, automata: Mapping[Terminal, Automaton], usable: Mask) -> None:
        """Join the classes of all automata, so that one look-up serves them all."""
        rows = np.array([each.classes[usable] for each in automata.values()]).reshape(-1, usable.sum())
        columns, column = np.unique(rows, axis=1, return_inverse=True)
        self.K = columns.shape[1]
        self.classes = np.full(len(usable), self.K)
        self.classes[usable] = column.ravel()
        self.transitions: dict[Terminal, list[list[int]]] = {}
        self.after: dict[Terminal, NDArray[np.float64]] = {}
        for (terminal, automaton), own in zip(automata.items(), columns, strict=True):
            targets = automaton.transitions[:, own]
            self.transitions[terminal] = targets.tolist()
            self.after[terminal] = automaton.lengths[targets]


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
