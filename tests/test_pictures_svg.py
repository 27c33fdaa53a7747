import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.pictures.shades import BITS, Shading, both_ways
from charrnn.pictures.svg import CELL, COLUMNS, LEAST, MARGIN, ROW, text_svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, values: list[float] | None = None) -> ElementTree.Element:
    numbers = np.array(values if values is not None else [0.0] * len(text))
    return ElementTree.fromstring(text_svg([Shading("a & <b>\x1b", BITS, [(text, numbers)])]))


def places(svg: ElementTree.Element, kind: str) -> list[tuple[str, float, float, float]]:
    """Class, column, row and cells of the parts of a text; the key stands in row 1."""
    found = [part for part in svg.iter(SVG + kind) if float(part.get("y", "0")) >= MARGIN + 3 * ROW]
    return [
        (
            part.get("class", ""),
            round((float(part.get("x", "0")) - MARGIN) / CELL, 1),
            (float(part.get("y", "0")) - MARGIN) // ROW - 3,
            round(float(part.get("width") or part.get("textLength") or CELL) / CELL, 1),
        )
        for part in found
    ]


def test_every_stretch_of_a_level_is_one_ground_and_one_text_in_the_cells_that_are_its_own() -> None:
    svg = drawn("ab猫 c\n<", [0, 0, 3, 3, 9, 1, math.nan])
    expected = [("s0", 0, 0, 2), ("s3", 2, 0, 2), ("s3", 4, 0, 1), ("s7", 5, 0, 1), ("s1", 6, 0, 1), ("x", 0, 1, 1)]
    assert places(svg, "rect") == expected
    assert places(svg, "text") == [place for place in expected if place[:2] != ("s3", 4)]  # a blank needs no text
    texts = [part.text for part in svg.iter(f"{SVG}text")]
    assert texts[0] == "a & <b>␛"
    assert texts[-5:] == ["ab", "猫", "c", "↵", "<"]


def test_it_loads_nothing_and_has_a_style_for_light_and_for_dark() -> None:
    svg = drawn("a")
    light, dark = (svg.findtext(f"{SVG}style") or "").split("@media(prefers-color-scheme:dark)")
    for name in ("page", "s0", "s7", "d0", "d8"):
        assert (light.count(f".{name}{{") > 0, dark.count(f".{name}{{") > 0) == (True, True)
    keys = {key for part in svg.iter() for key in part.attrib}
    assert not {key for key in keys if "href" in key or key.startswith("on")}
    assert "url(" not in light + dark


def test_long_lines_are_folded_and_texts_stand_below_each_other() -> None:
    svg = drawn("x" * (COLUMNS + 3) + "\ny")
    assert [place[1:] for place in places(svg, "rect")] == [(0, 0, COLUMNS), (0, 1, 4), (0, 2, 1)]
    assert svg.get("width") == str(round(2 * MARGIN + COLUMNS * CELL))
    two = [Shading(name, scale, [("a\nb\n", np.zeros(4))]) for name, scale in (("1", BITS), ("2", both_ways(1)))]
    parts = list(ElementTree.fromstring(text_svg(two)).iter(f"{SVG}text"))
    heights = [float(part.get("y", "0")) for part in parts]
    assert heights == sorted(heights)
    assert [part.text for part in parts if part.get("class") == "title"] == ["1", "2"]
    assert {part.get("class", "")[0] for part in parts} == {"t", "s", "d"}
    assert heights[-1] < float(ElementTree.fromstring(text_svg(two)).get("height", "0")) - MARGIN


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.text(st.characters()))
def test_whatever_the_text_it_is_well_formed_and_within_its_bounds(text: str) -> None:
    svg = drawn(text, [1.0] * len(text))
    width = float(svg.get("width", "0"))
    assert width >= LEAST * CELL
    for part in svg.iter(f"{SVG}rect"):
        if part.get("class") != "page":
            assert MARGIN <= float(part.get("x", "0")) <= width - MARGIN + 1


@pytest.mark.parametrize("text", ["", "\n", "猫"])
def test_the_smallest_texts_are_drawn(text: str) -> None:
    assert len(places(drawn(text), "rect")) == len(text)
