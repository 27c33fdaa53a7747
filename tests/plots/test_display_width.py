import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import get_character_cell_size

from charrnn.plots.display_width import drawable, folded, joins, visible, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ß 猫 👩\u200d🚀 e\u0301", "plain ß 猫 👩\u200d🚀 e\u0301"),
        ("a\tb\n", "a\tb\n"),
        ("\x00\x07\x1b[31m\r\x7f", "␀␇␛[31m␍␡"),
        ("\x80\x9b31m\x9f", "\ufffd\ufffd31m\ufffd"),
        ("\u202e\u2066abc\u2069\u202c", "\ufffd\ufffdabc\ufffd\ufffd"),
    ],
)
def test_control_characters_are_shown_as_symbols(text: str, shown: str) -> None:
    assert visible(text) == shown


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.text(st.one_of(st.characters(max_codepoint=0xA1), st.characters())))
def test_visible_text_has_no_control_characters_and_keeps_every_printable_one(text: str) -> None:
    shown = visible(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert [s for s, c in zip(shown, text, strict=True) if c.isprintable()] == [c for c in text if c.isprintable()]


def test_drawable_text_can_be_written_into_any_file() -> None:
    assert drawable("\x1b[31m猫\t\n") == "␛[31m猫\t\n"
    assert drawable("a\u2028\u2029\ud800\udfff\ufffe\uffff") == "a" + 6 * "\ufffd"


@pytest.mark.parametrize(
    "alphabet",
    [
        *("The quick brown fox", "größer", "ЖЯ", "שלום", "سلام", "ไทย", "αβγ", "½±→─█▁↵◌␛\ufffd"),
        *("猫の手も", "漢字", "한국", "ｆｕｌｌ", "👩🚀🎈", "\u0301\u0308", "\u200d\ufe0f\u200b", "\u0ea1\u0eb4"),
    ],
)
def test_the_width_of_a_character_is_the_one_of_rich(alphabet: str) -> None:
    assert [width(c) for c in alphabet] == [get_character_cell_size(c) for c in alphabet]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("abc", "a b c"),
        ("e\u0301a", "e\u0301 a"),
        ("👩\u200d🚀!", "👩\u200d🚀 !"),
        ("a\u200db\u200d", "a\u200d b\u200d"),
        ("🇩🇪🇫🇷", "🇩🇪 🇫🇷"),
        ("👍🏽", "👍🏽"),
        ("\u1112\u1161\u11ab", "\u1112\u1161\u11ab"),
        ("\n\u0301", "\n \u0301"),
    ],
)
def test_combining_characters_join_the_cluster_before(text: str, drawn: str) -> None:
    parts = list[str]()
    for character in text:
        if joins(character, parts[-1] if parts else ""):
            parts[-1] += character
        else:
            parts.append(character)
    assert parts == re.split(" (?!$)", drawn)


def test_a_line_is_folded_by_terminal_cells() -> None:
    assert folded("abcdef", 4) == ["abcd", "ef"]
    assert folded("a猫猫b", 3) == ["a猫", "猫b"]
    assert folded("e\u0301e\u0301", 1) == ["e\u0301", "e\u0301"]
    assert folded("", 3) == [""]


@pytest.mark.parametrize(
    ("text", "cells"),
    [("\ud7b0\ud7fb", [0, 0]), ("\u3164\uffa0", [0, 0]), ("\u0600\u06dd\U000110bd", [1, 1, 1]), ("\u00ad", [1])],
)
def test_hangul_letters_fillers_and_signs_have_the_width_that_terminals_give_them(text: str, cells: list[int]) -> None:
    assert [width(c) for c in text] == cells
