"""Sets of texts as expressions, and what may follow a character: derivatives (Brzozowski 1964).

The derivative of an expression by a character c describes what may follow in a text that begins with c:

    d(one of the characters) = ε if c is one of them, else ∅
    d(r·s) = d(r)·s, and if r may be empty also d(s)          d(r{m,n}) = d(r)·r{m-1,n-1}
    d(r ∪ s) = d(r) ∪ d(s)       d(r ∩ s) = d(r) ∩ d(s)       d(¬r) = ¬d(r)

There are finitely many derivatives, as long as ∪ and ∩ are sets: they are the states of an automaton. Characters that
no part of a pattern distinguishes form one class, and derivatives are taken by class (Owens, Reppy and Turon 2009), all
at once: most classes have the same one, usually ∅. An anchor is the empty text, but only between certain characters.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Literal, NamedTuple

MAX_WORK = 2_000_000  # derivatives taken and parts combined: a few seconds

Operator = Literal["·", "∪", "∩", "¬"]
Expr = int  # the number of a form: an expression
EMPTY, EPSILON = 0, 1  # no text at all; the empty text


class TooComplexError(Exception):
    """The automaton would take more than MAX_WORK."""


class Chars(NamedTuple):
    """One character of certain classes, one bit per class."""

    classes: int


class Anchor(NamedTuple):
    """The empty text between characters of certain classes; the bit after the last class is the text's edge."""

    before: int
    after: int


class Repeat(NamedTuple):
    """`least` to `most` texts of the part, one after the other; None for no limit."""

    part: Expr
    least: int
    most: int | None


class Combination(NamedTuple):
    """A text of two parts in turn (·), of at least one part (∪), of every part (∩), or not of the only part (¬)."""

    operator: Operator
    parts: tuple[Expr, ...]


class Derivatives(NamedTuple):
    """The derivatives of an expression by all classes: those that differ from the usual one, by class."""

    usual: Expr
    others: dict[int, Expr]

    def by(self, c: int) -> Expr:
        """Return the derivative by class c."""
        return self.others.get(c, self.usual)


Form = Chars | Anchor | Repeat | Combination  # tuples of different lengths or types: two kinds are never equal


def joined_ranges(ranges: Iterable[tuple[int, float]]) -> list[tuple[int, int | None]]:
    """Return ranges of counts with those that overlap or touch joined; None for no upper limit."""
    joined: list[tuple[int, float]] = []
    for least, most in sorted(ranges):
        if joined and least <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], most)
        else:
            joined.append((least, most))
    return [(least, None if most == inf else int(most)) for least, most in joined]


