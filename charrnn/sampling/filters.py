"""From logits to a character: the filters in their order, and the draw.

A filter is a pure function of logits (B, V) in float64, a row a text, and returns new ones, in which what it rules out
is -inf. It keeps the order of what is left, and leaves the likeliest at least. Of two that are equally likely it never
keeps one alone; only temperature 0 does, which decides.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.config import require
from charrnn.errors import UsageError
from charrnn.ops import Ids
from charrnn.vocab import Vocab, named, normalized

Logits = NDArray[np.float64]  # (B, V)
Mask = NDArray[np.bool_]  # (V,) or (B, V)

DIVERGED = -1  # drawn where the logits are not finite
ALMOST_1 = 1 - 2**-53  # so small a share can be spared that one character is left, however small p is


def only(logits: Logits, allowed: Mask) -> Logits:
    """Rule out all but what is allowed, which must be something in every row."""
    return np.where(allowed, logits, -np.inf)


def temperature(logits: Logits, value: float) -> Logits:
    """Return (logits - the row's largest) / value, so that the largest is 0; of temperature 0 that one is all there is.

    A tiny temperature sends all but the largest to -inf, by an overflow that is the caller's to allow.
    """
    shifted = logits - np.maximum.reduce(logits, axis=1, keepdims=True)
    if value == 0:
        first = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]  # of equals
        return np.where(first, shifted, -np.inf)
    return shifted if value == 1 else np.divide(shifted, value, out=shifted)


def without(logits: Logits, ruled_out: Mask) -> Logits:
    """Return logits, -inf where they are ruled out."""
    result = logits.copy()
    np.putmask(result, ruled_out, -np.inf)  # half as long as np.where takes with a scalar
    return result


def top_k(logits: Logits, k: int) -> Logits:
    """Leave the k largest, and what is as large as the last of them."""
    if k >= logits.shape[1]:
        return logits
    return without(logits, logits < np.partition(logits, -k, axis=1)[:, -k, None])


def top_p(logits: Logits, p: float) -> Logits:
    """Leave the fewest of the likeliest that make up p together, and what is as likely as the last of them.

    The largest logit is 0. Holtzman et al. 2020, "The curious case of neural text degeneration".
    """
    if p == 1:
        return logits
    ascending = logits.copy()
    ascending.sort()
    mass = np.exp(ascending)
    np.add.accumulate(mass, 1, None, mass)  # of so many of the unlikeliest
    kept = (mass > mass[:, -1:] * min(1 - p, ALMOST_1)).argmax(1)  # the first that cannot be spared
    if len(mass) > 1:
        kept += np.arange(0, mass.size, mass.shape[1])  # where it stands in all rows, one after the other
    return without(logits, logits < ascending.take(kept)[:, None])


def min_p(logits: Logits, p: float) -> Logits:
    """Leave what is at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082).

    The largest logit is 0.
    """
    return logits if p == 0 else without(logits, logits < np.log(p))


class Filter(NamedTuple):
    """A filter, and which of its values make sense, in code and in words."""

    apply: Callable[[Logits, Any], Logits]
    accepts: Callable[[Any], bool]
    needs: str


FILTERS: dict[str, Filter] = {  # in the order in which they are applied; from temperature on the largest logit is 0
    "allowed": Filter(only, lambda allowed: bool(np.all(np.any(allowed, axis=-1))), "at least one character"),
    "temperature": Filter(temperature, lambda value: 0 <= value < np.inf, "0 (greedy) or more, and finite"),
    "top_k": Filter(top_k, lambda k: k >= 1, "at least 1"),
    "top_p": Filter(top_p, lambda p: 0 < p <= 1, "above 0 and at most 1"),
    "min_p": Filter(min_p, lambda p: 0 <= p <= 1, "0 to 1"),
}
Settings = Mapping[str, Any]  # the filters that are wanted, by name, and the value of each


def check_filters(settings: Settings) -> None:
    """Raise UsageError, naming the option, for a value that makes no sense."""
    for name, value in settings.items():
        require(FILTERS[name].accepts(value), f"--{name.replace('_', '-')}", value, FILTERS[name].needs)


def chain(settings: Settings) -> Callable[[Logits], Logits]:
    """Return the filters as one, in the order of the table; its result has a largest logit of 0 in each row."""
    wanted = {"temperature": 1.0, **settings}
    steps = [(FILTERS[name].apply, wanted[name]) for name in FILTERS if name in wanted]

    def run(logits: Logits) -> Logits:
        for apply, value in steps:
            logits = apply(logits, value)
        return logits

    return run


def pick(logits: Logits, numbers: NDArray[np.float64]) -> Ids:
    """Draw an id a row from softmax(logits), the largest of which is 0: a uniform number against the cumulative sum.

    Where a row is not finite it is DIVERGED. Shapes: (B, V), (B,) -> (B,).
    """
    cumulative = np.exp(logits.T)  # (V, B): so the sums of all rows grow side by side
    np.add.accumulate(cumulative, 0, None, cumulative)
    total = cumulative[-1]
    ids: Ids = (cumulative > numbers * total).argmax(axis=0)
    if not np.isfinite(sum(total.tolist())):
        ids[~np.isfinite(total)] = DIVERGED
    return ids


def nats(logits: Logits, ids: Ids) -> NDArray[np.float64]:
    """Return what ids (B,) cost by softmax(logits), (B,)."""
    largest = logits.max(axis=1)
    drawn: NDArray[np.float64] = logits[np.arange(len(ids)), ids]
    total: NDArray[np.float64] = np.exp(logits - largest[:, None]).sum(axis=1)
    cost: NDArray[np.float64] = np.log(total) + largest - drawn
    return cost


def alphabet(vocab: Vocab, keep: str | None = None, ban: str = "") -> Mask | None:
    """Return what may be written, (V,): `keep` or all, without `ban` and the unknown symbol; None if that is all.

    Raises UsageError for characters that the model does not know, and if nothing is left.
    """
    allowed = np.ones(len(vocab), np.bool_)
    if keep is not None:
        allowed[:] = False
        allowed[symbols(vocab, keep, "--only")] = True
    allowed[symbols(vocab, ban, "--ban")] = False
    allowed[len(vocab.symbols) :] = False  # the unknown symbol stands for no character
    if not allowed.any():
        raise UsageError("--only and --ban leave no character to write: allow one at least")
    return None if allowed.all() else allowed


def symbols(vocab: Vocab, text: str, option: str) -> Ids:
    """Return the ids of an option's characters, or raise UsageError, naming those that the model does not know."""
    text = normalized(text, vocab.normalize)
    ids = vocab.encode(text)
    strange = sorted({c for c, i in zip(text, ids, strict=True) if not 0 <= i < len(vocab.symbols)})
    if strange:
        raise UsageError(f"{option}: the model does not know {named(strange)}: leave out such characters")
    return ids
