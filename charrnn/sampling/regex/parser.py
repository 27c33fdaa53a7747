"""The syntax tree of a regular expression: the part of the regex package's syntax that describes sets of texts.

Captures and the order in which alternatives are tried have no meaning here; without them a pattern is a set of texts
that an automaton can recognize. There are groups, alternatives, repeats, sets and classes, anchors and lookarounds;
back-references, possessive repeats and the like are refused by name.
"""

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import regex


class PatternError(Exception):
    """An error in a pattern. The message does not name the pattern."""


class Atom(NamedTuple):
    """A part of a pattern that matches one character, and the flags that apply to it."""

    source: str
    flags: str


class Neighbor(NamedTuple):
    """What may be next to an anchor: a character that the atom matches, and maybe the text's edge."""

    atom: Atom
    or_edge: bool


class Chars(NamedTuple):
    """One character that the atom matches."""

    atom: Atom


class Anchor(NamedTuple):
    """The empty text between such neighbors."""

    before: Neighbor
    after: Neighbor


class Concat(NamedTuple):
    """The parts one after the other."""

    parts: tuple["Node", ...]


class Alternation(NamedTuple):
    """Any one of the parts."""

    parts: tuple["Node", ...]


class Repeat(NamedTuple):
    """A node `least` to `most` times, None for no limit."""

    node: "Node"
    least: int
    most: int | None


class Lookahead(NamedTuple):
    """The empty text where the rest of the text begins with the node or, if negative, does not."""

    node: "Node"
    negative: bool


Node = Chars | Anchor | Concat | Alternation | Repeat | Lookahead

ANYTHING = Neighbor(Atom("(?s:.)", ""), True)
SET = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
ESCAPE = re.compile(
    r"\\(?:[dDsSwWhntrfva]|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|0[0-7]{0,2}|[1-3][0-7]{2}"
    r"|N\{[^}]*\}|[pP](?:\{[^}]*\}|[A-Za-z])|[^A-Za-z0-9])",
    re.DOTALL,
)
TOKEN = re.compile(rf"{SET.pattern}|\\.|[()|]|\{{(\d*),?(\d*)\}}|.", re.DOTALL)
MAX_EXPANSION = 1_000_000  # characters of a pattern with its counts written out
REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def compiled(pattern: str) -> "regex.Pattern[str] | re.Pattern[str]":
    """Return a pattern compiled by the regex package or, if that is missing, by the standard library.

    Raises PatternError if it finds an error.
    """
    if any(len(count) > 4 for token in TOKEN.finditer(pattern) for count in token.groups(default="")):
        raise PatternError("a count is above 9999")  # the package takes gigabytes to compile some of them
    if expansion(pattern) > MAX_EXPANSION:  # nested counts multiply, and the package writes them out
        raise PatternError(f"its counts multiply to more than {MAX_EXPANSION:,} characters: use smaller counts")
    try:
        import regex
    except ImportError:
        return compiled_by_re(pattern)
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error


def expansion(pattern: str) -> int:
    """Return how many characters a pattern would have with its counts written out, approximately; never compile it."""
    groups, last = [0], 0  # the sizes of the open groups so far, and that of the item before
    for token in TOKEN.finditer(pattern):
        counts = [int(count) for count in token.groups() if count]
        if counts:
            groups[-1] += last * (max(counts) - 1)
            last *= max(counts)
        elif token[0] == "(":
            groups.append(0)
        elif token[0] == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        else:
            last = 1
            groups[-1] += 1
    return sum(groups)


