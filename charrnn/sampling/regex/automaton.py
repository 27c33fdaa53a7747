"""The automaton of a pattern's tree: classes of symbols, an expression, and one state for each of its derivatives."""

from collections import deque
from collections.abc import Sequence
from functools import reduce
from math import inf

import numpy as np
from numpy.typing import NDArray

from charrnn.sampling.regex import parser
from charrnn.sampling.regex.derivatives import (
    EMPTY,
    EPSILON,
    MAX_WORK,
    Anchor,
    Chars,
    Expr,
    Expressions,
    TooComplexError,
)
from charrnn.sampling.regex.factoring import factored
from charrnn.sampling.regex.parser import Atom, Node

MAX_CELLS = 1 << 25  # of a table of transitions: 256 MB, and as much again while lengths are computed


class SymbolClasses:
    """Classes of symbols that no atom of a pattern distinguishes: the regex package matches each atom to each symbol.

    There are `K` classes. `classes` (V,) is the class of each symbol, -1 for one that may not be written; `atoms` are
    the classes that each atom matches, one bit per class.
    """

    def __init__(self, tree: Node, symbols: Sequence[str], usable: NDArray[np.bool_]) -> None:
        text = "".join(symbol for symbol, use in zip(symbols, usable, strict=True) if use)
        atoms = list(dict.fromkeys(part for part in parser.walk(tree) if isinstance(part, Atom)))
        matches = np.zeros((len(atoms), len(text)), bool)
        for row, (source, flags) in zip(matches, atoms, strict=True):
            matched = set(parser.compiled(f"(?{flags}){source}" if flags else source).findall(text))
            row[:] = [character in matched for character in text]
        numbers: dict[bytes, int] = {}  # the atoms that match the symbols of a class, as bits -> its number
        classes = [numbers.setdefault(bits.tobytes(), len(numbers)) for bits in np.packbits(matches, axis=0).T]
        self.K = len(numbers)
        self.classes = np.full(len(symbols), -1)
        self.classes[usable] = classes
        members = dict(zip(classes, range(len(text)), strict=True)).items()  # a symbol of each class
        self.atoms = {
            atom: sum(1 << k for k, member in members if row[member]) for atom, row in zip(atoms, matches, strict=True)
        }


class Compiler:
    """Turns a tree into an expression, from its end to its start: a lookahead applies to everything that follows."""

    def __init__(self, symbols: SymbolClasses) -> None:
        self.atoms, self.exprs = symbols.atoms, Expressions(symbols.K)

    def compile(self, node: Node, rest: Expr) -> Expr:
        """Return the expression of a node followed by `rest`."""
        exprs = self.exprs
        match node:
            case parser.Chars(atom):
                return exprs.concat(exprs.number(Chars(self.atoms[atom])), rest)
            case parser.Anchor(before, after):
                left, right = (self.atoms[side.atom] | side.or_edge << exprs.edge for side in (before, after))
                return exprs.concat(exprs.number(Anchor(left, right)) if left and right else EMPTY, rest)
            case parser.Concat(parts):
                return reduce(lambda follows, part: self.compile(part, follows), reversed(parts), rest)
            case parser.Lookahead(part, negative):
                ahead = self.compile(part, exprs.everything)
                return exprs.intersection([exprs.complement(ahead) if negative else ahead, rest])
            case parser.Alternation(parts):
                return exprs.union([self.compile(part, rest) for part in parts])
            case parser.Repeat(part, least, most):
                if any(isinstance(inner, parser.Lookahead) for inner in parser.walk(part)):
                    return self.unroll(part, least, most, rest)
                return exprs.concat(exprs.repeat(self.compile(part, EPSILON), least, most), rest)

    def unroll(self, part: Node, least: int, most: int | None, rest: Expr) -> Expr:
        """Return the expression of a repeat followed by `rest`, if each repetition looks ahead at what follows it."""
        if most is None:
            raise parser.PatternError(
                "a lookahead of more than one character in an endless repeat: give the repeat a count"
            )
        expr = rest
        for count, optional in ((most - least, True), (least, False)):
            for _ in range(count):
                before, expr = expr, self.compile(part, expr)
                if optional:
                    expr = self.exprs.union([rest, expr])
                if expr == before:
                    break
        return expr


