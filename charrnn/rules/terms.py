"""Sets of texts as terms, and what is left of them after a character: derivatives (Brzozowski 1964).

The derivative of a set of texts by a character c is what may follow where c has come first:

    d(one of the characters) = ε if c is one of them, else ∅
    d(r·s) = d(r)·s, and where r may be empty also d(s)       d(r{m,n}) = d(r)·r{m-1,n-1}
    d(r ∪ s) = d(r) ∪ d(s)       d(r ∩ s) = d(r) ∩ d(s)       d(¬r) = ¬d(r)

There are finitely many, as long as ∪ and ∩ are sets: they are the states of an automaton. Characters that no part of a
pattern tells apart are one class, which is what a derivative is taken by (Owens, Reppy and Turon 2009). An anchor is a
place: an empty text that is there or not by the characters beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

WORK = 1_000_000  # derivatives that may be taken and parts put together: a second or two

Term = int  # the number of a shape
EMPTY, EPSILON = 0, 1  # no text at all; the empty text


class TooComplexError(Exception):
    """More to do than WORK."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of some classes, a bit for each."""

    classes: int


@dataclass(frozen=True, slots=True)
class Place:
    """The empty text between such a class and such a class; the bit after the last class is the text's edge."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Then:
    """A text of the first, then one of the second."""

    first: Term
    second: Term


@dataclass(frozen=True, slots=True)
class Union:
    """A text of any of them: ∪."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """A text of all of them: ∩."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A text that is not of it."""

    part: Term


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` texts of it, one after the other; None is no limit."""

    part: Term
    least: int
    most: int | None


Shape = Chars | Place | Then | Union | Both | Not | Repeat


def below(shape: Shape) -> tuple[Term, ...]:
    """Return the terms that a shape is made of."""
    match shape:
        case Chars() | Place():
            return ()
        case Then(first, second):
            return first, second
        case Union(parts) | Both(parts):
            return parts
        case Not(part) | Repeat(part):
            return (part,)


class Terms:
    """The terms over K classes, each stored once: equal shapes have the same number.

    The methods that make terms simplify them, so that there are few; each holds for texts at any place.
    """

    def __init__(self, K: int) -> None:
        self.edge = K
        self.shapes: list[Shape] = []
        self.numbers: dict[Shape, Term] = {}
        self.placed: list[bool] = []  # whether there is a place in it, so that what is before it matters
        self.derivatives: dict[tuple[Term, int, int], Term] = {}
        self.empties: dict[tuple[Term, int, int], bool] = {}
        self.worked = 0
        self.number(Chars(0))  # EMPTY
        self.number(Repeat(EMPTY, 0, 0))  # EPSILON
        self.everything = self.number(Repeat(self.chars((1 << K) - 1), 0, None))

    def work(self, amount: int) -> None:
        """Count what was done, and raise TooComplexError when it is too much."""
        self.worked += amount
        if self.worked > WORK:
            raise TooComplexError

    def number(self, shape: Shape) -> Term:
        """Return the term of a shape, a new one if there is none yet."""
        if shape not in self.numbers:
            self.numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
            self.placed.append(isinstance(shape, Place) or any(self.placed[part] for part in below(shape)))
        return self.numbers[shape]

    def chars(self, classes: int) -> Term:
        """Return the term of one character of some classes."""
        return self.number(Chars(classes))

    def place(self, before: int, after: int) -> Term:
        """Return the term of a place between some classes and some others."""
        return self.number(Place(before, after)) if before and after else EMPTY

    def then(self, first: Term, second: Term) -> Term:
        """Return first·second, whose first is never itself such a term."""
        if EMPTY in (first, second):
            return EMPTY
        if EPSILON in (first, second):
            return first if second == EPSILON else second
        shape = self.shapes[first]
        if isinstance(shape, Then):
            return self.then(shape.first, self.then(shape.second, second))
        return self.number(Then(first, second))

    def flat(self, term: Term, kind: type[Union] | type[Both]) -> tuple[Term, ...]:
        """Return the parts of a term of that kind; any other is itself its only part."""
        shape = self.shapes[term]
        return shape.parts if isinstance(shape, kind) else (term,)

    def union(self, parts: Iterable[Term]) -> Term:
        """Return the union: a sorted set without unions in it, the single characters put together."""
        flat, classes = set[Term](), 0
        for part in chain.from_iterable(self.flat(part, Union) for part in parts):
            shape = self.shapes[part]
            if isinstance(shape, Chars):
                classes |= shape.classes
            else:
                flat.add(part)
        flat |= {self.chars(classes)} - {EMPTY}
        self.work(len(flat))
        if self.everything in flat:
            return self.everything
        if EPSILON in flat and any(self.always_empty(part) for part in flat - {EPSILON}):
            flat.remove(EPSILON)
        return self.number(Union(tuple(sorted(flat)))) if len(flat) > 1 else flat.pop() if flat else EMPTY

    def both(self, parts: Iterable[Term]) -> Term:
        """Return the intersection: a sorted set without intersections in it."""
        flat = set(chain.from_iterable(self.flat(part, Both) for part in parts)) - {self.everything}
        self.work(len(flat))
        if EMPTY in flat:
            return EMPTY
        return self.number(Both(tuple(sorted(flat)))) if len(flat) > 1 else flat.pop() if flat else self.everything

    def complement(self, part: Term) -> Term:
        """Return the term of all other texts."""
        shape = self.shapes[part]
        if part == EMPTY:
            return self.everything
        return shape.part if isinstance(shape, Not) else EMPTY if part == self.everything else self.number(Not(part))

    def repeat(self, part: Term, least: int, most: int | None) -> Term:
        """Return part{least,most}. One that can be empty, or whose places matter, is counted from 0 alone."""
        if part == EPSILON or most == 0 or (part == EMPTY and not least):
            return EPSILON
        if part == EMPTY or (least, most) == (1, 1):
            return part
        if least and self.placed[part]:
            return self.then(part, self.repeat(part, least - 1, None if most is None else most - 1))
        shape = self.shapes[part]
        if isinstance(shape, Repeat) and (shape.least, shape.most, most) == (0, None, None):
            return part
        return self.number(Repeat(part, 0 if self.always_empty(part) else least, most))

    def always_empty(self, term: Term) -> bool:
        """Tell whether the empty text is one of them, at whatever place."""
        return not self.placed[term] and self.may_be_empty(term, self.edge, self.edge)

    def may_be_empty(self, term: Term, before: int, after: int) -> bool:
        """Tell whether the empty text is one of them, between these two classes."""
        key = (term, before, after) if self.placed[term] else (term, self.edge, self.edge)
        if key not in self.empties:
            match self.shapes[term]:
                case Chars():
                    found = False
                case Place(left, right):
                    found = bool(left >> before & right >> after & 1)
                case Then(first, second):
                    found = all(self.may_be_empty(part, before, after) for part in (first, second))
                case Union(parts):
                    found = any(self.may_be_empty(part, before, after) for part in parts)
                case Both(parts):
                    found = all(self.may_be_empty(part, before, after) for part in parts)
                case Not(part):
                    found = not self.may_be_empty(part, before, after)
                case Repeat(part, least):
                    found = least == 0 or self.may_be_empty(part, before, after)
            self.empties[key] = found
        return self.empties[key]

    def derivative(self, term: Term, before: int, c: int) -> Term:
        """Return what may follow where a character of class c has come first, and one of class `before` before it."""
        key = (term, before if self.placed[term] else self.edge, c)
        if key not in self.derivatives:
            self.work(4)
            self.derivatives[key] = self.derived(self.shapes[term], before, c)
        return self.derivatives[key]

    def derived(self, shape: Shape, before: int, c: int) -> Term:
        """Return the derivative by its rules, which stand above."""
        match shape:
            case Chars(classes):
                return EPSILON if classes >> c & 1 else EMPTY
            case Place():
                return EMPTY
            case Then(first, second):
                ways = [self.then(self.derivative(first, before, c), second)]
                if self.may_be_empty(first, before, c):
                    ways.append(self.derivative(second, before, c))
                return self.union(ways)
            case Union(parts):
                return self.union([self.derivative(part, before, c) for part in parts])
            case Both(parts):
                return self.both([self.derivative(part, before, c) for part in parts])
            case Not(part):
                return self.complement(self.derivative(part, before, c))
            case Repeat(part, least, most):
                rest = self.repeat(part, max(least - 1, 0), None if most is None else most - 1)
                return self.then(self.derivative(part, before, c), rest)
