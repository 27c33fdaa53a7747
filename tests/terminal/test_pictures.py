import io
import os
import re
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from charrnn.plots.heatmap import BITS, PALETTES, Heatmap, Piece, Scale, diverging_scale
from charrnn.terminal.pictures import color_codes, color_number, heatmap_lines
from charrnn.terminal.streams import Color
from tests.helpers.command import terminal

SGR = re.compile(r"\x1b\[([0-9;]*)m")
HOSTILE = "[bold]x[/] \x1b[2J\x07 \u202eab 猫 e\u0301\tthe end, 한국 👩 and more 猫猫猫猫\n\n\x9b1m[/x]\n"


def width(row: str) -> int:
    """The cells of a row by rich; older versions of it do not know about joined characters."""
    return cell_len(re.sub("\u200d.", "", row))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)


def picture(text: str, values: list[float] | None = None, scale: Scale = BITS) -> Heatmap:
    numbers = values if values is not None else [n % 9 for n in range(len(text))]
    return Heatmap("title", scale, [(text, np.array(numbers, float))])


def drawn(heatmap: Heatmap, color: Color, columns: int | None = None) -> str:
    """The output in a pipe, or on a terminal with a number of columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charrnn.terminal.streams.color", color)
        if columns is None:
            return "".join(heatmap_lines(heatmap, io.StringIO()))
        screen, number = terminal(columns)
        with open(number, "w") as stream:
            text = "".join(heatmap_lines(heatmap, stream))
        os.close(screen)
        return text


def body(text: str) -> list[str]:
    return text.split("\n\n", 1)[1].split("\n")[:-1]


# ---- without colours ----


def test_each_line_has_the_marks_of_its_characters_below_it() -> None:
    text = drawn(picture("ab猫e\u0301\td?\nx", [0, 1, 2.5, 3, 0, 7, 99, float("nan"), 1, 0.5]), "never")
    assert text == (
        "title\nbits below each character: nothing for less than 1, 7 for 7 and more\n\n"
        "ab猫e\u0301   d?↵\n 12237777?1\nx\n\n"
    )


def test_bars_show_both_signs_without_colours() -> None:
    text = drawn(picture("abc", [-0.5, 0, 0.5], diverging_scale(0.5)), "never")
    assert text.endswith("from nothing at -0.50 to █ at +0.50\n\nabc\n ▄█\n")


# ---- with colours ----


def test_a_run_of_one_level_is_one_colour_and_unknown_characters_are_underlined() -> None:
    codes = color_codes(BITS)
    assert body(drawn(picture("ab[c]", [0, 0.5, 9, float("nan"), 9]), "always")) == [
        f"\x1b[{codes[0]}mab\x1b[0m\x1b[{codes[7]}m[\x1b[0m\x1b[4mc\x1b[0m\x1b[{codes[7]}m]\x1b[0m"
    ]
    assert f"\x1b[{codes[7]}m 7+ \x1b[0m" in drawn(picture(""), "always")


def test_every_colour_is_in_the_cube_that_all_terminals_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [color_number(colour) for colour in ("#000000", "#5f0000", "#0000ff", "#ffffff")] == [16, 52, 21, 231]
    for palette in PALETTES:
        for colours in (palette.light, palette.dark):
            assert len({color_number(colour) for colour in colours}) == len(colours)
    for variable, background in (("15;0", 16), ("0;15", 231), ("", 16)):
        monkeypatch.setenv("COLORFGBG", variable)
        assert color_codes(BITS)[0].endswith(f";48;5;{background}")


# ---- with and without colours ----


@pytest.mark.parametrize("columns", [20, 80, 200])
@pytest.mark.parametrize("color", ["always", "never"])
def test_no_text_controls_a_terminal_or_exceeds_its_width(color: Color, columns: int) -> None:
    text = drawn(picture(HOSTILE), color, columns)
    lines = SGR.sub("", text).split("\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", "".join(lines))
    assert max(map(cell_len, lines)) <= columns
    assert ("\x1b" in text) == (color == "always")


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.sampled_from([*"ab [/]猫\u0301\t\n\x1b", "👩\u200d🚀", "🇩🇪"]), max_size=50).map("".join))
def test_colours_and_marks_show_the_same_text_and_marks_are_below_their_characters(text: str) -> None:
    plain, colored = body(drawn(picture(text), "never", 20)), body(drawn(picture(text), "always", 20))
    assert plain[::2] == [SGR.sub("", row).rstrip() for row in colored]
    cells = sum(cluster.cells for line in picture(text).lines() for cluster in line)
    assert cells == sum(width(SGR.sub("", row)) for row in colored)
    for row, marks in zip(plain[::2], plain[1::2], strict=True):
        assert len(marks) <= 20
        assert set(marks) <= set(" 1234567")
        assert width(row) <= 20


def test_lines_are_not_folded_in_a_pipe() -> None:
    for color in ("always", "never"):
        assert SGR.sub("", body(drawn(picture("x" * 500), color))[0]) == "x" * 500


def test_a_long_text_is_drawn_as_it_is_read_and_not_kept_in_memory() -> None:
    count = 0

    def pieces() -> Iterator[Piece]:
        nonlocal count
        for _ in range(200_000):
            count += 1
            yield "The fox.\n", np.zeros(9)

    lines = heatmap_lines(Heatmap("title", BITS, pieces()), sys.stdout)
    assert len(list(islice(lines, 1000))) == 1000
    assert count <= 1000
    tracemalloc.start()
    list(islice(lines, 500))
    before = tracemalloc.get_traced_memory()[0]
    assert sum(1 for _ in islice(lines, 3000)) == 3000
    assert tracemalloc.get_traced_memory()[0] < before + 50_000
    tracemalloc.stop()


# ---- guesses ----


def test_guesses_are_below_each_row_and_those_that_came_true_are_bold() -> None:
    tops = [[("a", 0.9), ("猫", 0.1)], [("b", 0.5)], [("猫", 0.5), ("\n", 0.1)], []]
    heatmap = Heatmap("title", BITS, [("ab猫c", np.zeros(4), tops)], 3)
    assert drawn(heatmap, "never").split("\n")[-5:] == ["ab猫c", "", "ab猫", "· ↵", ""]
    *_, first, second, _ = drawn(heatmap, "always").split("\n")
    bold, dim = "\x1b[1m{}\x1b[0m".format, "\x1b[2m{}\x1b[0m".format
    assert first == bold("a") + bold("b") + bold("猫") + dim(" ")
    assert second == dim("·") + dim(" ") + dim("↵ ") + dim(" ")
    assert drawn(replace(heatmap, guess_rows=1), "never").split("\n")[-4:] == ["ab猫c", "", "ab猫", ""]
    assert drawn(replace(heatmap, guess_rows=0), "never").split("\n")[-3:] == ["ab猫c", "", ""]
