import math
import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.pictures.plot import HEIGHT, LEFT, TOP, WIDTH, Scale, plot

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
    assert "".join(scale.grid()).count('class="grid"') == sum(high - low + 1 for low, high in (scale.x, scale.y))


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
    assert re.search(r"@media\(prefers-color-scheme:dark\)", style)
    assert not re.search("white|black|#fff|#000", ElementTree.tostring(svg, "unicode"))
