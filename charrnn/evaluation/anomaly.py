"""How unusual a line is: one figure in bits from the losses of its characters, and the threshold of a rate of alarms.

A mean hides a short anomaly in a long line; a sum, a maximum or the worst window of a few characters does not.
"""

import math
import re
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.core.errors import UsageError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from charrnn.core.vocab import Vocab
from charrnn.data.ignoring import in_own_text
from charrnn.evaluation.lines import LineScorer

PEAK = 8  # characters of a window by default
RATES = tuple(2.0 ** (-k / 2) for k in range(2, 39))  # shares of lines for which thresholds are kept
TAIL = 32  # of the most unusual lines, from which the thresholds of small rates are extrapolated
ROUNDING = 1e-3  # bits by which a line's figure may differ on another machine
ODD_BITS, ODD_GAP = 6.0, 2  # a character is odd above this; at most so many others join two odd stretches

Span = tuple[int, int, float]  # start and end in a line, and the bits of the characters between
Pairs = list[list[float]]  # rates and thresholds in bits, in descending order of the rates


def peak(bits: Array, size: int) -> float:
    """Return the largest sum of `size` consecutive losses (N,); of all of them if they are fewer."""
    sums = np.concatenate([[0.0], np.cumsum(bits)])
    return float((sums[size:] - sums[:-size]).max() if len(bits) > size else sums[-1])


FIGURES: dict[str, Callable[[Array, int], float]] = {  # losses in bits (N,), the number of those that count -> bits
    "mean": lambda bits, count: float(bits.sum()) / count,
    "sum": lambda bits, count: float(bits.sum()),
    "max": lambda bits, count: float(bits.max()),
}
CALIBRATION_CHARS, MIN_LINES = 500_000, 100  # held-out characters that are scored at most; lines that are needed
CALIBRATED = ("mean", "sum", "max", f"peak:{PEAK}")


@dataclass(frozen=True)
class Figure:
    """A figure of lines by its name: mean, sum, max or peak:N."""

    name: str
    of: Callable[[Array, int], float]

    def value(self, losses: Array, count: int) -> float | None:
        """Return the figure in bits for losses (N,) in nats, those of `count` scored characters."""
        return self.of(losses / math.log(2), count) if count else None


def named_figure(name: str) -> Figure:
    """Return the figure of a name; raises UsageError for an unknown one."""
    kind, _, number = name.partition(":")
    if name == "peak" or (kind == "peak" and re.fullmatch("[0-9]{1,18}", number) and int(number) > 0):
        size = int(number or PEAK)
        return Figure(f"peak:{size}", lambda bits, count: peak(bits, size))
    if name not in FIGURES:
        raise UsageError(f"--score {name}: must be mean, sum, max, peak or peak:N")
    return Figure(name, FIGURES[name])


def odd_spans(losses: Array) -> list[Span]:
    """Return the stretches of a line in which characters cost more than ODD_BITS: start, end and bits of each."""
    bits = losses / math.log(2)
    odd = np.flatnonzero(bits > ODD_BITS)
    runs = np.split(odd, np.flatnonzero(np.diff(odd) > ODD_GAP + 1) + 1) if len(odd) else []
    return [(int(run[0]), int(run[-1]) + 1, float(bits[run[0] : run[-1] + 1].sum())) for run in runs]


# ---- thresholds ----


def thresholds(values: Sequence[float]) -> Pairs:
    """Return rates and thresholds: that share of lines like these, whose figures are `values`, is above the threshold.

    Rates so small that few of these lines are above the threshold are extrapolated. Above the TAIL largest values the
    excess is taken to fall exponentially, as extreme values of most distributions do.

    Several lines may share a value, as those of a frequent message do. Where they share the value at the rank of the
    rate, the threshold is above it, so that a message which alone exceeds the rate is not passed on.
    """
    ordered = np.sort(np.asarray(values, np.float64))[::-1]  # the largest first
    N, tail = len(ordered), min(TAIL, len(ordered) // 4)
    if not tail:
        return []
    scale = float(np.mean(ordered[:tail]) - ordered[tail])
    found = list[float]()
    for rate in RATES:
        at = math.floor(rate * N)
        if at >= tail:
            found.append(float(ordered[at]))
        else:
            is_shared = ordered[at] in (ordered[at + 1], *ordered[max(0, at - 1) : at])
            extrapolated = float(ordered[tail]) + scale * math.log(tail / (rate * N))
            found.append(max(extrapolated, float(ordered[at]) + ROUNDING) if is_shared else extrapolated)
    return [[rate, threshold] for rate, threshold in zip(RATES, np.maximum.accumulate(found).tolist(), strict=True)]


def calibrated(model: CharRNN, vocab: Vocab, held_out: Ids, ignore: Sequence[str]) -> dict[str, Pairs]:
    """Return the thresholds of the figures in CALIBRATED for lines that are held out, (N,); none for too few lines."""
    text = vocab.decode(held_out[:CALIBRATION_CHARS].tolist())
    lines = [f"{line}\n" for line in text.split("\n")[:-1]]
    if len(lines) < MIN_LINES:
        return {}
    found = LineScorer(model, vocab, in_own_text(ignore)).scores(lines)
    counted = [(each.losses, each.score.chars + each.score.unknown) for each in found]
    result = dict[str, Pairs]()
    for figure in map(named_figure, CALIBRATED):
        values = (figure.value(*each) for each in counted)
        result[figure.name] = thresholds([value for value in values if value is not None])
    return result


def threshold_of(pairs: Pairs, rate: float) -> float:
    """Return the threshold of a rate, between two that are kept on a line through the logarithm of the rates."""
    logs, values = [-math.log(pair[0]) for pair in pairs], [pair[1] for pair in pairs]
    i = min(max(bisect(logs, -math.log(rate)), 1), len(pairs) - 1)
    share = (-math.log(rate) - logs[i - 1]) / (logs[i] - logs[i - 1])
    return values[i - 1] + share * (values[i] - values[i - 1])
