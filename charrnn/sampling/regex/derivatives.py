"""Sets of texts as expressions, and what may follow a character: derivatives (Brzozowski 1964).

The derivative of an expression by a character c describes what may follow in a text that begins with c:

    d(one of the characters) = ε if c is one of them, else ∅
    d(r·s) = d(r)·s, and if r may be empty also d(s)          d(r{m,n}) = d(r)·r{m-1,n-1}
    d(r ∪ s) = d(r) ∪ d(s)       d(r ∩ s) = d(r) ∩ d(s)       d(¬r) = ¬d(r)

There are finitely many derivatives, as long as ∪ and ∩ are sets: they are the states of an automaton. Characters that
no part of a pattern distinguishes form one class, and derivatives are taken by class (Owens, Reppy and Turon 2009).
An anchor is the empty text, but only between certain characters.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

MAX_WORK = 1_000_000  # derivatives taken and parts combined: a second or two

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


Form = Chars | Anchor | Repeat | Combination  # tuples of different lengths or types: two kinds are never equal


class Expressions:
    """The expressions over K classes of characters. Each is stored once: equal forms have the same number.

    The methods that make expressions simplify them in ways that hold in any context, so that there are few.
    """

    def __init__(self, K: int) -> None:
        self.edge = K
        self.forms: list[Form] = []
        self.numbers: dict[Form, Expr] = {}
        self.anchored: list[bool] = []  # whether an anchor is in it, so that the character before it matters
        self.derivatives: dict[tuple[Expr, int, int], Expr] = {}
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
        first, *rest = self.parts(first, "·")
        return self.number(Combination("·", (first, self.concat(rest[0], second) if rest else second)))

    def union(self, exprs: Iterable[Expr]) -> Expr:
        """Return the union: a sorted set without unions in it, the single characters merged."""
        flat, classes = set[Expr](), 0
        for part in [part for expr in exprs for part in self.parts(expr, "∪")]:
            form = self.forms[part]
            if isinstance(form, Chars):
                classes |= form.classes
            else:
                flat.add(part)
        flat |= {self.number(Chars(classes))} - {EMPTY}
        self.work(len(flat))
        if self.everything in flat:
            return self.everything
        if EPSILON in flat and any(self.always_nullable(part) for part in flat - {EPSILON}):
            flat.remove(EPSILON)
        return self.number(Combination("∪", tuple(sorted(flat)))) if len(flat) > 1 else flat.pop() if flat else EMPTY

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

    def derivative(self, expr: Expr, before: int, c: int) -> Expr:
        """Return the derivative by class c by the rules above; a character of class `before` precedes the text."""
        key = (expr, before if self.anchored[expr] else self.edge, c)
        if key not in self.derivatives:
            self.work(4)
            match self.forms[expr]:
                case Chars(classes):
                    found = EPSILON if classes >> c & 1 else EMPTY
                case Anchor():
                    found = EMPTY
                case Repeat(part, least, most):
                    rest = self.repeat(part, max(least - 1, 0), None if most is None else most - 1)
                    found = self.concat(self.derivative(part, before, c), rest)
                case Combination("·", (first, second)):
                    ways = [self.concat(self.derivative(first, before, c), second)]
                    if self.nullable(first, before, c):
                        ways.append(self.derivative(second, before, c))
                    found = self.union(ways)
                case Combination("¬", (part,)):
                    found = self.complement(self.derivative(part, before, c))
                case Combination(operator, parts):
                    combine = self.union if operator == "∪" else self.intersection
                    found = combine([self.derivative(part, before, c) for part in parts])
            self.derivatives[key] = found
        return self.derivatives[key]