def build_automaton(tree: Node, symbols: SymbolClasses) -> tuple[NDArray[np.int64], list[bool]]:
    """Return the next state for each state and class, (S, K), and in which states the text may end, (S,).

    State 0 is the start. A state is an expression and, if there are anchors in it, the class of the character before.
    Raises PatternError for what no expression can represent, TooComplexError for too many states.
    """
    compiler = Compiler(symbols)
    exprs, edge = compiler.exprs, compiler.exprs.edge
    states = {(compiler.compile(factored(tree), EPSILON), edge): 0}
    before = characters_before(exprs)
    transitions: list[list[int]] = []
    queue = deque(states)

    def state(expr: Expr, c: int) -> int:
        key = (expr, before[c] if exprs.anchored[expr] else edge)
        if key not in states:
            states[key] = len(states)
            queue.append(key)
        return states[key]

    while queue:
        expr, preceding = queue.popleft()
        found = exprs.all_derivatives(expr, preceding)
        if exprs.anchored[found.usual]:
            row = [state(found.usual, c) for c in range(edge)]
        else:
            row = [state(found.usual, edge)] * edge if len(found.others) < edge else [0] * edge
        for c, follows in found.others.items():
            row[c] = state(follows, c)
        transitions.append(row)
        if len(states) * edge > MAX_CELLS:
            raise TooComplexError
    may_end = [exprs.nullable(expr, preceding, edge) for expr, preceding in states]
    return np.array(transitions, np.int64).reshape(len(states), edge), may_end


def characters_before(exprs: Expressions) -> list[int]:
    """Return for each class the first one that the anchors do not distinguish from it, as the character before them."""
    anchors = [form for form in exprs.forms if isinstance(form, Anchor)]
    alike: dict[tuple[int, ...], int] = {}
    return [alike.setdefault(tuple(form.before >> c & 1 for form in anchors), c) for c in range(exprs.edge)]


def counted(
    transitions: NDArray[np.int64], may_end: list[bool], least: int, most: int | None
) -> tuple[NDArray[np.int64], list[bool]]:
    """Return the automaton of the texts that have `least` to `most` characters, None for no limit.

    A state is one of the states given and the number of characters so far, as far as it matters. Raises TooComplexError
    for too many states.
    """
    S, counts = len(transitions), (least if most is None else most) + 1
    if S * counts > MAX_WORK // 10 or S * counts * transitions.shape[1] > MAX_CELLS:
        raise TooComplexError
    following = np.minimum(np.arange(1, counts + 1), counts if most is not None else least)
    table = (transitions + S * following[:, None, None]).reshape(S * counts, -1)
    ends = (np.array(may_end) & (np.arange(counts)[:, None] >= least)).ravel()
    if most is not None:
        table = np.append(np.minimum(table, S * counts), np.full((1, table.shape[1]), S * counts), axis=0)
        ends = np.append(ends, False)  # the last state, after too many characters
    reached, queue, places = np.zeros(len(table), np.bool_), np.zeros(1, np.int64), np.zeros(len(table), np.int64)
    while len(queue):
        reached[queue] = True
        found = table[queue].ravel()
        queue = different(found[~reached[found]], places)
    return (np.cumsum(reached) - 1)[table[reached]], ends[reached].tolist()


def shortest_matches(transitions: NDArray[np.int64], may_end: list[bool]) -> NDArray[np.float64]:
    """Return the least number of characters from each state to one where the text may end, (S,); inf if none."""
    lengths = np.where(may_end, 0.0, inf)
    order = np.argsort(transitions, axis=None, kind="stable")  # transitions by their targets
    sources = order // max(transitions.shape[1], 1)
    starts = np.searchsorted(transitions.ravel()[order], np.arange(len(transitions) + 1))
    queue, length, places = np.flatnonzero(may_end), 0, np.zeros(len(transitions), np.int64)
    while len(queue):  # backwards, breadth first
        length += 1
        counts = starts[queue + 1] - starts[queue]
        into = np.arange(counts.sum()) + np.repeat(starts[queue] - (np.cumsum(counts) - counts), counts)
        found = sources[into]
        queue = different(found[lengths[found] == inf], places)
        lengths[queue] = length
    return lengths


def different(states: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return states (N,) without duplicates, in time O(N); `places` (S,) is overwritten."""
    order = np.arange(len(states))
    places[states] = order  # of equal states one place remains
    found: NDArray[np.int64] = states[places[states] == order]
    return found
