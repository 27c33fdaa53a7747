"""The score of a text. A long one is read in parts side by side, which is several times as fast as one stream.

    text    ├──────── part 0 ────────┼──────── part 1 ────────┼──────── part 2 ────────┤
    lanes   ├────────────────────────┤
                               ├ warm ┼────────────────────────┤
                                                        ├ warm ┼────────────────────────┤

Every part but the first begins WARM_UP characters earlier, which are read and not scored: by then the state is that
of one stream in all but its last digits (docs/decisions.md).
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from charrnn.evaluate.figures import Score, Tally
from charrnn.evaluate.lanes import Lanes, Part, Sheet
from charrnn.evaluate.stream import WINDOW, read, windows
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.threads import jobs_at_once
from charrnn.vocab import UNKNOWN

SHORT = 1 << 14  # a text with fewer ids is read as one stream
BLOCK = 1 << 20  # ids that are cut into parts at a time
PARTS = 128  # of a block, at most
SMALLEST = 1 << 11  # ids in a part, at the least
WARM_UP = 256


def score(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Iterator[Score]:
    """Read ids, which may come in any blocks, in constant memory; yield the score so far now and then.

    Every character is predicted, the first after the start id. Ids of -1 are characters that the vocabulary lacks:
    they are counted and passed over. Raises DivergedError if a score is not finite.
    """
    cut = windows(blocks, BLOCK)
    first = next(cut, np.empty(0, np.int64))
    if len(first) < SHORT:
        yield from (reading.score for reading in read(model, [first], start_id, WINDOW))
    else:
        yield from score_in_parts(Lanes(model, start_id), chain([first], cut))


def score_in_parts(lanes: Lanes, blocks: Iterable[Ids]) -> Iterator[Score]:
    """Score a text that comes in blocks of BLOCK ids, as `score` does, each block in PARTS parts at most."""
    tally, before = Tally(), np.empty(0, np.int64)
    for block in blocks:
        known = block[block != UNKNOWN]
        parts = parts_of(known, before)
        sheet = lanes.deal(parts, max(1, -(-len(parts) // jobs_at_once())))
        done = tally.score
        for rows in lanes.read(sheet):
            done += so_far(sheet, rows)
            yield done
        for nats, hits in map(sheet.costs, range(len(sheet.parts))):
            tally.add(nats, int(np.count_nonzero(hits)), 0)
        tally.unknown += len(block) - len(known)
        before = np.concatenate([before, known])[-WARM_UP:]
        yield tally.score


def parts_of(ids: Ids, before: Ids) -> list[Part]:
    """Cut ids (N,) into equal parts with what is read to warm up: `before` (≤ WARM_UP,) is what the first follows."""
    size = max(SMALLEST, -(-len(ids) // PARTS))
    text, offset = np.concatenate([before, ids]), len(before)
    begins = range(offset, len(text), size)
    warm = [min(begin, WARM_UP) for begin in begins]
    return [Part(text[begin - skip : begin + size], skip) for begin, skip in zip(begins, warm, strict=True)]


def so_far(sheet: Sheet, rows: slice) -> Score:
    """Return the score of some steps of all lanes, which are no stretch of the text."""
    chars, hits = np.count_nonzero(sheet.y[rows] >= 0), np.count_nonzero(sheet.hits[rows])
    return Score(int(chars), float(sheet.nats[rows].sum(dtype=np.float64)), int(hits))


def last(scores: Iterable[Score]) -> Score:
    """Return the last of the scores so far, which is that of the whole; none at all score nothing."""
    result = Score()
    for result in scores:  # noqa: B007
        pass
    return result


def score_ids(model: CharRNN, blocks: Iterable[Ids], start_id: int) -> Score:
    """Score ids to their end."""
    return last(score(model, blocks, start_id))
