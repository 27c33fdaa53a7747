"""Simple properties of a text, one number per character, that a unit of a network might have learned to follow.

Each is a pure function of a section of N characters, to (N,). Nothing before the section counts, and where sections
begin does not depend on how a text arrives. The value at a character holds once that character has been read: an
opening bracket is inside, a closing one is not. A new property is a function and one line in PROPERTIES.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

MIN_SECTION, MAX_SECTION = 400, 4000  # characters; a section ends at the first empty line after the minimum, if any
PARAGRAPHS = re.compile(rf"(?s).{{{MIN_SECTION},{MAX_SECTION - 2}}}?\n\n")
MAX_DISTANCE = 100  # distances in characters are counted up to here
MAX_HEADING = 40  # characters of a line that may be a heading

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def sections(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the sections of a text that arrives in blocks; where they begin does not depend on the blocks."""
    held = ""
    for block in blocks:
        held, begin = held + block, 0
        while len(held) - begin >= MAX_SECTION:
            end = section_end(held, begin)
            yield held[begin:end]
            begin = end
        held = held[begin:]
    while held:
        end = section_end(held, 0)
        yield held[:end]
        held = held[end:]


def section_end(text: str, begin: int) -> int:
    """Return where a section ends: after an empty line, else after a line, else in the middle of one."""
    if found := PARAGRAPHS.match(text, begin):
        return found.end()
    limit = begin + MAX_SECTION
    if len(text) < limit:
        return len(text)
    return text.rfind("\n", begin + MIN_SECTION, limit) + 1 or limit


def mask(test: Callable[[str], bool] | str, text: str) -> Mask:
    """Return the result of a test for each character; a string tests whether the character is in it."""
    return np.fromiter(map(test.__contains__ if isinstance(test, str) else test, text), bool, len(text))


def distance(starts: Mask) -> Values:
    """Return the characters since the last start, or since the section's beginning, MAX_DISTANCE at most."""
    positions = np.arange(1, len(starts) + 1)
    last = np.maximum.accumulate(np.where(starts, positions, 0))
    return np.minimum(positions - last, MAX_DISTANCE).astype(np.float64)


def enclosed(text: str, opening: str, closing: str) -> Mask:
    """Mark the characters after more opening than closing ones; a closing one without an opening one is ignored."""
    depth = np.cumsum(mask(opening, text).astype(int) - mask(closing, text))
    return depth > np.minimum(np.minimum.accumulate(depth), 0)


def matched(pattern: str, text: str) -> Mask:
    """Mark the characters that are part of a match of a pattern, in which ^ and $ match at every line."""
    inside = np.zeros(len(text), bool)
    for found in re.finditer(pattern, text, re.MULTILINE):
        inside[found.start() : found.end()] = True
    return inside


def by_line(value: Callable[[str], float], text: str) -> Values:
    """Return the value of its line for each character, newlines included."""
    lines = text.split("\n")
    return np.repeat([float(value(line)) for line in lines], [len(line) + 1 for line in lines])[: len(text)]


def is_heading(line: str) -> bool:
    """Return whether a line looks like a heading or a speaker's name: in capitals, or with a colon at its end."""
    return len(line) <= MAX_HEADING and (line.isupper() or line.endswith(":"))


PROPERTIES: dict[str, Callable[[str], Values | Mask]] = {
    "inside quotes": lambda text: (np.cumsum(mask('"', text)) % 2 == 1) | enclosed(text, "“«", "”»"),
    "inside brackets": lambda text: enclosed(text, "([{", ")]}"),
    "inside a tag": lambda text: enclosed(text, "<", ">"),
    "in a comment": lambda text: matched(r"(?:^|(?<=\s))(?:#|//).*|/\*[\s\S]*?\*/", text),
    "in a heading or speaker's name": lambda text: by_line(is_heading, text),
    "position in the line": lambda text: distance(mask("\n", text)),  # a newline begins the next line
    "in the first word of the line": lambda text: matched(r"^[ \t]*[^\s]+", text),
    "in the indentation": lambda text: matched(r"^[ \t]+", text),
    "depth of the line's indentation": lambda text: by_line(lambda line: len(line) - len(line.lstrip(" \t")), text),
    "letters since the word began": lambda text: distance(~mask(str.isalpha, text)),
    "characters since the sentence began": lambda text: distance(mask(".!?", text)),
    "a newline": lambda text: mask("\n", text),
    "a blank": lambda text: mask(" \t", text),
    "a capital letter": lambda text: mask(str.isupper, text),
    "a vowel": lambda text: mask("aeiouAEIOU", text),
    "a digit": lambda text: mask(str.isdigit, text),
    "a mark of punctuation": lambda text: ~mask(str.isalnum, text) & ~mask(str.isspace, text),
}


def properties(text: str) -> Values:
    """Return all properties of a section in the order of the table, (N, P)."""
    return np.stack([np.asarray(found(text), np.float64) for found in PROPERTIES.values()], axis=1)