def compiled_by_re(pattern: str) -> re.Pattern[str]:
    """Return a pattern compiled by the standard library, which lacks some of the syntax."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sets that have another meaning there
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise PatternError(f"{error}: more of the syntax needs pip install 'charrnn-numpy[regex]'") from error


def walk(node: tuple[object, ...]) -> Iterator[object]:
    """Yield a node and everything below it that is a tuple: nodes, neighbors, atoms, and tuples of parts."""
    yield node
    for part in node:
        if isinstance(part, tuple):
            yield from walk(part)


def parse(pattern: str) -> Node:
    """Return the tree of a pattern that the regex package has compiled without an error.

    Raises PatternError, naming the part of the pattern that is not supported.
    """
    parser = Parser(pattern)
    flags = parser.take(r"\(\?([aimsu]+)\)")
    tree = parser.alternation(flags[1] if flags else "")
    if parser.ahead():
        raise parser.unsupported(parser.ahead())
    return tree


class Parser:
    """A recursive descent parser: an `alternation` of `sequence`s of `item`s, each possibly `repeated`."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def ahead(self, count: int = 1) -> str:
        """Return the next characters, fewer at the end."""
        return self.pattern[self.at : self.at + count]

    def take(self, expression: str | re.Pattern[str]) -> re.Match[str] | None:
        """Match an expression at the current position and move past it; return None if it does not match."""
        found = re.compile(expression).match(self.pattern, self.at)
        self.at = found.end() if found else self.at
        return found

    def unsupported(self, what: str, advice: str = "docs/cli.md lists what is") -> PatternError:
        """Return the error for a part of the pattern that no node can represent."""
        return PatternError(f"{what} at position {self.at} is not supported: {advice}")

    def alternation(self, flags: str) -> Node:
        """Read alternatives separated by |."""
        parts = [self.sequence(flags)]
        while self.take(r"\|"):
            parts.append(self.sequence(flags))
        return Alternation(tuple(parts)) if len(parts) > 1 else parts[0]

    def sequence(self, flags: str) -> Node:
        """Read items up to a | or a closing parenthesis; a single item is returned as it is."""
        parts: list[Node] = []
        while self.ahead() not in ("", "|", ")"):
            parts.append(self.repeated(self.item(flags)))
        return parts[0] if len(parts) == 1 else Concat(tuple(parts))

    def repeated(self, node: Node) -> Node:
        """Read a repeat of the node before, if there is one. A lazy repeat matches the same texts as a greedy one."""
        found = self.take(r"[*+?]|\{(\d*),(\d*)\}|\{(\d+)\}")
        if found:
            low, high, exactly = found.groups()
            counts = (exactly, exactly) if exactly else (low, high)
            least, most = REPEATS.get(found[0]) or (int(counts[0] or 0), int(counts[1]) if counts[1] else None)
            node = Repeat(node, least, most)
            self.take(r"\?")
        if self.ahead() in ("{", "+"):
            what = "a possessive repeat" if self.ahead() == "+" else "a brace that is not a count"
            raise self.unsupported(what, "write \\+ or \\{ for the character itself")
        return node

    def item(self, flags: str) -> Node:
        """Read one character, set or class, an anchor, or a group."""
        if self.ahead() == "(":
            return self.group(flags)
        anchor = self.take(r"\^|\$|\\[AbBZz]")
        if anchor:
            return anchor_node(anchor[0], flags)
        atom = self.take(SET) or self.take(ESCAPE)
        if not atom and self.ahead() in "[\\":
            raise self.unsupported(self.ahead(2))
        if atom or self.take(r"\."):
            return Chars(Atom(atom[0] if atom else ".", flags))
        self.at += 1
        return Chars(Atom(re.escape(self.pattern[self.at - 1]), flags))

    def group(self, flags: str) -> Node:
        """Read a group, capturing or not, or a lookaround."""
        if self.take(r"\((?![?*])|\(\?P?<[^\W\d]\w*>"):
            node = self.alternation(flags)
        elif found := self.take(r"\(\?([ims]*)(?:-([ims]+))?:"):
            node = self.alternation("".join(sorted({*flags, *found[1]} - {*(found[2] or "")})))
        elif found := self.take(r"\(\?(<?)([=!])"):
            node = self.lookaround(self.alternation(flags), bool(found[1]), found[2] == "!")
        else:
            raise self.unsupported(self.ahead(3))
        self.take(r"\)")
        return node

    def lookaround(self, node: Node, behind: bool, negative: bool) -> Node:
        """Return the lookaround of a node. For one character it is an anchor, the only kind of lookbehind."""
        if isinstance(node, Chars):
            source, flags = node.atom
            neighbor = Neighbor(Atom(f"(?!{source})(?s:.)" if negative else source, flags), negative)
            return Anchor(neighbor, ANYTHING) if behind else Anchor(ANYTHING, neighbor)
        if behind:
            raise self.unsupported("a lookbehind of more than one character", "rewrite it with a lookahead, or without")
        return Lookahead(node, negative)


def anchor_node(anchor: str, flags: str) -> Node:
    """Return the node of an anchor."""
    newline, edge = Neighbor(Atom(r"\n", ""), True), Neighbor(Atom("(?!)", ""), True)
    word, other = Neighbor(Atom(r"\w", flags), False), Neighbor(Atom(r"\W", flags), True)
    if anchor == "$" and "m" not in flags:
        return Lookahead(Concat((Repeat(Chars(newline.atom), 0, 1), Anchor(ANYTHING, edge))), False)
    anchors: dict[str, Node] = {
        "^": Anchor(newline if "m" in flags else edge, ANYTHING),
        "$": Anchor(ANYTHING, newline),
        r"\A": Anchor(edge, ANYTHING),
        r"\Z": Anchor(ANYTHING, edge),
        r"\z": Anchor(ANYTHING, edge),
        r"\b": Alternation((Anchor(word, other), Anchor(other, word))),
        r"\B": Alternation((Anchor(word, word), Anchor(other, other))),
    }
    return anchors[anchor]
