"""B texts drawn side by side, several steps at a time. Each text has one lane: a column, and its own random numbers."""

import math
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.sample import DIVERGED, Logits, Mask, Settings, chain, check_filters, diverged, nats, pick
from charrnn.sampling.incremental import IncrementalModel, PromptState

BURST_STEPS = 32  # drawn before anything is written
BURST_SECONDS = 0.02  # a slow network draws fewer, so that a reader sees the text come
NUMBERS_AHEAD = 256  # random numbers drawn at a time; they are the same as when drawn one by one

Losses = NDArray[np.float64]  # of drawn characters in nats, before any filter


class Guide(Protocol):
    """What limits each lane, and sees every character that is drawn: `allowed` (B, V) are those that may come next."""

    allowed: Mask

    def advance(self, ids: list[int]) -> bool:
        """Add an id to each lane; return whether the text of any lane has ended."""


class BatchedSampler:
    """B lanes that continue one prompt in step. With `scored` the loss of each character is computed too.

    What a lane draws depends on B, on the lane's position and on its random numbers, not on the other lanes.
    """

    def __init__(self, prompt: PromptState, B: int, filters: Settings, scored: bool = False) -> None:
        self.model = IncrementalModel(prompt, B)
        self.filters = filters
        self.scored = scored
        self.rngs: list[np.random.Generator | None] = [None] * B
        self.numbers = np.zeros((NUMBERS_AHEAD, B))
        self.used = 0  # rows of numbers

    def start(self, b: int, rng: np.random.Generator) -> None:
        """Start a new text in lane b, after the prompt."""
        self.model.restart(b)
        self.rngs[b] = rng
        self.draw_numbers(b)

    def draw_numbers(self, b: int) -> None:
        """Draw the unused rows of a lane's random numbers; temperature 0 needs none."""
        rng = self.rngs[b]
        if rng is not None and self.filters.get("temperature") != 0:
            self.numbers[self.used :, b] = rng.random(NUMBERS_AHEAD - self.used)

    def draw(
        self, steps: int = BURST_STEPS, guide: Guide | None = None, until: AbstractSet[int] = frozenset()
    ) -> tuple[Ids, Losses]:
        """Draw up to `steps` characters for each lane; return their ids (N, B) and losses, (N, B) or (0, B).

        Stop early after an id of `until` in any lane, at the end of a text, or when the time is up. What the guide
        allows replaces the alphabet.
        """
        B, model = len(self.rngs), self.model
        drawn, losses = np.empty((steps, B), np.intp), np.empty((steps if self.scored else 0, B))
        filtered = chain(self.filters if guide is None else {**self.filters, "allowed": guide.allowed})
        started, n = time.monotonic(), 0
        with np.errstate(over="ignore", invalid="ignore"):  # pick detects logits that are not finite
            for n in range(steps):
                if self.used == NUMBERS_AHEAD:
                    self.used = 0
                    for b in range(B):
                        self.draw_numbers(b)
                logits = model.step()
                if B == 1:
                    drawn[n, 0] = model.ids[0] = pick_one(filtered(logits)[0], self.numbers.item(self.used))
                else:
                    drawn[n] = model.ids[:] = pick(filtered(logits), self.numbers[self.used])
                self.used += 1
                if self.scored:
                    losses[n] = nats(logits, model.ids)
                ids = model.ids.tolist()
                ended = guide is not None and guide.advance(ids)
                if ended or not until.isdisjoint(ids) or time.monotonic() - started > BURST_SECONDS:
                    break
        return drawn[: n + 1], losses[: n + 1]


def pick_one(logits: Logits, number: float) -> int:
    """Draw an id as core.sample.pick does, from logits (V,), in a third of its time."""
    cumulative = np.exp(logits)
    np.add.accumulate(cumulative, 0, None, cumulative)
    total = cumulative.item(-1)
    return int(cumulative.searchsorted(number * total, "right")) if math.isfinite(total) else DIVERGED


def generate(model: CharRNN, prompt: Ids, rng: np.random.Generator, filters: Settings) -> Iterator[int]:
    """Read the ids of a prompt (N,), N ≥ 1, then yield ids without end, as core.sample.generate does, but faster.

    Raises UsageError for a filter's value that is out of range, DivergedError if logits are not finite.
    """
    check_filters(filters)
    sampler = BatchedSampler(PromptState(model, prompt), 1, filters)
    sampler.start(0, rng)
    while True:
        ids, _ = sampler.draw()
        for drawn in ids[:, 0].tolist():
            if drawn == DIVERGED:
                raise diverged()
            yield drawn
