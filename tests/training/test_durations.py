import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.errors import UsageError
from charrnn.training.durations import UNITS, duration, in_units


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_time_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text, seconds = "".join(f"{n}{unit}" for n, unit in parts), sum(n * UNITS[unit] for n, unit in parts)
    if seconds:
        assert duration(text, "--time") == seconds
    else:
        with pytest.raises(UsageError, match=f"--time {text}"):
            duration(text, "--time")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("30s", 30), ("0.5m", 30), ("1h30m", 5400)])
def test_the_formats_of_a_time(text: str, seconds: float) -> None:
    assert duration(text, "--time") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1e3", "nan", "inf", "3x", "m", "3m5", "3 m", "3m,", "٣", "1.", ".5s", "9" * 400]
)
def test_an_invalid_time_is_refused_with_the_name_of_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--time {text}"):
        duration(text, "--time")


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.floats(0.1, 10**8))
def test_a_time_is_written_in_the_format_that_is_read(seconds: float) -> None:
    assert duration(in_units(seconds), "--time") == pytest.approx(seconds, rel=0.03, abs=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0.0s"), (4.25, "4.2s"), (59.97, "1m"), (185.4, "3m5s"), (3599.7, "1h"), (5400, "1h30m")],
        *[(86399, "24h"), (200_000, "2d8h")],
    ],
)
def test_times_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert in_units(seconds) == text
