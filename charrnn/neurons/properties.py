"""Simple properties of a text, a number a character, that a unit of a network might have learnt to follow.

Each is a pure function of a stretch of text of N characters, to (N,): nothing before the stretch counts, and stretches
begin at the same places however a text arrives. What it tells of a character holds once that character is read: after
a bracket that opens it is inside. A new property is a function and a line in PROPERTIES.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

LEAST, LARGEST = 400, 4000  # characters of a stretch: it ends at the first empty line after the least, if there is one
PARAGRAPHS = re.compile(rf"(?s).{{{LEAST},{LARGEST - 2}}}?\n\n")
FAR = 100  # what is counted in characters is counted up to here
HEADING = 40  # characters of a line that is one at most

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


# ---- stretches ----


def stretches(blocks: Iterable[str]) -> Iterator[str]:
    """Cut a text that comes in blocks into stretches; where they begin does not depend on the blocks."""
    held = ""
    for block in blocks:
        held, begin = held + block, 0
        while len(held) - begin >= LARGEST:
            end = end_of_stretch(held, begin)
            yield held[begin:end]
            begin = end
        held = held[begin:]
    while held:
        end = end_of_stretch(held, 0)
        yield held[:end]
        held = held[end:]


def end_of_stretch(text: str, begin: int) -> int:
    """Return where a stretch ends: after an empty line, else after a line, else in the middle of one."""
    if found := PARAGRAPHS.match(text, begin):
        return found.end()
    limit = begin + LARGEST
    if len(text) < limit:
        return len(text)
    return text.rfind("\n", begin + LEAST, limit) + 1 or limit


# ---- tools ----


def each(test: Callable[[str], bool], text: str) -> Mask:
    """Return what a test says of each character."""
    return np.fromiter(map(test, text), bool, len(text))


def one_of(characters: str) -> Callable[[str], bool]:
    """Return the test whether a character is one of these."""
    return frozenset(characters).__contains__


def since(starts: Mask) -> Values:
    """Return how many characters ago the last start was, or the stretch's beginning; FAR at most."""
    places = np.arange(1, len(starts) + 1)
    return np.minimum(places - np.maximum.accumulate(np.where(starts, places, 0)), FAR).astype(np.float64)


def nested(text: str, opening: str, closing: str) -> Mask:
    """Tell which characters stand after more that open than close; what closes nothing does not count."""
    depth = np.cumsum(each(one_of(opening), text).astype(int) - each(one_of(closing), text))
    return depth > np.minimum(np.minimum.accumulate(depth), 0)


def matched(pattern: str) -> Callable[[str], Mask]:
    """Return the property of standing in a match of a pattern, in which ^ and $ are a line's."""
    compiled = re.compile(pattern, re.MULTILINE)

    def property_of(text: str) -> Mask:
        inside = np.zeros(len(text), bool)
        for found in compiled.finditer(text):
            inside[found.start() : found.end()] = True
        return inside

    return property_of


def by_line(value: Callable[[str], float]) -> Callable[[str], Values]:
    """Return the property whose value all characters of a line share, its newline among them."""

    def property_of(text: str) -> Values:
        lines = text.split("\n")
        return np.repeat([float(value(line)) for line in lines], [len(line) + 1 for line in lines])[: len(text)]

    return property_of


# ---- properties ----


def position_in_line(text: str) -> Values:
    """Return how many characters a line has so far; a newline begins the next."""
    return since(each(one_of("\n"), text))


def in_quotes(text: str) -> Mask:
    """Tell what stands in double quotes, straight ones or such as have sides."""
    straight = np.cumsum(each(one_of('"'), text)) % 2 == 1
    inside: Mask = straight | nested(text, "“«", "”»")
    return inside


def in_indentation(text: str) -> Mask:
    """Tell which blanks have nothing but blanks before them in their line."""
    blanks = since(~each(one_of(" \t"), text))
    inside: Mask = (blanks > 0) & (blanks == position_in_line(text))
    return inside


def is_heading(line: str) -> bool:
    """Tell whether a line is a heading or a speaker's name: in capitals, or with a colon at its end."""
    return 0 < len(line) <= HEADING and (line.isupper() or line.endswith(":"))


PROPERTIES: dict[str, Callable[[str], Values | Mask]] = {
    "inside quotes": in_quotes,
    "inside brackets": lambda text: nested(text, "([{", ")]}"),
    "inside a tag": lambda text: nested(text, "<", ">"),
    "in a comment": matched(r"(?:^|(?<=\s))(?:#|//).*|/\*[\s\S]*?\*/"),
    "in a heading or speaker's name": by_line(is_heading),
    "position in the line": position_in_line,
    "in the first word of the line": matched(r"^[ \t]*[^\s]+"),
    "in the indentation": in_indentation,
    "depth of the line's indentation": by_line(lambda line: len(line) - len(line.lstrip(" \t"))),
    "letters since the word began": lambda text: since(~each(str.isalpha, text)),
    "characters since the sentence began": lambda text: since(each(one_of(".!?"), text)),
    "a newline": lambda text: each(one_of("\n"), text),
    "a blank": lambda text: each(one_of(" \t"), text),
    "a capital letter": lambda text: each(str.isupper, text),
    "a vowel": lambda text: each(one_of("aeiouAEIOU"), text),
    "a digit": lambda text: each(str.isdigit, text),
    "a mark of punctuation": lambda text: ~each(str.isalnum, text) & ~each(str.isspace, text),
}


def properties(text: str) -> Values:
    """Return all properties of a stretch in the order of the table, (N, P)."""
    return np.stack([np.asarray(found(text), np.float64) for found in PROPERTIES.values()], axis=1)
