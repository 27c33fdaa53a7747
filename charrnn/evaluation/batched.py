"""Many texts read at once, packed into the columns of a batch: side by side, and one after the other in each column.

    column 0   ⊢ a text ⊢ another one ⊢ …
    column 1   ⊢ a longer text ⊢ …                   ⊢ resets the state, so that no text depends on the one before it

A matrix-vector product reads every weight for one character; with a batch, a product serves all columns. Columns are
computed in groups of a fixed width, each group by a thread of its own. With groups of `invariant_width` columns the
losses of a text are the same to the last bit, whichever texts are read beside it or before it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core.cells.cell import Cache, State
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.network import SYMBOL_ROWS, steps_per_block
from charrnn.core.ops import Array, Ids, block_size
from charrnn.core.score import Hits, check_finite, losses
from charrnn.parallel import mpi
from charrnn.parallel.cores import jobs_at_once, side_by_side

WIDTHS = (16, 8, 4, 2)  # columns per group, the best first: the bits of a product may depend on the column
CUT_WIDTH = 32  # the best where products are cut into row blocks: a column then takes a quarter less time
MAX_STEPS = 8  # steps per forward pass, few enough to keep the workspace small
STEPS_PER_REPORT = 64


class Span(NamedTuple):
    """A text, (N,), that is read as if a newline came before it; the losses of the first `skip` ids are left out."""

    ids: Ids
    skip: int = 0


class Batch:
    """Inputs x (S, C) and targets y (S, C) of S steps, -1 where nothing is scored, in groups of `width` columns.

    Scoring fills in nats and hits, (S, C).
    """

    def __init__(self, x: Ids, y: Ids, width: int, dtype: DTypeLike) -> None:
        self.x, self.y, self.width = x, y, width
        self.nats: Array = np.zeros(x.shape, dtype)
        self.hits: Hits = np.zeros(x.shape, np.bool_)


class PackedBatch(Batch):
    """Spans packed into columns. The longest span is placed first, each in the column with the fewest steps."""

    def __init__(self, spans: Sequence[Span], width: int, start: int, V: int, dtype: DTypeLike) -> None:
        columns = width * max(1, min(mpi.rank_count() * jobs_at_once(), -(-len(spans) // width)))
        self.spans = spans
        self.positions = [(0, 0)] * len(spans)  # the column of each span, and its first step there
        loads = [(0, column) for column in range(columns)]
        heapify(loads)
        for i in sorted(range(len(spans)), key=lambda i: -len(spans[i].ids)):
            begin, column = heappop(loads)
            self.positions[i] = column, begin
            heappush(loads, (begin + len(spans[i].ids), column))
        steps = max(loads)[0]
        x, y = np.full((2, steps, columns), -1, np.min_scalar_type(-V))
        x[:] = start
        super().__init__(x, y, width, dtype)
        for (ids, skip), (column, begin) in zip(spans, self.positions, strict=True):
            end = begin + len(ids)
            self.x[begin + 1 : end, column] = ids[:-1]
            self.y[begin + skip : end, column] = ids[skip:]

    def span_losses(self, i: int) -> tuple[Array, Hits]:
        """Return the losses of the scored ids of span i, and which of them were the most likely ones, (N - skip,)."""
        column, begin = self.positions[i]
        steps = slice(begin + self.spans[i].skip, begin + len(self.spans[i].ids))
        return np.ascontiguousarray(self.nats[steps, column]), self.hits[steps, column]


class BatchedScorer:
    """A model, set up to score many texts at once."""

    def __init__(self, model: CharRNN, start_id: int) -> None:
        self.model, self.start = with_start_symbol(model, start_id)

    @cached_property
    def invariant_width(self) -> int:
        """The number of columns per group at which a column's bits do not depend on the others.

        It depends on the matrix library and on the shapes, so it is found by trying a few steps of the model itself.
        """
        config, cell = self.model.config, self.model.networks[0].cell
        rows = cell.gates * config.hidden_size
        cut = block_size(rows, config.hidden_size, CUT_WIDTH) < rows
        widths = (CUT_WIDTH, *WIDTHS) if cut else WIDTHS
        x = np.concatenate([[self.start], np.arange(MAX_STEPS - 1) % config.vocab_size])
        return next((width for width in widths if is_invariant(self.model, np.repeat(x[:, None], width, axis=1))), 1)

    def pack(self, spans: Sequence[Span], width: int) -> PackedBatch:
        """Pack spans into groups of `width` columns, at most one group per core."""
        return PackedBatch(spans, width, self.start, self.model.config.vocab_size, self.model.vector.dtype)

    def score(self, batch: Batch) -> Iterator[slice]:
        """Fill in the losses of a batch; yield the steps that are done from time to time.

        Raises DivergedError if a loss is not finite.
        """
        several = batch.x.shape[1] > batch.width
        return self.score_on_ranks(batch, mpi.ranks) if mpi.ranks and several else self.score_here(batch)

    def score_on_ranks(self, batch: Batch, ranks: mpi.Ranks) -> Iterator[slice]:
        """Let each rank score some groups of columns."""
        groups = np.arange(batch.x.shape[1]).reshape(-1, batch.width)
        dealt = [groups[rank :: ranks.size].ravel() for rank in range(ranks.size)]
        shares = [(batch.x[:, own], batch.y[:, own], batch.width) for own in dealt]
        for own, (nats, hits) in zip(dealt, ranks.call(score_columns, shares, keep=self), strict=True):
            batch.nats[:, own], batch.hits[:, own] = nats, hits
        yield slice(0, len(batch.x))

    def score_here(self, batch: Batch) -> Iterator[slice]:
        """Score a batch on the cores of this process; yield STEPS_PER_REPORT steps at a time."""
        (steps, columns), width = batch.x.shape, batch.width
        max_steps = steps_per_block(MAX_STEPS, self.model.config.vocab_size, width)
        groups = [slice(first, first + width) for first in range(0, columns, width)]
        states = [self.model.zero_state(width) for _ in groups]
        caches = [self.model.cache(max_steps, width) for _ in groups]
        for begin in range(0, steps, STEPS_PER_REPORT):
            done = slice(begin, min(begin + STEPS_PER_REPORT, steps))
            windows = [slice(t, min(t + max_steps, done.stop)) for t in range(begin, done.stop, max_steps)]
            own = zip(groups, states, caches, strict=True)
            states = side_by_side([partial(self.score_group, batch, windows, *each) for each in own])
            check_finite(float(batch.nats[done].sum()))
            yield done

    def score_group(self, batch: Batch, windows: Sequence[slice], group: slice, state: State, cache: Cache) -> State:
        """Read windows of steps of a group of columns; return the state after them."""
        for steps in windows:
            logits, state = self.model.forward(batch.x[steps, group], state, cache)
            batch.nats[steps, group], batch.hits[steps, group] = losses(logits, batch.y[steps, group])
        return state


def score_columns(scorer: BatchedScorer, x: Ids, y: Ids, width: int) -> tuple[Array, Hits]:
    """Score the columns of a batch that are a rank's; return their losses and hits."""
    batch = Batch(x, y, width, scorer.model.vector.dtype)
    for _ in scorer.score_here(batch):
        pass
    return batch.nats, batch.hits


def with_start_symbol(model: CharRNN, start_id: int) -> tuple[CharRNN, int]:
    """Return the model and a symbol that starts a text: the state is reset, then the symbol is read as the start id.

    A network trained with --lines has such a symbol. Any other is copied with one more symbol, of probability 0.
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


def is_invariant(model: CharRNN, x: Ids) -> bool:
    """Return whether equal columns x (T, B) give equal bits, the same as when each step is a window of its own."""
    T, B = x.shape
    logits, _ = model.forward(x, model.zero_state(B), model.cache(T, B))
    state, cache = model.zero_state(B), model.cache(1, B)
    for t in range(T):
        alone, state = model.forward(x[t : t + 1], state, cache)
        if not np.array_equal(logits[t], np.repeat(alone[0, :, :1], B, axis=1)):
            return False
    return True
