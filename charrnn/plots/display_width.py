"""How characters appear: symbols for control characters, combining sequences, and widths in terminal cells."""

from functools import cache
from unicodedata import category, east_asian_width

REPLACEMENT = 0xFFFD  # the replacement character
CONTROL_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if code not in b"\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], REPLACEMENT),
}  # what is shown for control characters: C0, C1 and bidirectional
IN_ONE_LINE = {**CONTROL_PICTURES, 9: 0x2409, 10: 0x240A, 0x2028: REPLACEMENT, 0x2029: REPLACEMENT}
NOT_IN_FILES = [0x2028, 0x2029, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF]  # line separators; what XML must not contain
DRAWABLE = {**CONTROL_PICTURES, **dict.fromkeys(NOT_IN_FILES, REPLACEMENT)}
COMBINING = {"Mn", "Mc", "Me", "Cf"}  # categories of characters without a cell: accents, vowel signs, selectors
NO_CELL = [  # nor have the later letters of a Hangul syllable, its fillers, and skin tones
    *(range(0x1160, 0x1200), range(0xD7B0, 0xD800), range(0x3164, 0x3165), range(0xFFA0, 0xFFA1)),
    range(0x1F3FB, 0x1F400),
]
ENCLOSING = [
    *range(0x600, 0x606),
    0x6DD,
    0x70F,
    0x890,
    0x891,
    0x8E2,
    0x110BD,
    0x110CD,
]  # of Cf, but drawn
EMOJI_SELECTOR = "\ufe0f"  # a symbol before it is drawn as an emoji, which is wide
FLAGS = range(0x1F1E6, 0x1F200)  # regional indicators: two make a flag
ZERO_WIDTH_JOINER = "\u200d"


def visible(text: str) -> str:
    """Return text with control characters as symbols, so that none can command a terminal."""
    return text.translate(CONTROL_PICTURES)


def one_line(text: str) -> str:
    """Return text as visible does, with newlines and tabs as symbols too, so that a name cannot forge another line."""
    return text.translate(IN_ONE_LINE)


def drawable(text: str) -> str:
    """Return text with symbols also for the characters that no HTML or SVG file can contain."""
    return text.translate(DRAWABLE)


@cache
def width(character: str) -> int:
    """Return how many terminal cells a character takes: 0 if it joins the one before, 2 if it is wide."""
    code = ord(character)
    if code < 0x300:
        return 1
    if code in ENCLOSING:
        return 1
    if category(character) in COMBINING or any(code in no_cell for no_cell in NO_CELL):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def cells(text: str) -> int:
    """Return how many terminal cells a text takes."""
    return sum(map(width, text))


def padded(text: str, room: int) -> str:
    """Return text with blanks up to a width in terminal cells."""
    return text + " " * (room - cells(text))


def joins(character: str, before: str) -> bool:
    """Return whether a character is drawn together with `before`, the cluster that precedes it."""
    if character < "\u0300" or not before or before in "\t\n":
        return False
    flag = ord(character) in FLAGS and len(before) == 1 and ord(before) in FLAGS
    emoji = before.endswith(ZERO_WIDTH_JOINER) and category(before[0]) == category(character) == "So"
    return flag or emoji or not width(character)


def folded(line: str, room: int) -> list[str]:
    """Return a line in parts of at most `room` terminal cells, where a wide character needs at least two."""
    parts, used = [""], 0
    for character in line:
        if used + width(character) > room and parts[-1]:
            parts.append("")
            used = 0
        parts[-1] += character
        used += width(character)
    return parts
