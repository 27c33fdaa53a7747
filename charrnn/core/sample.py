"""Sampling: a filter chain on the logits, one draw per character, and the plain loop that writes text.

A filter is a pure function of logits (B, V) in float64, one row per text. It returns new logits in which excluded
symbols are -inf, keeps the order of the others, and always leaves the most likely one. It keeps both or neither of two
equally likely symbols; only temperature 0 chooses the first.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.config import Purpose, require
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids

Logits = NDArray[np.float64]  # (B, V)
Mask = NDArray[np.bool_]  # (V,) or (B, V)

DIVERGED = -1  # drawn where the logits are not finite
ALMOST_1 = 1 - 2**-53  # at most this share is cut off, so that a symbol is left however small p is


def only(logits: Logits, allowed: Mask) -> Logits:
    """Exclude all symbols that are not allowed; at least one must be in every row."""
    return np.where(allowed, logits, -np.inf)


def temperature(logits: Logits, value: float) -> Logits:
    """Return (logits - the row's largest) / value, so that the largest is 0; temperature 0 leaves only that one.

    A tiny temperature sends all but the largest to -inf by an overflow, which the caller allows.
    """
    shifted = logits - np.maximum.reduce(logits, axis=1, keepdims=True)
    if value == 0:
        first = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]  # of several largest ones
        return np.where(first, shifted, -np.inf)
    return shifted if value == 1 else np.divide(shifted, value, out=shifted)


def without(logits: Logits, excluded: Mask) -> Logits:
    """Return logits with -inf at the excluded symbols."""
    result = logits.copy()
    np.putmask(result, excluded, -np.inf)  # in half the time of np.where with a scalar
    return result


def top_k(logits: Logits, k: int) -> Logits:
    """Keep the k largest, and those equal to the last of them."""
    if k >= logits.shape[1]:
        return logits
    return without(logits, logits < np.partition(logits, -k, axis=1)[:, -k, None])


def top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of the most likely symbols with total probability p, and those equal to its last one.

    The largest logit must be 0. Holtzman et al. 2020, "The curious case of neural text degeneration".
    """
    if p == 1:
        return logits
    ascending = logits.copy()
    ascending.sort()
    mass = np.exp(ascending)
    np.add.accumulate(mass, 1, None, mass)  # of the least likely symbols up to each
    kept = (mass > mass[:, -1:] * min(1 - p, ALMOST_1)).argmax(1)  # the first one to keep
    if len(mass) > 1:
        kept += np.arange(0, mass.size, mass.shape[1])  # as a position in the flattened rows
    return without(logits, logits < ascending.take(kept)[:, None])


def min_p(logits: Logits, p: float) -> Logits:
    """Keep symbols at least p times as likely as the most likely one (Nguyen et al. 2024, arXiv:2407.01082).

    The largest logit must be 0.
    """
    return logits if p == 0 else without(logits, logits < np.log(p))


class Filter(NamedTuple):
    """A filter, and the values it accepts, in code and in words."""

    apply: Callable[[Logits, Any], Logits]
    accepts: Callable[[Any], bool]
    needs: str


FILTERS: dict[str, Filter] = {  # in the order of their application; from temperature on the largest logit is 0
    "allowed": Filter(only, lambda allowed: bool(np.all(np.any(allowed, axis=-1))), "at least one character"),
    "temperature": Filter(temperature, lambda value: 0 <= value < np.inf, "0 (greedy) or more, and finite"),
    "top_k": Filter(top_k, lambda k: k >= 1, "at least 1"),
    "top_p": Filter(top_p, lambda p: 0 < p <= 1, "above 0 and at most 1"),
    "min_p": Filter(min_p, lambda p: 0 <= p <= 1, "0 to 1"),
}
Settings = Mapping[str, Any]  # filter name -> value


def check_filters(settings: Settings) -> None:
    """Raise UsageError, naming the option, for a value that a filter does not accept."""
    for name, value in settings.items():
        require(FILTERS[name].accepts(value), f"--{name.replace('_', '-')}", value, FILTERS[name].needs)


def chain(settings: Settings) -> Callable[[Logits], Logits]:
    """Return the filters composed in the order of the table; in its result the largest logit of each row is 0."""
    settings = {"temperature": 1.0, **settings}
    steps = [(FILTERS[name].apply, settings[name]) for name in FILTERS if name in settings]

    def run(logits: Logits) -> Logits:
        for apply, value in steps:
            logits = apply(logits, value)
        return logits

    return run


def pick(logits: Logits, numbers: NDArray[np.float64]) -> Ids:
    """Draw one id per row from softmax(logits), whose largest is 0: a uniform number against the cumulative sum.

    The id of a row that is not finite is DIVERGED. Shapes: (B, V), (B,) -> (B,).
    """
    cumulative = np.exp(logits.T)  # (V, B), so that the sums of all rows advance together
    np.add.accumulate(cumulative, 0, None, cumulative)
    total = cumulative[-1]
    ids: Ids = (cumulative > numbers * total).argmax(axis=0)
    if not np.isfinite(sum(total.tolist())):
        ids[~np.isfinite(total)] = DIVERGED
    return ids


def nats(logits: Logits, ids: Ids) -> NDArray[np.float64]:
    """Return -log softmax(logits) of ids (B,), (B,)."""
    largest = logits.max(axis=1)
    drawn: NDArray[np.float64] = logits[np.arange(len(ids)), ids]
    total: NDArray[np.float64] = np.exp(logits - largest[:, None]).sum(axis=1)
    cost: NDArray[np.float64] = np.log(total) + largest - drawn
    return cost


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of sample `index`, which depend on these two alone."""
    return np.random.default_rng([seed, index, Purpose.SAMPLE])


def diverged() -> DivergedError:
    """Return the error of a model whose logits are not finite."""
    return DivergedError("the model has diverged: its logits are not finite; train again with a smaller --lr")


def generate(model: CharRNN, prompt: Ids, rng: np.random.Generator, filters: Settings) -> Iterator[int]:
    """Read the ids of a prompt (N,), N ≥ 1, then yield ids without end, each drawn and fed back to the model.

    This is the plain loop: one forward pass per character. Raises UsageError for a filter's value, DivergedError if
    logits are not finite.
    """
    check_filters(filters)
    filtered, cache, state = chain(filters), model.cache(len(prompt), 1), model.zero_state(1)
    logits, state = model.forward(prompt[:, None], state, cache)
    while True:
        with np.errstate(over="ignore", invalid="ignore"):  # pick finds logits that are not finite
            number = rng.random(1) if filters.get("temperature") != 0 else np.zeros(1)
            (drawn,) = pick(filtered(logits[-1].T.astype(np.float64)), number)
        if drawn == DIVERGED:
            raise diverged()
        yield int(drawn)
        logits, state = model.forward(np.array([[drawn]]), state, cache)
