import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.pictures.plot import AXES, COLOURS, HEIGHT, LEFT, MOST_TICKS, TOP, WIDTH, Points, Scale, plot

few = settings(deadline=None, max_examples=50, derandomize=True)
SVG = "{http://www.w3.org/2000/svg}"


@few
@given(st.lists(st.tuples(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9)), min_size=1, max_size=5))
def test_every_point_lies_inside_its_panel_and_in_proportion(points: list[tuple[float, float]]) -> None:
    scale = Scale(LEFT, points)
    for x, y in map(scale, points):
        assert LEFT - 1e-6 <= x <= LEFT + WIDTH + 1e-6
        assert TOP - 1e-6 <= y <= TOP + HEIGHT + 1e-6
    (x1, _), (x2, _), (x3, _) = (scale((10.0**n, 1.0)) for n in (1, 2, 3))
    assert math.isclose(x2 - x1, x3 - x2)
    assert "".join(scale.grid()).count('class="grid"') == sum(axis.high - axis.low + 1 for axis in (scale.x, scale.y))


@few
@given(st.sampled_from(sorted(AXES)), st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=5))
def test_an_axis_holds_its_values_between_its_first_tick_and_its_last_and_has_room_for_all(
    kind: str, values: list[float]
) -> None:
    axis = AXES[kind](values)
    places = [tick for tick, _ in axis.ticks]
    assert all(axis.low - 1e-9 * abs(axis.high) <= axis.measure(v) <= axis.high * (1 + 1e-9) + 1e-9 for v in values)
    assert 2 <= len(places) <= MOST_TICKS + 1
    step = places[1] - places[0]
    assert places[0] - step < axis.low <= places[0] < places[-1] <= axis.high < places[-1] + step
    assert len({label for _, label in axis.ticks}) == len(places) or max(values) - min(values) < 1e-3 * max(values)


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("decades", [2e-6, 0.5], ["1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]),
        ("doublings", [0.3, 1], ["0.25", "0.5", "1"]),
        ("doublings", [1, 256], ["1", "2", "4", "8", "16", "32", "64", "128", "256"]),
        ("linear", [1.93, 3.4], ["2", "2.25", "2.5", "2.75", "3", "3.25"]),
        ("linear", [0, 256], ["0", "50", "100", "150", "200", "250"]),
        ("linear", [2.0], ["2", "2.5", "3", "3.5", "4"]),
    ],
)
def test_an_axis_is_numbered_as_people_would(kind: str, values: list[float], labels: list[str]) -> None:
    assert [label for _, label in AXES[kind](values).ticks] == labels


def test_more_lines_than_colours_are_all_there_and_no_name_can_spoil_the_picture() -> None:
    line: Points = [(1.0, 1.0), (2.0, 2.0)]
    names = ["\x00\x1b<&>", *map(str, range(2 * len(COLOURS)))]
    svg = ElementTree.fromstring(plot({"all": {name: (line, []) for name in names}}, "x"))
    assert len(svg.findall(f"{SVG}path[@class='line']")) == 2 * len(names)


def test_panels_may_have_axes_of_their_own_and_lines_no_law_and_no_points() -> None:
    fades: Points = [(0.0, 1.0), (10.0, 1e-4)]
    panels: dict[str, dict[str, tuple[Points, Points]]] = {
        "fades": {"a": (fades, []), "b": ([], [])},
        "none": {"a": ([], [])},
    }
    svg = ElementTree.fromstring(plot(panels, "lag", [("linear", "decades"), ("doublings", "linear")]))
    (line,) = (path.get("d") for path in svg.findall(f"{SVG}path[@class='line']")[:1])
    assert line == f"M{LEFT:.1f},{TOP:.1f}L{LEFT + WIDTH:.1f},{TOP + HEIGHT:.1f}"
    assert svg.findall(f"{SVG}path[@class='law']") == []
    assert len(svg.findall(f"{SVG}path[@class='line']")) == 1 + 2


def test_the_picture_has_a_line_and_its_law_for_every_axis_and_says_which_is_which() -> None:
    lines = {"T": ([(1.0, 1.0), (10.0, 9.0)], [(1.0, 1.0), (10.0, 10.0)]), "<B>": ([(1.0, 1.0)], [(1.0, 1.0)])}
    svg = ElementTree.fromstring(plot({"time & all": lines, "memory": lines}, "sizes"))
    assert len(svg.findall(f"{SVG}path[@class='law']")) == 4
    drawn = svg.findall(f"{SVG}path[@class='line']")
    assert len(drawn) == 4 + 2  # the lines, and the key
    assert len({path.get("stroke") for path in drawn}) == 2
    words = [text.text for text in svg.iter(f"{SVG}text")]
    assert {"time & all", "memory", "T", "<B>", "1", "10"} <= {*words}
    assert words.count("sizes") == 2
    style = svg.findtext(f"{SVG}style")
    assert style
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    assert (".page{fill:#fff}" in light, ".page{fill:#0d1117}" in dark) == (True, True)
    _, ground, *drawings = svg
    assert (ground.tag, ground.get("class")) == (f"{SVG}rect", "page")  # below all else
    assert not [each for each in drawings if re.search("white|black|#fff|#000", ElementTree.tostring(each, "unicode"))]
