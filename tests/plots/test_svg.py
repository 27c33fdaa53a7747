import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.plots.heatmap import (
    BITS,
    BLACK,
    DIVERGING,
    PROBABILITY,
    SEQUENTIAL,
    SHARES,
    WHITE,
    Heatmap,
    diverging_scale,
)
from charrnn.plots.svg import (
    CELL_WIDTH,
    GUESS_HEIGHT,
    HEAD_GAP_ROWS,
    MARGIN,
    MAX_COLUMNS,
    MIN_COLUMNS,
    ROW_HEIGHT,
    XMLNS,
    escape,
    style_sheet,
    svg_document,
    text_svg,
)

HEAD_ROWS = 1 + HEAD_GAP_ROWS  # of a picture without guesses: the title, the key, an empty row
SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, values: list[float] | None = None) -> ElementTree.Element:
    numbers = np.array(values if values is not None else [0.0] * len(text))
    return ElementTree.fromstring(text_svg([Heatmap("a & <b>\x1b", BITS, [(text, numbers)])]))


def places(svg: ElementTree.Element, kind: str) -> list[tuple[str, float, float, float]]:
    """Class, column, row and cells of the parts of a text, which begins below the title and the key."""
    found = [part for part in svg.iter(SVG + kind) if float(part.get("y", "0")) >= MARGIN + HEAD_ROWS * ROW_HEIGHT]
    return [
        (
            part.get("class", ""),
            round((float(part.get("x", "0")) - MARGIN) / CELL_WIDTH, 1),
            (float(part.get("y", "0")) - MARGIN) // ROW_HEIGHT - HEAD_ROWS,
            round(float(part.get("width") or part.get("textLength") or CELL_WIDTH) / CELL_WIDTH, 1),
        )
        for part in found
    ]


def test_every_run_of_one_level_is_one_background_and_one_text_in_its_own_cells() -> None:
    svg = drawn("ab猫 c\n<", [0, 0, 3, 3, 9, 1, math.nan])
    expected = [("s0", 0, 0, 2), ("s3", 2, 0, 2), ("s3", 4, 0, 1), ("s7", 5, 0, 1), ("s1", 6, 0, 1), ("x", 0, 1, 1)]
    assert places(svg, "rect") == expected
    assert places(svg, "text") == [place for place in expected if place[:2] != ("s3", 4)]  # blanks need no text
    texts = [part.text for part in svg.iter(f"{SVG}text")]
    assert texts[0] == "a & <b>␛"
    assert texts[-5:] == ["ab", "猫", "c", "↵", "<"]


def test_a_character_with_guesses_has_a_cell_for_the_pointer() -> None:
    tops = [[("<", 0.61), ("b", 0.2)], []]
    svg = ElementTree.fromstring(text_svg([Heatmap("a", BITS, [("猫b", np.array([0.5, 1.25]), tops)])]))
    (cell,) = [part for part in svg.iter(f"{SVG}rect") if part.get("class") == "h"]
    assert cell.findtext(f"{SVG}title") == "0.50 | < 61%, b 20%"
    assert ("h", 0, 0, 2) in places(svg, "rect")


def test_guesses_are_in_small_rows_below_each_row_in_the_colours_of_their_probabilities() -> None:
    tops = [[("<", 0.61), ("b", 0.2)], [("猫", 0.95)], [], [("c", 0.05)]]
    picture = Heatmap("a", BITS, [("猫b\nc", np.array([0.5, 1.25, 1, 1]), tops)], 2)
    svg = ElementTree.fromstring(text_svg([picture]))
    rows = [group for group in svg.iter(f"{SVG}g") if group.get("class") == "small"]
    found = [[(part.get("class"), part.text) for part in row if part.tag == f"{SVG}text"] for row in rows]
    assert found == [[("p3", "< "), ("p4", "·")], [("p1", "b ")], [("p0", "c")]]
    assert ".small text{font-size:11px}" in (svg.findtext(f"{SVG}style") or "")
    tops_of_rows = [{float(part.get("y", "0")) for part in row if part.tag == f"{SVG}rect"} for row in rows]
    start = MARGIN + (HEAD_ROWS + 2) * ROW_HEIGHT  # below the second key and the first row of the text
    assert tops_of_rows[:2] == [{start}, {start + GUESS_HEIGHT}]
    texts = {part.text: float(part.get("y", "0")) for part in svg.iter(f"{SVG}text")}
    assert texts["b "] < texts["c"]
    keys = [part.text for part in svg.iter(f"{SVG}text") if (part.get("class") or "").startswith("p")][:5]
    assert keys == [f" {label} " for label in SHARES.labels]
    bottom = max(
        float(part.get("y", "0")) + float(part.get("height", "0")) for part in svg.iter(f"{SVG}rect") if part.get("y")
    )
    assert bottom <= float(svg.get("height", "0")) - MARGIN


