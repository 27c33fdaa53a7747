import itertools
import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from charrnn.plots.heatmap import (
    BITS,
    NEWLINE,
    PALETTES,
    Cluster,
    Heatmap,
    Palette,
    Piece,
    described,
    diverging_scale,
    fold,
    guess_rows,
    luminance,
    quantile_scale,
    text_colour,
)

few = settings(deadline=None, max_examples=50, derandomize=True)
# Machado, Oliveira & Fernandes 2009: linear RGB as seen without one kind of cone.
VISIONS = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colour: str, vision: str) -> NDArray[np.float64]:
    """L*, a*, b* of a colour, in which distances are the differences that people see; 2 is just noticeable."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(VISIONS[vision] @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def heatmap(text: str, values: list[float] | None = None) -> Heatmap:
    return Heatmap("a", BITS, [(text, np.array(values if values is not None else [0.0] * len(text)))])


def drawn_lines(text: str) -> list[str]:
    return ["".join(cluster.drawn for cluster in line) for line in heatmap(text).lines()]


# ---- colours ----


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: palette.prefix)
def test_levels_differ_for_the_colour_blind_and_lightness_is_monotonic(palette: Palette, vision: str) -> None:
    for colours, sign in ((palette.light, -1), (palette.dark, 1)):
        points = [lab(colour, vision) for colour in colours]
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(points, 2)) > 13
        lightness = [sign * point[0] for point in points]
        zero = lightness.index(min(lightness))
        assert zero == (len(colours) // 2 if palette.prefix == "d" else 0)
        assert lightness[zero:] == sorted(lightness[zero:])
        assert lightness[: zero + 1] == sorted(lightness[: zero + 1], reverse=True)


def test_text_on_every_colour_has_enough_contrast() -> None:
    for colour in {c for palette in PALETTES for c in (*palette.light, *palette.dark)}:
        dark, light = sorted([luminance(colour), luminance(text_colour(colour))])
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, AA


def test_each_level_has_its_own_mark_and_the_lowest_a_blank() -> None:
    for palette in PALETTES:
        assert len(palette.light) == len(palette.dark) == len({*palette.marks}) == len(palette.marks)
        assert palette.marks[0] == " "


# ---- levels ----


@pytest.mark.parametrize(
    ("bits", "level"), [(0, 0), (0.999, 0), (1, 1), (6.99, 6), (7, 7), (1e9, 7), (math.inf, 7), (math.nan, None)]
)
def test_the_level_of_a_surprisal_is_its_whole_bits(bits: float, level: int | None) -> None:
    assert BITS.level(min(bits, 1e300)) == level


@pytest.mark.parametrize(
    ("value", "level"), [(-0.8, 0), (-9, 0), (-0.71, 0), (-0.69, 1), (-0.09, 4), (0, 4), (0.09, 4), (0.11, 5), (0.8, 8)]
)
def test_diverging_levels_have_zero_in_the_middle_and_the_largest_value_at_the_ends(value: float, level: int) -> None:
    scale = diverging_scale(0.8)
    assert scale.level(value) == level
    assert float(scale.labels[level]) == pytest.approx(max(-0.8, min(0.8, value)), abs=0.11)


def test_levels_by_quantiles_have_fixed_shares_of_what_was_unexpected() -> None:
    values = np.concatenate([np.full(500, 0.49), 0.5 + np.random.default_rng(0).exponential(size=1000), [math.nan]])
    scale = quantile_scale(values)
    levels = [scale.level(value) for value in values.tolist()]
    assert [levels.count(k) for k in range(8)] == [500, 300, 260, 180, 120, 80, 40, 20]
    assert levels[-1] is None
    assert scale.labels[0] == "<0.50"
    assert len(scale.labels) == 8
    assert quantile_scale(np.array([math.nan])).level(2.5) == 3
    assert quantile_scale(np.zeros(9)).level(0) == 0


@pytest.mark.parametrize(("share", "level"), [(0, 0), (0.09, 0), (0.1, 1), (0.3, 2), (0.6, 3), (0.89, 3), (1, 4)])
def test_the_level_of_a_guess_is_that_of_its_probability(share: float, level: int) -> None:
    (line,) = Heatmap("a", BITS, [("e", np.zeros(1), [[("x", share)]])]).lines()
    assert guess_rows(line, 2) == [[Cluster("x", "x", 1, (share,), level)]]
    assert guess_rows(line, 0) == []


def test_guesses_go_with_the_first_code_point_of_a_cluster_and_are_described() -> None:
    tops = [[("e", 0.61), (" ", 0.2)], [("x", 1.0)], []]
    (line,) = Heatmap("a", BITS, [("e\u0301b", np.zeros(3), tops)]).lines()
    assert [cluster.guesses for cluster in line] == [tops[0], []]
    assert described(tops[0]) == "e 61%, ␣ 20%"
    assert (
        described([("\n", 0.5), ("\t", 0.25), ("\x1b", 0.125), ("\u0301", 0.1)]) == "↵ 50%, ␉ 25%, ␛ 12%, ◌\u0301 10%"
    )


# ---- lines ----


@few
@given(st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("\n\t猫\u0301\u200d🇩")), max_size=5))
def test_no_character_and_no_value_is_lost_in_any_division_into_pieces(texts: list[str]) -> None:
    values = iter(np.arange(sum(map(len, texts))) / 7)
    pieces: list[Piece] = [(text, np.array([next(values) for _ in text])) for text in texts]
    lines = list(Heatmap("a", BITS, pieces).lines())
    found = list(chain.from_iterable(lines))
    assert sum((len(cluster.text) for cluster in found), 0) == len("".join(texts))
    assert [value for cluster in found for value in cluster.values] == [n / 7 for n in range(len("".join(texts)))]
    assert [cluster.text for line in lines for cluster in line[:-1] if cluster.text == "\n"] == []
    assert all(cluster.cells >= 1 for cluster in found)
    joined = "".join(texts), np.concatenate([np.empty(0), *(piece[1] for piece in pieces)])
    assert list(Heatmap("a", BITS, [joined]).lines()) == lines


def test_control_characters_and_unwritable_ones_are_drawn_as_symbols() -> None:
    assert drawn_lines("\x00\x1b[31m\r\u202ea\u2028\ud800\uffff\x9b") == ["␀␛[31m␍�a����"]
    assert drawn_lines("[bold]<b>&amp;") == ["[bold]<b>&amp;"]


def test_newlines_tabs_and_accents_without_a_base_are_visible() -> None:
    assert drawn_lines("a\tb\n\n\t\u0301x") == [f"a       b{NEWLINE}", NEWLINE, "        ◌\u0301x"]
    assert drawn_lines("") == []
    assert drawn_lines("\u0301" * 40) == ["◌" + "\u0301" * 16 + "◌" + "\u0301" * 16 + "◌" + "\u0301" * 8]


def test_a_cluster_has_the_level_of_its_value_farthest_from_zero() -> None:
    (line,) = heatmap("ae\u0301👩\u200d🚀b", [1, 2, 3, 6, 5, 4, math.nan]).lines()
    assert [(cluster.text, cluster.cells, cluster.level) for cluster in line] == [
        ("a", 1, 1), ("e\u0301", 1, 3), ("👩\u200d🚀", 2, 6), ("b", 1, None),
    ]  # fmt: skip
    assert [BITS.describe(cluster.values) for cluster in line] == ["1.00", "2.00 3.00", "6.00 5.00 4.00", "unknown"]


def test_a_line_is_drawn_before_the_next_one_is_read() -> None:
    read = list[str]()

    def pieces() -> "itertools.chain[Piece]":
        def part(text: str) -> Piece:
            read.append(text)
            return text, np.zeros(len(text))

        return chain(map(part, ["ab\n", "cd\n"]))

    lines = Heatmap("a", BITS, pieces()).lines()
    assert [cluster.text for cluster in next(lines)] == ["a", "b", "\n"]
    assert read == ["ab\n"]


@few
@given(st.lists(st.integers(1, 8), max_size=30), st.integers(8, 20))
def test_a_line_is_folded_only_where_a_row_is_full(cells: list[int], columns: int) -> None:
    line = [Cluster(str(n), str(n), size, (), 0) for n, size in enumerate(cells)]
    folded = list(fold(line, columns))
    assert list(chain.from_iterable(folded)) == line
    widths = [sum(cluster.cells for cluster in row) for row in folded]
    assert all(0 < width <= columns for width in widths)
    assert all(width + following[0].cells > columns for width, following in zip(widths, folded[1:], strict=False))
