"""Many texts read at once, each on its own: side by side in lanes, and one after the other in each lane.

    lane 0   ⊢ a text ⊢ another one ⊢ …
    lane 1   ⊢ a longer text ⊢ …                     ⊢ empties the state, so that nothing is known of what came before

A matrix-vector product reads every weight for one character; with lanes it serves them all. The lanes of a group are
computed together, each group by a thread of its own. With groups of `steady_width` lanes, always computed whole, what
a text costs is the same to the last bit whatever stands beside it or before it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from charrnn.cells.cell import Cache, State
from charrnn.evaluate.stream import Hits, check_finite, costs
from charrnn.head import steps_at_once
from charrnn.model import CharRNN, parameter_shapes, size_of
from charrnn.network import SYMBOL_ROWS
from charrnn.ops import Array, Ids
from charrnn.threads import jobs_at_once, side_by_side

WIDTHS = (16, 8, 4, 2)  # lanes computed together, the first that does: a product's bits may depend on a column's place
STEPS = 16  # characters that a lane reads in one pass, at most: as many as keep the workspace small
STRETCH = 64  # characters that a lane reads between two reports


class Part(NamedTuple):
    """A text to read, (N,), as if a newline stood before it; the first `skip` are not scored."""

    ids: Ids
    skip: int = 0


class Sheet:
    """What so many lanes read at each step, x (S, B), and what follows, y (S, B), -1 for nothing that is scored.

    Then what it costs: nats and hits, (S, B). The longest text goes first, each to the lane that has least to read.
    """

    def __init__(self, parts: Sequence[Part], width: int, start: int, dtype: DTypeLike) -> None:
        lanes = width * max(1, min(jobs_at_once(), -(-len(parts) // width)))
        self.parts, self.width = parts, width
        self.places = [(0, 0)] * len(parts)  # the lane of each part and the step at which it begins there
        loads = [(0, lane) for lane in range(lanes)]
        heapify(loads)
        for i in sorted(range(len(parts)), key=lambda i: -len(parts[i].ids)):
            begin, lane = heappop(loads)
            self.places[i] = lane, begin
            heappush(loads, (begin + len(parts[i].ids), lane))
        steps = max(loads)[0]
        self.x, self.y = np.full((steps, lanes), start), np.full((steps, lanes), -1)
        for (ids, skip), (lane, begin) in zip(parts, self.places, strict=True):
            end = begin + len(ids)
            self.x[begin + 1 : end, lane] = ids[:-1]
            self.y[begin + skip : end, lane] = ids[skip:]
        self.nats: Array = np.zeros((steps, lanes), dtype)
        self.hits: Hits = np.zeros((steps, lanes), np.bool_)

    def costs(self, i: int) -> tuple[Array, Hits]:
        """Return what the characters of a part that are scored cost, and which were expected, (N - skip,) each."""
        lane, begin = self.places[i]
        rows = slice(begin + self.parts[i].skip, begin + len(self.parts[i].ids))
        return np.ascontiguousarray(self.nats[rows, lane]), self.hits[rows, lane]


class Lanes:
    """A model as it reads many texts at once."""

    def __init__(self, model: CharRNN, start_id: int) -> None:
        self.model, self.start = with_start(model, start_id)

    @cached_property
    def steady_width(self) -> int:
        """How many lanes give each the same bits."""
        return steady_width(self.model, self.start)

    def steps(self, width: int) -> int:
        """Return how many characters each of so many lanes reads in one pass."""
        return steps_at_once(STEPS, self.model.config.vocab_size, width)

    def deal(self, parts: Sequence[Part], width: int) -> Sheet:
        """Give texts to lanes: a group of `width` for each core that can be busy."""
        return Sheet(parts, width, self.start, self.model.vector.dtype)

    def read(self, sheet: Sheet) -> Iterator[slice]:
        """Fill in what everything on a sheet costs; yield the steps that are done, a stretch at a time.

        Raises DivergedError if a score is not finite.
        """
        (steps, lanes), width = sheet.x.shape, sheet.width
        groups = [slice(first, first + width) for first in range(0, lanes, width)]
        states = [self.model.zero_state(width) for _ in groups]
        caches = [self.model.cache(self.steps(width), width) for _ in groups]
        for begin in range(0, steps, STRETCH):
            rows = slice(begin, min(begin + STRETCH, steps))
            lots = zip(groups, states, caches, strict=True)
            states = side_by_side([partial(self.stretch, sheet, rows, *lot) for lot in lots])
            check_finite(float(sheet.nats[rows].sum()))
            yield rows

    def stretch(self, sheet: Sheet, rows: slice, group: slice, state: State, cache: Cache) -> State:
        """Read some steps of a group of lanes; return the state after them."""
        steps = self.steps(group.stop - group.start)
        for begin in range(rows.start, rows.stop, steps):
            window = slice(begin, min(begin + steps, rows.stop)), group
            logits, state = self.model.forward(sheet.x[window], state, cache)
            sheet.nats[window], sheet.hits[window] = costs(logits, sheet.y[window])
        return state


def with_start(model: CharRNN, start_id: int) -> tuple[CharRNN, int]:
    """Return the model and a symbol that begins a text: it empties the state, and then is read as the start id.

    A network of lines has one. Any other gets one more symbol, which it never expects, and else stays as it is.
    """
    config = model.config
    if config.lines:
        return model, start_id
    V = config.vocab_size
    larger = replace(config, vocab_size=V + 1, line_end=V)
    copy = CharRNN(larger, np.zeros(size_of(parameter_shapes(larger)), model.vector.dtype))
    for name, W in copy.params.items():
        W[slice(V) if name.endswith(SYMBOL_ROWS) else ...] = model.params[name]
        if name.endswith("embed.W"):
            W[V] = W[start_id]
        elif name.endswith("head.b_y"):
            W[V] = -math.inf
    return copy, V


def steady_width(model: CharRNN, start: int) -> int:
    """Return how many lanes to compute together: as many as give each the same bits.

    Which do depends on the matrix library and on the shapes; so it is tried, on a few steps of the model itself.
    """
    x = np.concatenate([[start], np.arange(STEPS - 1) % model.config.vocab_size])
    return next((width for width in WIDTHS if is_steady(model, np.repeat(x[:, None], width, axis=1))), 1)


def is_steady(model: CharRNN, x: Ids) -> bool:
    """Tell whether columns x (T, B) of the same ids find the same bits, whichever symbols a window has beside each."""
    T, B = x.shape
    logits, _ = model.forward(x, model.zero_state(B), model.cache(T, B))
    state, cache = model.zero_state(B), model.cache(1, B)
    for t in range(T):
        alone, state = model.forward(x[t : t + 1], state, cache)
        if not np.array_equal(logits[t], np.repeat(alone[0, :, :1], B, axis=1)):
            return False
    return True
