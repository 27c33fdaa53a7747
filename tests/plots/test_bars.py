import pytest

from charrnn.plots.bars import bar


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0, ""), (0.01, ""), (0.016, "▏"), (0.125, "▌"), (0.25, "█"), (0.4999, "██"), (0.97, "███▉"), (1, "████")],
)
def test_a_bar_is_as_long_as_the_share_in_eighths_of_a_cell(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn
