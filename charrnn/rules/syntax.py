"""A regular expression as a tree: the part of the regex package's syntax that speaks of characters alone.

What a group has captured and in which order ways are tried is no part of it; without these a pattern is a set of texts
that can be followed state by state. There are groups, alternatives, repeats, sets and classes, anchors and looks;
back-references, possessive repeats and the like are refused by name.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from charrnn.errors import UsageError

if TYPE_CHECKING:
    import regex


class PatternError(Exception):
    """What is wrong with a pattern, which the message does not name."""


class Atom(NamedTuple):
    """A piece of a pattern that matches one character, and the flags it stands under."""

    source: str
    flags: str


class Side(NamedTuple):
    """What may be beside a place: a character that an atom matches, or does not; the text's edge too, or not."""

    atom: Atom
    inside: bool
    at_edge: bool


class Chars(NamedTuple):
    """One character that the atom matches."""

    atom: Atom


class Place(NamedTuple):
    """No character, at a place with such neighbours; None is anything."""

    before: Side | None
    after: Side | None


class Seq(NamedTuple):
    """One part after the other."""

    parts: tuple["Node", ...]


class Either(NamedTuple):
    """One of several ways."""

    ways: tuple["Node", ...]


class Repeat(NamedTuple):
    """A node `least` to `most` times, None being no limit."""

    node: "Node"
    least: int
    most: int | None


class Look(NamedTuple):
    """No character, where the rest of the text begins with the node, or, if negative, does not."""

    node: "Node"
    negative: bool


Node = Chars | Place | Seq | Either | Repeat | Look

