"""Characters as they are seen: symbols for those that command, what joins what, and the cells that each takes."""

from functools import cache
from unicodedata import category, east_asian_width

SYMBOLS = {
    **{code: 0x2400 + code for code in range(0x20) if code not in b"\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
}  # control characters, C0, C1 and bidirectional, and what is shown for them
JOINERS = {"Mn", "Mc", "Me", "Cf"}  # categories of what takes no cell of its own: accents, vowel signs, selectors
NO_CELL = [range(0x1160, 0x1200), range(0x1F3FB, 0x1F400)]  # nor do the later letters of a Hangul syllable, and skins
FLAGS = range(0x1F1E6, 0x1F200)  # letters of which two make a flag
ZERO_WIDTH_JOINER = "\u200d"


def visible(text: str) -> str:
    """Return text with control characters as symbols, so that none can command a terminal."""
    return text.translate(SYMBOLS)


@cache
def width(character: str) -> int:
    """Return how many cells of a terminal a character takes: 0 where it joins the one before, 2 if it is wide."""
    code = ord(character)
    if code < 0x300:
        return 1
    if category(character) in JOINERS or any(code in no_cell for no_cell in NO_CELL):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def joins(character: str, before: str) -> bool:
    """Tell whether a character is drawn together with the ones before it, which are drawn together already."""
    if character < "\u0300" or not before or before in "\t\n":
        return False
    flag = ord(character) in FLAGS and len(before) == 1 and ord(before) in FLAGS
    emoji = before.endswith(ZERO_WIDTH_JOINER) and category(before[0]) == category(character) == "So"
    return flag or emoji or not width(character)
