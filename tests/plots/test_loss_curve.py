import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.plots.loss_curve import SPARKS, Trace


def trace_of(values: list[float]) -> Trace:
    trace = Trace()
    for value in values:
        trace.add(value)
    return trace


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
