import itertools
import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from charrnn.pictures.shades import (
    BITS,
    NEWLINE,
    PALETTES,
    Mark,
    Palette,
    Piece,
    Shading,
    both_ways,
    ink,
    luminance,
    rows,
)

few = settings(deadline=None, max_examples=50, derandomize=True)
# Machado, Oliveira & Fernandes 2009: what is seen of linear RGB without one kind of cone.
EYES = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def seen(colour: str, eye: str) -> NDArray[np.float64]:
    """L*, a*, b* of a colour, whose distances are those that people see; 2 is just noticed."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def shading(text: str, values: list[float] | None = None) -> Shading:
    return Shading("a", BITS, [(text, np.array(values if values is not None else [0.0] * len(text)))])


def whole(text: str) -> list[str]:
    return ["".join(mark.drawn for mark in line) for line in shading(text).lines()]


# ---- colours ----


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: palette.name)
def test_every_eye_tells_all_levels_apart_and_their_lightness_goes_one_way(palette: Palette, eye: str) -> None:
    for colours, sign in ((palette.light, -1), (palette.dark, 1)):
        looks = [seen(colour, eye) for colour in colours]
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(looks, 2)) > 13
        lightness = [sign * look[0] for look in looks]
        zero = lightness.index(min(lightness))
        assert zero == (len(colours) // 2 if palette.name == "d" else 0)
        assert lightness[zero:] == sorted(lightness[zero:])
        assert lightness[: zero + 1] == sorted(lightness[: zero + 1], reverse=True)


def test_the_text_on_every_colour_has_the_contrast_that_reading_needs() -> None:
    for colour in {c for palette in PALETTES for c in (*palette.light, *palette.dark)}:
        dark, light = sorted([luminance(colour), luminance(ink(colour))])
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, AA


def test_a_mark_stands_for_each_level_and_nothing_for_the_lowest() -> None:
    for palette in PALETTES:
        assert len(palette.light) == len(palette.dark) == len({*palette.marks}) == len(palette.marks)
        assert palette.marks[0] == " "


# ---- levels ----


@pytest.mark.parametrize(
    ("bits", "level"), [(0, 0), (0.999, 0), (1, 1), (6.99, 6), (7, 7), (1e9, 7), (math.inf, 7), (math.nan, None)]
)
def test_a_level_of_surprise_is_its_whole_bits(bits: float, level: int | None) -> None:
    assert BITS.level(min(bits, 1e300)) == level


@pytest.mark.parametrize(
    ("value", "level"), [(-0.8, 0), (-9, 0), (-0.71, 0), (-0.69, 1), (-0.09, 4), (0, 4), (0.09, 4), (0.11, 5), (0.8, 8)]
)
def test_levels_both_ways_have_zero_in_the_middle_and_an_end_at_the_largest(value: float, level: int) -> None:
    scale = both_ways(0.8)
    assert scale.level(value) == level
    assert float(scale.labels[level]) == pytest.approx(max(-0.8, min(0.8, value)), abs=0.11)


# ---- lines ----


@few
@given(st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("\n\t猫\u0301\u200d🇩")), max_size=5))
def test_no_character_and_no_value_is_lost_however_the_text_arrives(texts: list[str]) -> None:
    values = iter(np.arange(sum(map(len, texts))) / 7)
    pieces: list[Piece] = [(text, np.array([next(values) for _ in text])) for text in texts]
    lines = list(Shading("a", BITS, pieces).lines())
    marks = list(chain.from_iterable(lines))
    assert sum((len(mark.text) for mark in marks), 0) == len("".join(texts))
    assert [value for mark in marks for value in mark.values] == [n / 7 for n in range(len("".join(texts)))]
    assert [mark.text for line in lines for mark in line[:-1] if mark.text == "\n"] == []
    assert all(mark.cells >= 1 for mark in marks)
    joined = "".join(texts), np.concatenate([np.empty(0), *(numbers for _, numbers in pieces)])
    assert list(Shading("a", BITS, [joined]).lines()) == lines


def test_what_commands_reorders_or_cannot_be_written_is_drawn_as_a_symbol() -> None:
    assert whole("\x00\x1b[31m\r\u202ea\u2028\ud800\uffff\x9b") == ["␀␛[31m␍�a����"]
    assert whole("[bold]<b>&amp;") == ["[bold]<b>&amp;"]


def test_newlines_tabs_and_lonely_accents_are_seen() -> None:
    assert whole("a\tb\n\n\t\u0301x") == [f"a       b{NEWLINE}", NEWLINE, "        ◌\u0301x"]
    assert whole("") == []
    assert whole("\u0301" * 40) == ["◌" + "\u0301" * 16 + "◌" + "\u0301" * 16 + "◌" + "\u0301" * 8]


def test_what_is_drawn_together_has_the_level_of_what_is_farthest_from_zero() -> None:
    (line,) = shading("ae\u0301👩\u200d🚀b", [1, 2, 3, 6, 5, 4, math.nan]).lines()
    assert [(mark.text, mark.cells, mark.level) for mark in line] == [
        ("a", 1, 1), ("e\u0301", 1, 3), ("👩\u200d🚀", 2, 6), ("b", 1, None),
    ]  # fmt: skip
    assert [BITS.told(mark) for mark in line] == ["1.00", "2.00 3.00", "6.00 5.00 4.00", "unknown"]


def test_a_newline_is_drawn_before_the_next_line_is_there() -> None:
    came = list[str]()

    def pieces() -> "itertools.chain[Piece]":
        def part(text: str) -> Piece:
            came.append(text)
            return text, np.zeros(len(text))

        return chain(map(part, ["ab\n", "cd\n"]))

    lines = Shading("a", BITS, pieces()).lines()
    assert [mark.text for mark in next(lines)] == ["a", "b", "\n"]
    assert came == ["ab\n"]


@few
@given(st.lists(st.integers(1, 8), max_size=30), st.integers(8, 20))
def test_a_line_is_cut_where_there_is_no_more_room(cells: list[int], columns: int) -> None:
    marks = [Mark(str(n), str(n), size, (), 0) for n, size in enumerate(cells)]
    cut = list(rows(marks, columns))
    assert list(chain.from_iterable(cut)) == marks
    widths = [sum(mark.cells for mark in row) for row in cut]
    assert all(0 < wide <= columns for wide in widths)
    assert all(wide + following[0].cells > columns for wide, following in zip(widths, cut[1:], strict=False))
