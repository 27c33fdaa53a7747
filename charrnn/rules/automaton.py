"""From the tree of a pattern to its automaton: classes of symbols, a term, and a state for each derivative of it."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import reduce
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.rules import syntax
from charrnn.rules.syntax import Atom, Node, Side
from charrnn.rules.terms import EPSILON, Term, Terms


class Alphabet(NamedTuple):
    """Which symbols a pattern does not tell apart."""

    classes: NDArray[np.int64]  # (V,): of each symbol; -1 of one that may not be written
    K: int  # how many classes
    atoms: dict[Atom, int]  # the classes that each atom matches, a bit each


def alphabet(tree: Node, symbols: Sequence[str], usable: NDArray[np.bool_]) -> Alphabet:
    """Ask the regex package which usable symbols each atom matches; those that none tells apart are one class."""
    text = "".join(symbol for symbol, use in zip(symbols, usable, strict=True) if use)
    atoms = list(dict.fromkeys(atom for node in syntax.walk(tree) for atom in syntax.atoms(node)))
    matches = np.zeros((len(atoms), len(text)), bool)
    for row, (source, flags) in zip(matches, atoms, strict=True):
        matched = set(syntax.compiled(f"(?{flags}){source}" if flags else source).findall(text))
        row[:] = [character in matched for character in text]
    kinds, kind = np.unique(matches, axis=1, return_inverse=True)
    classes = np.full(len(symbols), -1)
    classes[usable] = kind.ravel()
    return Alphabet(classes, kinds.shape[1], {atom: bits(row) for atom, row in zip(atoms, kinds, strict=True)})


def bits(row: NDArray[np.bool_]) -> int:
    """Return an integer with a bit for each true entry."""
    return sum(1 << int(k) for k in np.flatnonzero(row))


class Builder:
    """Makes the term of a tree, from its end: a look ahead is at all that follows."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.atoms, self.terms = alphabet.atoms, Terms(alphabet.K)

    def term(self, node: Node, rest: Term) -> Term:
        """Return the term of a node and then `rest`."""
        terms = self.terms
        match node:
            case syntax.Chars(atom):
                return terms.then(terms.chars(self.atoms[atom]), rest)
            case syntax.Place(before, after):
                return terms.then(terms.place(self.beside(before), self.beside(after)), rest)
            case syntax.Seq(parts):
                return reduce(lambda follows, part: self.term(part, follows), reversed(parts), rest)
            case syntax.Look(part, negative):
                ahead = self.term(part, terms.everything)
                return terms.both([terms.complement(ahead) if negative else ahead, rest])
            case syntax.Either(ways):
                return terms.union([self.term(way, rest) for way in ways])
            case syntax.Repeat(part, least, most):
                if any(isinstance(inner, syntax.Look) for inner in syntax.walk(part)):
                    return self.unrolled(part, least, most, rest)
                return terms.then(terms.repeat(self.term(part, EPSILON), least, most), rest)

    def unrolled(self, part: Node, least: int, most: int | None, rest: Term) -> Term:
        """Return the term of a repeat that looks ahead, each time at what then follows, and then `rest`."""
        if most is None:
            raise syntax.PatternError(
                "a look ahead at more than one character in an endless repeat: give the repeat a count"
            )
        optional = again(lambda term: self.terms.union([rest, self.term(part, term)]), rest, most - least)
        return again(lambda term: self.term(part, term), optional, least)

    def beside(self, side: Side | None) -> int:
        """Return the classes that may be beside a place, and after them the bit of the text's edge."""
        every = (1 << self.terms.edge) - 1
        if side is None:
            return every | 1 << self.terms.edge
        inside = self.atoms[side.atom]
        return (inside if side.inside else every & ~inside) | side.at_edge << self.terms.edge


def again(step: Callable[[Term], Term], term: Term, count: int) -> Term:
    """Return what so many steps make of a term; once a step changes nothing, no further one does."""
    for _ in range(count):
        before, term = term, step(term)
        if term == before:
            break
    return term


def automaton(tree: Node, alphabet: Alphabet) -> tuple[NDArray[np.int64], list[bool]]:
    """Return the state that each state leads to by each class, (S, K), and in which states the text may end, (S,).

    State 0 is the start. A state is a term and, if there are places in it, the class before. Raises PatternError
    for what a term cannot say, TooComplexError for too many states.
    """
    builder = Builder(alphabet)
    terms, edge = builder.terms, builder.terms.edge
    states = {(builder.term(tree, EPSILON), edge): 0}
    arrows: list[list[int]] = []
    queue = deque(states)
    while queue:
        term, before = queue.popleft()
        arrows.append([])
        for c in range(edge):
            follows = terms.derivative(term, before, c)
            state = (follows, c if terms.placed[follows] else edge)
            if state not in states:
                states[state] = len(states)
                queue.append(state)
            arrows[-1].append(states[state])
    ends = [terms.may_be_empty(term, before, edge) for term, before in states]
    return np.array(arrows, np.int64).reshape(len(states), edge), ends


def fewest_steps(arrows: NDArray[np.int64], ends: list[bool]) -> NDArray[np.float64]:
    """Return how many characters it takes at least from each state to an end, (S,); inf where there is no way."""
    steps = np.where(ends, 0.0, inf)
    sources: dict[int, list[int]] = {}
    for source, targets in enumerate(arrows.tolist()):
        for target in targets:
            sources.setdefault(target, []).append(source)
    queue = deque(int(state) for state in np.flatnonzero(ends))
    while queue:  # from the ends back, breadth first
        target = queue.popleft()
        for source in sources.get(target, ()):
            if steps[source] == inf:
                steps[source] = steps[target] + 1
                queue.append(source)
    return steps
