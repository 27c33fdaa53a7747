"""Writing text: from logits to one character, and from a prompt to as many as are wanted."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charrnn.config import Stream, require
from charrnn.errors import DivergedError
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids

WINDOW = 256  # ids of a prompt read at a time

Logits = NDArray[np.float64]


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of sample `index`: they depend on these two alone, whatever the count."""
    return np.random.default_rng([seed, index, Stream.SAMPLE])


def check_temperature(temperature: float) -> None:
    """Raise UsageError unless the temperature is finite and at least 0."""
    require(0 <= temperature < np.inf, "--temperature", temperature, "0 (greedy) or more, and finite")


def pick(logits: Logits, temperature: float, rng: np.random.Generator) -> int:
    """Draw an id from softmax(logits / temperature), (V,): one uniform number against the cumulative sum.

    Temperature 0 takes the largest and draws nothing. Raises DivergedError if no logit is finite.
    """
    largest = logits.max()
    if not np.isfinite(largest):
        raise DivergedError("the model has diverged: its logits are not finite; train again with a smaller --lr")
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the largest to -inf, as it should
        cumulative = np.exp((logits - largest) / temperature).cumsum()
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def generate(
    model: CharRNN, prompt: Ids, rng: np.random.Generator, temperature: float, banned: Ids | None = None
) -> Iterator[int]:
    """Read the ids of a prompt (N,), N ≥ 1, then write ids without end, each drawn from what the model expects next.

    Ids in `banned` are never drawn.
    """
    check_temperature(temperature)
    state = model.zero_state(1)
    cache = model.cache(WINDOW, 1)
    for start in range(0, len(prompt), WINDOW):
        logits, state = model.forward(prompt[start : start + WINDOW, None], state, cache)
    while True:
        drawn = pick(allowed(logits[-1, :, 0], banned), temperature, rng)
        yield drawn
        logits, state = model.forward(np.array([[drawn]]), state, cache)


def allowed(logits: Array, banned: Ids | None) -> Logits:
    """Return logits (V,) in float64, those of banned ids -inf."""
    result = logits.astype(np.float64)
    if banned is not None:
        result[banned] = -np.inf
    return result
