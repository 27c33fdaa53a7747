"""B texts side by side, drawn in bursts of steps, each from random numbers of its own."""

import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from charrnn.config import Stream
from charrnn.errors import DivergedError
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.sampling.filters import DIVERGED, Mask, Settings, chain, check_filters, nats, pick
from charrnn.sampling.stepper import Start, Stepper, read_prompt

BURST = 32  # steps at a time
BURST_SECONDS = 0.02  # of a slow network, so that its text is seen to come
AHEAD = 256  # numbers drawn at a time, which are the same as one by one

Nats = NDArray[np.float64]


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of sample `index`: they depend on these two alone, whatever the count."""
    return np.random.default_rng([seed, index, Stream.SAMPLE])


class Lanes:
    """B texts that go on from one prompt, in step; `scored` asks what each character costs as well.

    What a lane draws depends on B, on the lane, and on its random numbers: on no other lane.
    """

    def __init__(self, start: Start, B: int, filters: Settings, scored: bool = False) -> None:
        self.stepper = Stepper(start, B)
        self.filters = filters
        self.scored = scored
        self.by_chance = filters.get("temperature") != 0
        self.rngs: list[np.random.Generator | None] = [None] * B
        self.numbers = np.zeros((AHEAD, B))
        self.used = 0  # rows of numbers

    def begin(self, b: int, rng: np.random.Generator) -> None:
        """Let lane b begin a text, after the prompt."""
        self.stepper.restart(b)
        self.rngs[b] = rng
        self.draw_ahead(b)

    def draw_ahead(self, b: int) -> None:
        """Fill what is left of a lane's numbers; at temperature 0 there are none to draw."""
        rng = self.rngs[b]
        if rng is not None and self.by_chance:
            self.numbers[self.used :, b] = rng.random(AHEAD - self.used)

    def burst(
        self, steps: int = BURST, allowed: Mask | None = None, until: AbstractSet[int] = frozenset()
    ) -> tuple[Ids, Nats]:
        """Draw up to so many characters for each lane: ids (N, B), and what they cost, (N, B) or (0, B) if not scored.

        It ends early after an id of `until`, in any lane, or when time is up. `allowed` is the alphabet now, if any.
        """
        B, stepper = len(self.rngs), self.stepper
        drawn, costs = np.empty((steps, B), np.intp), np.empty((steps if self.scored else 0, B))
        filtered = chain(self.filters if allowed is None else {**self.filters, "allowed": allowed})
        begun, n = time.monotonic(), 0
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found by what is drawn
            for n in range(steps):
                logits = stepper.step()
                ids = pick(filtered(logits), self.next_numbers())
                drawn[n] = stepper.ids[:] = ids
                if self.scored:
                    costs[n] = nats(logits, ids)
                if not until.isdisjoint(ids.tolist()) or time.monotonic() - begun > BURST_SECONDS:
                    break
        return drawn[: n + 1], costs[: n + 1]

    def next_numbers(self) -> NDArray[np.float64]:
        """Return a number a lane, (B,)."""
        if self.used == AHEAD:
            self.used = 0
            for b in range(len(self.rngs)):
                self.draw_ahead(b)
        self.used += 1
        numbers: NDArray[np.float64] = self.numbers[self.used - 1]
        return numbers


def generate(model: CharRNN, prompt: Ids, rng: np.random.Generator, filters: Settings) -> Iterator[int]:
    """Read the ids of a prompt (N,), N ≥ 1, then write ids without end, each drawn from what the model expects next.

    Raises UsageError for a filter's value that makes no sense, DivergedError if logits are not finite.
    """
    check_filters(filters)
    lanes = Lanes(read_prompt(model, prompt), 1, filters)
    lanes.begin(0, rng)
    while True:
        ids, _ = lanes.burst()
        for drawn in ids[:, 0].tolist():
            if drawn == DIVERGED:
                raise diverged()
            yield drawn


def diverged() -> DivergedError:
    """Return the error of a model whose logits are not finite."""
    return DivergedError("the model has diverged: its logits are not finite; train again with a smaller --lr")
