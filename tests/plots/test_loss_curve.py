import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.plots.loss_curve import MAX_COLUMNS, PLOT_ROWS, SPARKS, Trace, between, curve

LOSSES = st.floats(0, 100)
HISTORY = st.lists(st.tuples(st.integers(1, 10**6), LOSSES, LOSSES), min_size=2, max_size=30, unique_by=lambda v: v[0])


def trace_of(values: list[float]) -> Trace:
    trace = Trace()
    for value in values:
        trace.add(value)
    return trace


# ---- the sparkline ----


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 8, ""),
        ([3.0], 8, "▁"),
        ([2.0, 2.0], 8, "▁▁"),
        ([8.0, 7, 6, 5, 4, 3, 2, 1], 8, "█▇▆▅▄▃▂▁"),
        ([8.0, 8, 1, 1, 4, 4], 3, "█▁▄"),
        ([5.0, 1, 1], 8, "█▁▁"),
    ],
)
def test_a_sparkline_is_scaled_from_the_lowest_to_the_highest_mean(values: list[float], width: int, line: str) -> None:
    assert trace_of(values).sparkline(width) == line


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(1, 3000), st.integers(1, 60))
def test_the_sparkline_of_a_falling_loss_falls_in_runs_of_any_length(count: int, width: int) -> None:
    trace = trace_of([count - i for i in range(count)])
    line = trace.sparkline(width)
    assert len(trace.means) < Trace.MAX_MEANS
    assert [SPARKS.index(spark) for spark in line] == sorted(map(SPARKS.index, line), reverse=True)
    assert len(line) == min(width, len(trace.means)) > 0


def test_a_full_trace_halves_its_resolution() -> None:
    trace = trace_of([float(i) for i in range(2 * Trace.MAX_MEANS)])
    assert trace.values_per_mean == 4
    assert trace.means == [4 * i + 1.5 for i in range(Trace.MAX_MEANS // 2)]


# ---- the plot ----


def test_a_plot_shows_both_losses_the_best_step_and_its_axes() -> None:
    history = [(100, 5.0, 3.0), (200, 2.5, 2.0), (300, 1.75, 1.5), (1100, 1.0, 2.25)]
    assert curve(history, 300, 27).splitlines() == [
        "3.00 |o",
        "     | o.",
        "     |                    o",
        "     |  o.           ooooo",
        "     |   o.     ooooo",
        "     |    *ooooo",
        "     |          .....",
        "1.00 |               ......",
        "     +---------------------",
        "      100    step     1,100",
    ]


def test_equal_losses_of_two_validations_are_one_line() -> None:
    lines = curve([(1, 2.0, 2.0), (2, 2.0, 2.0)], 2, 30).splitlines()
    assert [line for line in lines if "o" in line] == [f"2.00 |{'o' * 23}*"]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(HISTORY, st.integers(1, 300))
@example([(1, 0.0, 1.5715824364259205), (2, 0.0, 66.55038878908555)], 1)  # the rise, rounded, leads above the end
def test_a_plot_fits_its_columns_and_marks_every_one(history: list[tuple[int, float, float]], columns: int) -> None:
    history.sort()
    best = min(history, key=lambda entry: entry[2])[0]
    lines = curve(history, best, columns).splitlines()
    margin = lines[0].index("|") + 1
    width = len(lines[PLOT_ROWS]) - margin
    assert width == max(10, min(MAX_COLUMNS, columns - margin)) or width == MAX_COLUMNS
    assert len(lines) == PLOT_ROWS + 2
    assert max(map(len, lines[: PLOT_ROWS + 1])) <= margin + width
    rows = [line[margin:].ljust(width) for line in lines[:PLOT_ROWS]]
    assert all({"o", "*"} & {row[x] for row in rows} for x in range(width))
    assert sum(row.count("*") for row in rows) == 1


def test_values_between_points_are_interpolated_linearly() -> None:
    points = [(10, 4.0), (20, 2.0), (40, 1.0)]
    assert [between(points, step) for step in (10, 15, 20, 30, 40, 41)] == [4.0, 3.0, 2.0, 1.5, 1.0, 1.0]
    assert between([(20, 6.0), (40, 7.0)], 30) == 6.5