class Expressions:
    """The expressions over K classes of characters. Each is stored once: equal forms have the same number.

    The methods that make expressions simplify them in ways that hold in any context, so that there are few.
    """

    def __init__(self, K: int) -> None:
        self.edge = K
        self.forms: list[Form] = []
        self.numbers: dict[Form, Expr] = {}
        self.anchored: list[bool] = []  # whether an anchor is in it, so that the character before it matters
        self.derivatives: dict[tuple[Expr, int], Derivatives] = {}
        self.nullables: dict[tuple[Expr, int, int], bool] = {}
        self.worked = 0
        self.number(Chars(0))  # EMPTY
        self.number(Repeat(EMPTY, 0, 0))  # EPSILON
        self.everything = self.number(Repeat(self.number(Chars((1 << K) - 1)), 0, None))

    def work(self, amount: int) -> None:
        """Count work; raises TooComplexError when it is too much."""
        self.worked += amount
        if self.worked > MAX_WORK:
            raise TooComplexError

    def number(self, form: Form) -> Expr:
        """Return the number of a form, a new one if it is not stored yet."""
        if form not in self.numbers:
            self.numbers[form] = len(self.forms)
            self.forms.append(form)
            parts = form.parts if isinstance(form, Combination) else [form.part] if isinstance(form, Repeat) else []
            self.anchored.append(isinstance(form, Anchor) or any(self.anchored[part] for part in parts))
        return self.numbers[form]

    def parts(self, expr: Expr, operator: Operator) -> tuple[Expr, ...]:
        """Return the parts that an operator combines to an expression; any other expression is its own only part."""
        form = self.forms[expr]
        return form.parts if isinstance(form, Combination) and form.operator == operator else (expr,)

    def concat(self, first: Expr, second: Expr) -> Expr:
        """Return first·second, nested to the right: the first is never itself a concatenation."""
        if EMPTY in (first, second):
            return EMPTY
        if EPSILON in (first, second):
            return first if second == EPSILON else second
        parts = [first]
        while len(self.parts(parts[-1], "·")) > 1:
            parts[-1:] = self.parts(parts[-1], "·")
        for part in reversed(parts):
            second = self.number(Combination("·", (part, second)))
        return second

    def union(self, exprs: Iterable[Expr]) -> Expr:
        """Return the union: a sorted set without unions in it, single characters and counts of one part merged."""
        exprs = {*exprs} - {EMPTY}
        if len(exprs) == 1:
            return exprs.pop()
        flat, classes = set[Expr](), 0
        for part in [part for expr in exprs for part in self.parts(expr, "∪")]:
            form = self.forms[part]
            if isinstance(form, Chars):
                classes |= form.classes
            else:
                flat.add(part)
        flat |= {self.number(Chars(classes))} - {EMPTY}
        self.work(len(flat))
        if len(flat) > 1:
            flat = self.with_merged_counts(flat)
        if self.everything in flat:
            return self.everything
        if EPSILON in flat and any(self.always_nullable(part) for part in flat - {EPSILON}):
            flat.remove(EPSILON)
        return self.number(Combination("∪", tuple(sorted(flat)))) if len(flat) > 1 else flat.pop() if flat else EMPTY

    def with_merged_counts(self, parts: set[Expr]) -> set[Expr]:
        """Return the parts of a union with r{0,3}·s and r{2,5}·s replaced by r{0,5}·s, for any r and s."""
        counted: dict[tuple[Expr, Expr], dict[Expr, tuple[int, float]]] = {}  # (r, s) -> part -> its counts
        for expr in parts - {EPSILON}:
            first, second = (*self.parts(expr, "·"), EPSILON)[:2]
            form = self.forms[first]
            if isinstance(form, Repeat):
                counts = form.least, inf if form.most is None else form.most
                counted.setdefault((form.part, second), {})[expr] = counts
        for (part, second), found in counted.items():
            more = {second: (0, 0.0), self.concat(part, second): (1, 1.0)}  # r{0,0}·s and r{1,1}·s
            found |= {expr: counts for expr, counts in more.items() if expr in parts}
            if len(found) > 1:
                ranges = joined_ranges(found.values())
                parts = parts - found.keys() | {self.concat(self.repeat(part, *counts), second) for counts in ranges}
        return parts

    def intersection(self, exprs: Iterable[Expr]) -> Expr:
        """Return the intersection: a sorted set without intersections in it."""
        flat = {part for expr in exprs for part in self.parts(expr, "∩")} - {self.everything}
        self.work(len(flat))
        if EMPTY in flat:
            return EMPTY
        if len(flat) > 1:
            return self.number(Combination("∩", tuple(sorted(flat))))
        return flat.pop() if flat else self.everything

    def complement(self, expr: Expr) -> Expr:
        """Return all other texts."""
        if expr in (EMPTY, self.everything):
            return self.everything if expr == EMPTY else EMPTY
        (part,) = self.parts(expr, "¬")
        return part if part != expr else self.number(Combination("¬", (expr,)))

    def repeat(self, part: Expr, least: int, most: int | None) -> Expr:
        """Return part{least,most}. If the part has anchors, or can be empty, only counts from 0 are stored."""
        if part == EPSILON or most == 0 or (part == EMPTY and not least):
            return EPSILON
        if part == EMPTY or (least, most) == (1, 1):
            return part
        if least and self.anchored[part]:
            return self.concat(part, self.repeat(part, least - 1, None if most is None else most - 1))
        form = self.forms[part]
        if isinstance(form, Repeat) and (form.least, form.most, most) == (0, None, None):
            return part
        return self.number(Repeat(part, 0 if self.always_nullable(part) else least, most))

    def always_nullable(self, expr: Expr) -> bool:
        """Return whether the empty text matches between any characters."""
        return not self.anchored[expr] and self.nullable(expr, self.edge, self.edge)

    def nullable(self, expr: Expr, before: int, after: int) -> bool:
        """Return whether the empty text matches between characters of these two classes."""
        key = (expr, before, after) if self.anchored[expr] else (expr, self.edge, self.edge)
        if key not in self.nullables:
            match self.forms[expr]:
                case Chars():
                    found = False
                case Anchor(left, right):
                    found = bool(left >> before & right >> after & 1)
                case Repeat(part, least):
                    found = least == 0 or self.nullable(part, before, after)
                case Combination("∪", parts):
                    found = any(self.nullable(part, before, after) for part in parts)
                case Combination(operator, parts):
                    found = all(self.nullable(part, before, after) for part in parts) != (operator == "¬")
            self.nullables[key] = found
        return self.nullables[key]

    def all_derivatives(self, expr: Expr, before: int) -> Derivatives:
        """Return the derivatives by every class by the rules above; a character of class `before` precedes the text."""
        key = (expr, before if self.anchored[expr] else self.edge)
        if key not in self.derivatives:
            found = self.derived(expr, before)
            others = {c: other for c, other in found.others.items() if other != found.usual}
            self.work(4 + len(others))
            self.derivatives[key] = Derivatives(found.usual, others)
        return self.derivatives[key]

    def derived(self, expr: Expr, before: int) -> Derivatives:
        """Return the derivatives, computed from those of the expression's parts."""
        match self.forms[expr]:
            case Chars(classes):
                inside = [c for c in range(self.edge) if classes >> c & 1]
                return Derivatives(EMPTY, dict.fromkeys(inside, EPSILON))
            case Anchor():
                return Derivatives(EMPTY, {})
            case Repeat(part, least, most):
                rest = self.repeat(part, max(least - 1, 0), None if most is None else most - 1)
                return self.each(self.all_derivatives(part, before), lambda derivative: self.concat(derivative, rest))
            case Combination("·", (first, second)):
                return self.derived_sequence(first, second, before)
            case Combination("¬", (part,)):
                return self.each(self.all_derivatives(part, before), self.complement)
            case Combination(operator, parts):
                combine = self.union if operator == "∪" else self.intersection
                return self.combined([self.all_derivatives(part, before) for part in parts], combine)
        raise AssertionError(expr)

    def derived_sequence(self, first: Expr, second: Expr, before: int) -> Derivatives:
        """Return the derivatives of first·second."""
        ways = self.each(self.all_derivatives(first, before), lambda derivative: self.concat(derivative, second))
        if not self.anchored[first]:
            if not self.nullable(first, before, self.edge):
                return ways
            return self.combined([ways, self.all_derivatives(second, before)], self.union)
        skipped = self.all_derivatives(second, before)
        empty = [c for c in range(self.edge) if self.nullable(first, before, c)]
        both = Derivatives(EMPTY, {c: skipped.by(c) for c in empty})
        return self.combined([ways, both], self.union)

    def each(self, found: Derivatives, function: Callable[[Expr], Expr]) -> Derivatives:
        """Apply a function to the derivatives."""
        return Derivatives(function(found.usual), {c: function(other) for c, other in found.others.items()})

    def combined(self, found: Sequence[Derivatives], combine: Callable[[Iterable[Expr]], Expr]) -> Derivatives:
        """Combine the derivatives of several expressions, class by class."""
        usual = combine([each.usual for each in found])
        classes = {c for each in found for c in each.others}
        parts = {c: tuple(each.by(c) for each in found) for c in sorted(classes)}
        combinations = {exprs: combine(exprs) for exprs in dict.fromkeys(parts.values())}  # often of several classes
        return Derivatives(usual, {c: combinations[exprs] for c, exprs in parts.items()})