def test_it_loads_nothing_and_has_styles_for_light_and_dark_mode() -> None:
    svg = drawn("a")
    light, dark = (svg.findtext(f"{SVG}style") or "").split("@media(prefers-color-scheme:dark)")
    for name in ("page", "s0", "s7", "d0", "d8"):
        assert (light.count(f".{name}{{") > 0, dark.count(f".{name}{{") > 0) == (True, True)
    keys = {key for part in svg.iter() for key in part.attrib}
    assert not {key for key in keys if "href" in key or key.startswith("on")}
    assert "url(" not in light + dark


def test_long_lines_are_folded_and_texts_are_below_each_other() -> None:
    svg = drawn("x" * (MAX_COLUMNS + 3) + "\ny")
    assert [place[1:] for place in places(svg, "rect")] == [(0, 0, MAX_COLUMNS), (0, 1, 4), (0, 2, 1)]
    assert svg.get("width") == str(round(2 * MARGIN + MAX_COLUMNS * CELL_WIDTH))
    two = [Heatmap(name, scale, [("a\nb\n", np.zeros(4))]) for name, scale in (("1", BITS), ("2", diverging_scale(1)))]
    parts = list(ElementTree.fromstring(text_svg(two)).iter(f"{SVG}text"))
    heights = [float(part.get("y", "0")) for part in parts]
    assert heights == sorted(heights)
    assert [part.text for part in parts if part.get("class") == "title"] == ["1", "2"]
    assert {part.get("class", "")[0] for part in parts} == {"t", "s", "d"}
    assert heights[-1] < float(ElementTree.fromstring(text_svg(two)).get("height", "0")) - MARGIN


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.text(st.characters()))
def test_any_text_gives_well_formed_svg_within_its_bounds(text: str) -> None:
    svg = drawn(text, [1.0] * len(text))
    width = float(svg.get("width", "0"))
    assert width >= MIN_COLUMNS * CELL_WIDTH
    for part in svg.iter(f"{SVG}rect"):
        if part.get("class") != "page":
            assert MARGIN <= float(part.get("x", "0")) <= width - MARGIN + 1


@pytest.mark.parametrize("text", ["", "\n", "猫"])
def test_the_smallest_texts_are_drawn(text: str) -> None:
    assert len(places(drawn(text), "rect")) == len(text)


# ---- markup and documents ----


def test_escaped_text_has_neither_markup_nor_control_characters() -> None:
    assert escape("<b>\"&'\x1b\ud800") == "&lt;b&gt;&quot;&amp;&#x27;␛\ufffd"


def test_a_style_sheet_has_the_rules_of_both_modes() -> None:
    assert style_sheet("a{}", "b{}") == "a{}@media(prefers-color-scheme:dark){b{}}"


def test_both_modes_have_the_rule_of_every_level_of_every_palette() -> None:
    sheet = style_sheet("", "", "{name}:{background}:{text};")
    light, dark = (
        re.findall(r"(\w+):(#\w+):(#\w+);", part) for part in sheet.split("@media(prefers-color-scheme:dark)")
    )
    names = [
        *(f"s{level}" for level in range(8)),
        *(f"d{level}" for level in range(9)),
        *(f"p{level}" for level in range(5)),
    ]
    assert [name for name, *_ in light] == [name for name, *_ in dark] == names
    assert [colour for _, colour, _ in light] == [*SEQUENTIAL.light, *DIVERGING.light, *PROBABILITY.light]
    assert [colour for _, colour, _ in dark] == [*SEQUENTIAL.dark, *DIVERGING.dark, *PROBABILITY.dark]
    assert {text for *_, text in light + dark} == {BLACK, WHITE}


def test_an_svg_document_has_its_attributes_its_style_and_its_parts_on_the_page() -> None:
    svg = ElementTree.fromstring(svg_document(f'{XMLNS} width="9"', "a{}", ["<g/>", "<path/>"]))
    assert svg.get("width") == "9"
    assert [part.tag.partition("}")[2] for part in svg] == ["style", "rect", "g", "path"]
    assert (svg[0].text, svg[1].get("class")) == ("a{}", "page")
