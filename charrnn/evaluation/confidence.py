"""Confidence intervals of a mean loss."""

import numpy as np

from charrnn.core.score import Score

MIN_PIECES = 8  # fewer do not show how much they vary
RESAMPLES = 1000


def interval(score: Score) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of a mean loss, in nats per character; None if the text is too short.

    Computed from bootstrap resamples of whole pieces, since neighbouring characters are correlated (the block
    bootstrap of Carlstein 1986 and Künsch 1989). The resamples are the same in every call.
    """
    if len(score.pieces) < MIN_PIECES:
        return None
    chars, nats = np.array(score.pieces, np.float64).T
    drawn = np.random.default_rng(0).integers(0, len(chars), (RESAMPLES, len(chars)))
    low, high = np.quantile(nats[drawn].sum(axis=1) / chars[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
