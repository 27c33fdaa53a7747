import math
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.plots.terminal_chart import DECADE_ROWS, LINEAR_ROWS, MAX_COLUMNS, chart, plot_width, with_axes

LINES = st.dictionaries(
    st.sampled_from(["tanh", "gru", "a name that is long"]),
    st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=40).map(
        lambda ys: [(float(x), y) for x, y in enumerate(ys)]
    ),
    min_size=1,
)


def body(drawing: str) -> list[str]:
    return [line.partition("|")[2] for line in drawing.split("\n") if "|" in line]


def test_a_line_that_falls_by_a_power_of_ten_per_step_is_a_diagonal() -> None:
    fades = [(float(k), 10.0**-k) for k in range(13)]
    drawing = chart({"fades": fades, "stays": [(0.0, 1.0), (12.0, 1.0)]}, 20, "lag", dots=False)
    assert drawing.split("\n") == [
        "    1 |bbbbbbbbbbbbb",
        *(f"{f'1e-{k}':>5} |{' ' * k}a" for k in range(1, 13)),
        "      +-------------",
        "       0   lag    12",
        "       a fades   b stays",
    ]


def test_a_character_has_dots_in_two_columns_and_four_rows() -> None:
    fades = [(0.0, 1.0), (1.0, 0.1)]
    assert body(chart({"fades": fades}, 19, "lag", dots=True))[:3] == ["⠱⡀", " ⢱", "  ⢣"]
    flat = chart({"a": [(0.0, 0.1), (1.0, 0.1)], "b": [(0.0, 1.0), (1.0, 1.0)]}, 19, "lag", dots=True)
    assert [row for row in body(flat) if row] == ["⠉" * 13, "⣀" * 13]


def test_each_line_has_its_colour_in_the_drawing_and_in_the_key() -> None:
    lines = {"x": [(0.0, 1.0), (4.0, 1.0)], "y": [(2.0, 1.0), (4.0, 1.0)]}
    drawing = chart(lines, 16, "lag", dots=False, colored=True)
    assert body(drawing)[0] == "\x1b[36maaaaa\x1b[0m\x1b[33mbbbbb\x1b[0m"
    assert drawing.split("\n")[-1].strip() == "\x1b[36ma x\x1b[0m   \x1b[33mb y\x1b[0m"
    assert re.sub("\x1b.*?m", "", drawing) == chart(lines, 16, "lag", dots=False)


@pytest.mark.parametrize(("low", "high", "rows"), [(-8, 0, 9), (-6, 0, 13), (-1, 0, 14), (0, 100, 14), (-30, 0, 11)])
def test_every_power_of_ten_has_a_row_or_every_nth_where_they_are_many(low: int, high: int, rows: int) -> None:
    drawing = chart({"line": [(0.0, 10.0**low), (1.0, 10.0**high)]}, 80, "lag", dots=False)
    labels = [re.match(r" *(\S+) \|", line) for line in drawing.split("\n")[: len(body(drawing))]]
    powers = [0 if label[1] == "1" else int(label[1][2:]) for label in labels if label]
    assert len(body(drawing)) == rows <= DECADE_ROWS + 1
    assert {a - b for a, b in pairwise(powers)} == {-(-(high - low) // DECADE_ROWS)}
    assert powers[0] == high
    assert powers[-1] <= low


@settings(deadline=None, max_examples=50, derandomize=True)
@given(LINES, st.integers(1, 250), st.booleans())
def test_a_chart_fits_its_columns_and_marks_every_one_that_a_line_crosses(
    lines: dict[str, list[tuple[float, float]]], columns: int, dots: bool
) -> None:
    drawing = chart(lines, columns, "characters back", dots)
    *rest, key = drawing.split("\n")
    scale = next(line for line in rest if "+-" in line)
    width = scale.count("-")
    assert width == max(10, min(MAX_COLUMNS, columns - scale.index("+") - 1)) or columns < 20
    assert max(map(len, body(drawing))) <= width
    longest = max(len(points) for points in lines.values()) - 1
    marked_columns = [
        any(column < len(row) and row[column] not in " \u2800" for row in body(drawing)) for column in range(width)
    ]
    assert all(marked_columns) or longest == 0
    assert [name for name in lines if name in key] == [*lines]
    assert math.isclose(float(rest[-1].split()[0]), 0)


# ---- linear ----


def test_a_linear_chart_has_equal_steps_for_equal_differences() -> None:
    drawing = chart(
        {"falls": [(0.0, 3.0), (9.0, 1.0)], "stays": [(3.0, 1.0), (9.0, 1.0)]}, 16, "step", False, linear=True
    )
    assert drawing.split("\n") == [
        "3.00 |a",
        *(f"     |{' ' * k}a" for k in range(1, 5)),
        "1.89 |     a",
        *(f"     |{' ' * k}a" for k in range(6, 9)),
        "1.00 |   bbbbbbb",
        "     +----------",
        "      0  step  9",
        "      a falls   b stays",
    ]


def test_a_linear_chart_of_one_value_is_a_line_in_the_middle_and_may_be_wide() -> None:
    drawing = chart({"a": [(0.0, 2.0), (1.0, 2.0)]}, 207, "step", True, linear=True, most=207)
    (marked,) = [row for row in body(drawing)[:LINEAR_ROWS] if row]
    assert len(marked) == 201 == 207 - len("2.00 |")
    assert drawing.startswith("2.01 |")


# ---- axes ----


@pytest.mark.parametrize(("columns", "width"), [(80, 60), (50, 44), (17, 11), (16, 10), (1, 10)])
def test_a_plot_is_as_wide_as_the_columns_beside_its_labels_within_bounds(columns: int, width: int) -> None:
    assert plot_width(columns, ["3.00", "", "1"], 60) == width


def test_axes_have_labels_a_name_and_both_ends() -> None:
    assert with_axes(["o  ", " oo"], ["10", "1"], 16, 1, 1100, "step") == [
        "10 |o",
        " 1 | oo",
        "   +----------------",
        "    1   step   1,100",
    ]


def test_the_name_of_an_axis_is_complete_where_the_axis_is_short() -> None:
    assert with_axes([""], [""], 10, 0, 10**9, " lag ")[-1] == "  0 lag 1,000,000,000"
