import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.plots.line_plot import AXES, HEIGHT, LEFT, LINE_COLOURS, MAX_TICKS, TOP, WIDTH, line_plot
from charrnn.plots.terminal_chart import Points

few = settings(deadline=None, max_examples=50, derandomize=True)
SVG = "{http://www.w3.org/2000/svg}"


@few
@given(st.lists(st.tuples(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9)), min_size=1, max_size=5))
def test_every_point_is_inside_its_panel_and_in_proportion(points: list[tuple[float, float]]) -> None:
    x_axis, y_axis = (AXES["decades"](values) for values in zip(*points, strict=True))
    svg = ElementTree.fromstring(line_plot({"": {"": (points, [])}}, ""))
    path, _ = (path.get("d", "") for path in svg.findall(f"{SVG}path[@class='line']"))
    drawn = [tuple(map(float, place.split(","))) for place in path.removeprefix("M").split("L")]
    for (x, y), (across, down) in zip(points, drawn, strict=True):
        assert LEFT <= across <= LEFT + WIDTH
        assert TOP <= down <= TOP + HEIGHT
        right = (math.log10(x) - x_axis.low) / (x_axis.high - x_axis.low)
        up = (math.log10(y) - y_axis.low) / (y_axis.high - y_axis.low)
        assert (across, down) == pytest.approx((LEFT + right * WIDTH, TOP + (1 - up) * HEIGHT), abs=0.0501)
    assert len(svg.findall(f"{SVG}path[@class='grid']")) == sum(a.high - a.low + 1 for a in (x_axis, y_axis))


@few
@given(st.sampled_from(sorted(AXES)), st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=5))
def test_an_axis_contains_its_values_and_has_a_bounded_number_of_even_ticks(kind: str, values: list[float]) -> None:
    axis = AXES[kind](values)
    places = [tick for tick, _ in axis.ticks]
    assert all(axis.low - 1e-9 * abs(axis.high) <= axis.measure(v) <= axis.high * (1 + 1e-9) + 1e-9 for v in values)
    assert 2 <= len(places) <= MAX_TICKS + 1
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
def test_tick_labels_are_round_numbers(kind: str, values: list[float], labels: list[str]) -> None:
    assert [label for _, label in AXES[kind](values).ticks] == labels


def test_more_lines_than_colours_are_all_drawn_and_names_are_escaped() -> None:
    line: Points = [(1.0, 1.0), (2.0, 2.0)]
    names = ["\x00\x1b<&>", *map(str, range(2 * len(LINE_COLOURS)))]
    svg = ElementTree.fromstring(line_plot({"all": {name: (line, []) for name in names}}, "x"))
    assert len(svg.findall(f"{SVG}path[@class='line']")) == 2 * len(names)


def test_panels_may_have_different_axes_and_lines_without_expectation_or_points() -> None:
    fades: Points = [(0.0, 1.0), (10.0, 1e-4)]
    panels: dict[str, dict[str, tuple[Points, Points]]] = {
        "fades": {"a": (fades, []), "b": ([], [])},
        "none": {"a": ([], [])},
    }
    svg = ElementTree.fromstring(line_plot(panels, "lag", [("linear", "decades"), ("doublings", "linear")]))
    (line,) = (path.get("d") for path in svg.findall(f"{SVG}path[@class='line']")[:1])
    assert line == f"M{LEFT:.1f},{TOP:.1f}L{LEFT + WIDTH:.1f},{TOP + HEIGHT:.1f}"
    assert svg.findall(f"{SVG}path[@class='law']") == []
    assert len(svg.findall(f"{SVG}path[@class='line']")) == 1 + 2


def test_the_plot_has_every_line_its_dashed_expectation_and_a_key() -> None:
    lines = {"T": ([(1.0, 1.0), (10.0, 9.0)], [(1.0, 1.0), (10.0, 10.0)]), "<B>": ([(1.0, 1.0)], [(1.0, 1.0)])}
    svg = ElementTree.fromstring(line_plot({"time & all": lines, "memory": lines}, "sizes"))
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
    assert (ground.tag, ground.get("class")) == (f"{SVG}rect", "page")  # below everything else
    assert not [each for each in drawings if re.search("white|black|#fff|#000", ElementTree.tostring(each, "unicode"))]
