import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.errors import UsageError
from charrnn.core.vocab import Vocab, codes_of
from charrnn.evaluation.anomaly import (
    CALIBRATED,
    RATES,
    TAIL,
    calibrated,
    named_figure,
    odd_spans,
    peak,
    threshold_of,
    thresholds,
)
from charrnn.evaluation.lines import LineScorer
from tests.helpers.models import tiny_model

BITS = np.array([1.0, 0.5, 7.0, 9.0, 2.0, 0.25])


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=12), st.integers(1, 14))
def test_a_peak_is_the_largest_sum_of_a_window(bits: list[float], size: int) -> None:
    windows = [sum(bits[i : i + size]) for i in range(max(1, len(bits) - size + 1))]
    assert peak(np.array(bits), size) == pytest.approx(max(windows))


def test_figures_are_in_bits() -> None:
    expected = {"mean": 19.75 / 4, "sum": 19.75, "max": 9.0, "peak:2": 16.0, "peak:3": 18.0, "peak": 19.75}
    losses = BITS * math.log(2)
    for name, value in expected.items():
        assert named_figure(name).value(losses, 4) == pytest.approx(value)
    assert named_figure("peak").name == "peak:8"
    assert named_figure("sum").value(losses, 0) is None


@pytest.mark.parametrize("name", ["", "median", "peak:", "peak:0", "peak:x", "peak:-1", "sum:3", "peak:²"])
def test_an_unknown_figure_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"^--score {name}: must be "):
        named_figure(name)


@pytest.mark.parametrize(
    ("bits", "spans"),
    [
        ([1, 9, 1], [(1, 2, 9)]),
        ([9, 1, 2, 9, 1], [(0, 4, 21)]),  # two others join them
        ([9, 1, 2, 3, 9], [(0, 1, 9), (4, 5, 9)]),
        ([6, 1], []),  # not above
        ([], []),
    ],
)
def test_odd_spans_are_joined_over_short_gaps(bits: list[float], spans: list[tuple[int, int, float]]) -> None:
    found = odd_spans(np.array(bits, np.float64) * math.log(2))
    assert [span[:2] for span in found] == [span[:2] for span in spans]
    assert [span[2] for span in found] == pytest.approx([span[2] for span in spans])


# ---- thresholds ----


def test_the_promised_share_of_lines_is_above_a_threshold() -> None:
    values = np.random.default_rng(0).permutation(1000).astype(np.float64).tolist()
    pairs = thresholds(values)
    assert [rate for rate, _ in pairs] == list(RATES)
    for rate, threshold in pairs:
        if rate * 1000 >= TAIL:
            assert sum(value > threshold for value in values) == math.floor(rate * 1000)


@pytest.mark.parametrize("rate", [1 / 50, 1 / 400, 1 / 1000, 1 / 10_000])
def test_small_rates_are_extrapolated(rate: float) -> None:
    """The mean over 40 times 2,000 values of a distribution whose tail is exponential."""
    rng = np.random.default_rng(3)
    found = [threshold_of(thresholds(rng.exponential(2.0, 2000).tolist()), rate) for _ in range(40)]
    assert np.mean(found) == pytest.approx(-2.0 * math.log(rate), rel=0.03)


def test_a_message_that_is_more_frequent_than_the_rate_is_below_the_threshold() -> None:
    """The values of a log of sshd: extrapolated alone, the threshold of one line in 400 is 5.97 bits."""
    values = [6.126] * 11 + [5.665] * 22 + [5.469] * 10 + np.linspace(5.4, 1, 1957).tolist()
    pairs = thresholds(values)
    assert 6.126 < threshold_of(pairs, 1 / 400) < 6.13
    assert threshold_of(pairs, 1 / 100) < 6.126  # 20 lines in 2,000: these 14 are among them


def test_thresholds_rise_as_rates_fall() -> None:
    pairs = thresholds([1.0] * 900 + [2.0] * 100)
    steps = np.diff([threshold for _, threshold in pairs])
    assert (steps >= 0).all()
    assert pairs[0][1] == 1.0
    assert threshold_of(pairs, 1e-9) >= pairs[-1][1]
    assert thresholds([1.0]) == []


def test_a_threshold_is_between_those_of_the_rates_beside_it() -> None:
    pairs = [[0.5, 1.0], [0.25, 3.0], [0.125, 4.0]]
    assert threshold_of(pairs, 0.25) == pytest.approx(3.0)
    assert threshold_of(pairs, math.sqrt(0.5 * 0.25)) == pytest.approx(2.0)
    assert threshold_of(pairs, 0.0625) == pytest.approx(5.0)


def test_held_out_lines_are_calibrated_for_each_figure() -> None:
    vocab = Vocab(np.unique(codes_of("\nabcd")))
    model = tiny_model(len(vocab), dtype=np.float32)
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice([*"abcd"], rng.integers(1, 9))) + "\n" for _ in range(150)]
    found = calibrated(model, vocab, vocab.encode("".join(lines) + "ab"), ())
    assert list(found) == list(CALIBRATED)
    sums = [each.score.nats / math.log(2) for each in LineScorer(model, vocab).scores(lines)]
    np.testing.assert_allclose(found["sum"], thresholds(sums))
    assert calibrated(model, vocab, vocab.encode("".join(lines[:99])), ()) == {}
