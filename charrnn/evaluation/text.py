"""The score of a text. A long one is cut into spans that are read side by side, several times as fast as one stream.

    text      ├──────── span 0 ────────┼──────── span 1 ────────┼──────── span 2 ────────┤
    columns   ├────────────────────────┤
                              ├ context ┼───────────────────────┤
                                                       ├ context ┼───────────────────────┤

Every span but the first starts with the CONTEXT characters before it, which are read and not scored: after them the
state is that of a single stream in all but its last digits (docs/decisions.md).
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from charrnn.core import score as plain
from charrnn.core.model import CharRNN
from charrnn.core.network import steps_per_block
from charrnn.core.ops import Array, Ids
from charrnn.core.score import WINDOW, Hits, Score, Tally, windows
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation.batched import MAX_STEPS, BatchedScorer, Span
from charrnn.parallel import mpi
from charrnn.parallel.cores import jobs_at_once

MIN_BATCHED = 1 << 14  # a text with fewer ids is read as one stream
IDS_PER_BLOCK = 1 << 20  # cut into spans together
MAX_SPANS = 128  # per block
MIN_SPAN = 1 << 11  # ids
CONTEXT = 256  # ids


def score(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Score]:
    """Score ids, which may come in blocks of any size, in constant memory; yield the score so far from time to time.

    Every character is predicted, the first after the start id. Ids of -1, characters that the vocabulary lacks, are
    counted and skipped. Raises DivergedError if a loss is not finite.
    """
    regrouped = windows(blocks, IDS_PER_BLOCK)
    first = next(regrouped, np.empty(0, np.int64))
    if len(first) < MIN_BATCHED:
        yield from plain.score(model, [first], start_id)
    else:
        yield from score_spans(BatchedScorer(model, start_id), chain([first], regrouped))


def workspace_bytes(model: CharRNN, chars: int) -> int:
    """Return the memory that `score` allocates for a text of this length."""
    if chars < MIN_BATCHED:
        return model.cache_bytes(WINDOW, 1)
    steps = steps_per_block(MAX_STEPS, model.config.vocab_size, -(-MAX_SPANS // jobs_at_once()))
    return model.vector.nbytes + model.cache_bytes(steps, MAX_SPANS)


def score_spans(
    scorer: BatchedScorer, blocks: Iterable[Ids], found: list[tuple[Array, Hits]] | None = None
) -> Iterator[Score]:
    """Score a text in blocks of IDS_PER_BLOCK ids, as `score` does, each block in spans side by side.

    The losses of its characters, and which were the most likely ones, are added to `found`, if it is given.
    """
    tally, before = Tally(), np.empty(0, np.uint8)  # the smallest type, so that ids keep theirs
    for block in blocks:
        known = block[block != UNKNOWN]
        spans = cut_into_spans(known, before)
        batch = scorer.pack(spans, max(1, -(-len(spans) // (mpi.rank_count() * jobs_at_once()))))
        so_far = tally.score
        for steps in scorer.score(batch):
            chars, hits = np.count_nonzero(batch.y[steps] >= 0), np.count_nonzero(batch.hits[steps])
            so_far += Score(int(chars), float(batch.nats[steps].sum(dtype=np.float64)), int(hits))
            yield so_far
        for nats, hit in map(batch.span_losses, range(len(spans))):
            tally.add(nats, int(np.count_nonzero(hit)), 0)
            if found is not None:
                found.append((nats, hit))
        tally.unknown += len(block) - len(known)
        before = np.concatenate([before, known])[-CONTEXT:]
        yield tally.score


def cut_into_spans(ids: Ids, before: Ids) -> list[Span]:
    """Cut ids (N,) into equal spans with their context; `before` (≤ CONTEXT,) is the context of the first one."""
    size = max(MIN_SPAN, -(-len(ids) // MAX_SPANS))
    text, offset = np.concatenate([before, ids]), len(before)
    begins = range(offset, len(text), size)
    return [Span(text[max(0, begin - CONTEXT) : begin + size], min(begin, CONTEXT)) for begin in begins]


def last(scores: Iterable[Score]) -> Score:
    """Return the last of the scores so far, the score of the whole text; an empty score if there is none."""
    result = Score()
    for result in scores:  # noqa: B007
        pass
    return result


def score_ids(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Score:
    """Return the score of ids, read to the end."""
    return last(score(model, blocks, start_id))