NOTHING = Atom("(?!)", "")  # matches no character
SET = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
ESCAPE = re.compile(
    r"\\(?:[dDsSwWhntrfva]|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|0[0-7]{0,2}|[1-3][0-7]{2}"
    r"|N\{[^}]*\}|[pP](?:\{[^}]*\}|[A-Za-z])|[^A-Za-z0-9])",
    re.DOTALL,
)
REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def compiled(pattern: str) -> "regex.Pattern[str]":
    """Return what the regex package makes of a pattern; raise PatternError if that finds an error."""
    try:
        import regex
    except ImportError as error:
        raise UsageError("--regex needs the regex package: pip install 'charrnn[regex]'") from error
    if re.search(r"\{\d*,?\d{5}", pattern):  # the package takes gigabytes to compile some of them
        raise PatternError("a count is above 9999")
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes in it."""
    yield node
    for part in parts(node):
        yield from walk(part)


def parts(node: Node) -> tuple[Node, ...]:
    """Return the nodes that a node is made of."""
    match node:
        case Chars() | Place():
            return ()
        case Seq(nodes) | Either(nodes):
            return nodes
        case Repeat(part) | Look(part):
            return (part,)


def atoms(node: Node) -> list[Atom]:
    """Return the atoms that stand in the node itself."""
    match node:
        case Chars(atom):
            return [atom]
        case Place(before, after):
            return [side.atom for side in (before, after) if side]
        case _:
            return []


def parse(pattern: str) -> Node:
    """Return the tree of a pattern that the regex package has compiled without an error.

    Raises PatternError, naming it, for what the tree has no node for.
    """
    parser = Parser(pattern)
    flags = parser.take(r"\(\?([aimsu]+)\)")
    tree = parser.either(flags[1] if flags else "")
    if parser.ahead():
        raise parser.refused(parser.ahead())
    return tree


class Parser:
    """Recursive descent: `either` is made of `sequence`s, these of `item`s, each perhaps `repeated`."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def ahead(self, count: int = 1) -> str:
        """Return the next characters, fewer at the end."""
        return self.pattern[self.at : self.at + count]

    def take(self, expression: str | re.Pattern[str]) -> re.Match[str] | None:
        """Read on past the expression, if it stands here."""
        found = re.compile(expression).match(self.pattern, self.at)
        self.at = found.end() if found else self.at
        return found

    def refused(self, what: str, advice: str = "docs/cli.md tells what can be followed") -> PatternError:
        """Say that the pattern has something that the tree cannot hold."""
        return PatternError(f"{what} at position {self.at} cannot be followed: {advice}")

    def either(self, flags: str) -> Node:
        """Read ways with | between them."""
        ways = [self.sequence(flags)]
        while self.take(r"\|"):
            ways.append(self.sequence(flags))
        return Either(tuple(ways)) if len(ways) > 1 else ways[0]

    def sequence(self, flags: str) -> Node:
        """Read items up to a | or a closing parenthesis; one alone is itself."""
        parts: list[Node] = []
        while self.ahead() not in ("", "|", ")"):
            parts.append(self.repeated(self.item(flags)))
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def repeated(self, node: Node) -> Node:
        """Read how often the node before comes. A lazy repeat stands for the same texts as a greedy one."""
        found = self.take(r"[*+?]|\{(\d*),(\d*)\}|\{(\d+)\}")
        if found:
            low, high, exactly = found.groups()
            counts = (exactly, exactly) if exactly else (low, high)
            least, most = REPEATS.get(found[0]) or (int(counts[0] or 0), int(counts[1]) if counts[1] else None)
            node = Repeat(node, least, most)
            self.take(r"\?")
        if self.ahead() in ("{", "+"):
            what = "a possessive repeat" if self.ahead() == "+" else "a brace that is no count"
            raise self.refused(what, "write \\+ or \\{ for the character itself")
        return node

    def item(self, flags: str) -> Node:
        """Read one character, set or class, an anchor, or a group."""
        if self.ahead() == "(":
            return self.group(flags)
        anchor = self.take(r"\^|\$|\\[AbBZz]")
        if anchor:
            return place(anchor[0], flags)
        atom = self.take(SET) or self.take(ESCAPE)
        if not atom and self.ahead() in "[\\":
            raise self.refused(self.ahead(2))
        if atom or self.take(r"\."):
            return Chars(Atom(atom[0] if atom else ".", flags))
        self.at += 1
        return Chars(Atom(re.escape(self.pattern[self.at - 1]), flags))

    def group(self, flags: str) -> Node:
        """Read what is in parentheses, whatever it captures."""
        if self.take(r"\((?![?*])|\(\?P?<[^\W\d]\w*>"):
            node = self.either(flags)
        elif found := self.take(r"\(\?([ims]*)(?:-([ims]+))?:"):
            node = self.either("".join(sorted({*flags, *found[1]} - {*(found[2] or "")})))
        elif found := self.take(r"\(\?(<?)([=!])"):
            node = self.look(self.either(flags), bool(found[1]), found[2] == "!")
        else:
            raise self.refused(self.ahead(3))
        self.take(r"\)")
        return node

    def look(self, node: Node, behind: bool, negative: bool) -> Node:
        """Return the look at a node; at one character it is a place, and the only way to look behind."""
        if isinstance(node, Chars):
            side = Side(node.atom, not negative, negative)
            return Place(side, None) if behind else Place(None, side)
        if behind:
            raise self.refused("a look behind at more than one character", "say it without, or by a look ahead")
        return Look(node, negative)


def place(anchor: str, flags: str) -> Node:
    """Return what an anchor stands for."""
    newline, edge = Side(Atom(r"\n", ""), True, True), Side(NOTHING, True, True)
    word, other = Side(Atom(r"\w", flags), True, False), Side(Atom(r"\w", flags), False, True)
    if anchor == "$" and "m" not in flags:
        return Look(Seq((Repeat(Chars(newline.atom), 0, 1), Place(None, edge))), False)
    places: dict[str, Node] = {
        "^": Place(newline if "m" in flags else edge, None),
        "$": Place(None, newline),
        r"\A": Place(edge, None),
        r"\Z": Place(None, edge),
        r"\z": Place(None, edge),
        r"\b": Either((Place(word, other), Place(other, word))),
        r"\B": Either((Place(word, word), Place(other, other))),
    }
    return places[anchor]
