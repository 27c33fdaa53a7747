"""The scores of lines, each line on its own, many at once, in the order in which they arrive."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from charrnn.core.score import Hits, Score, windows
from charrnn.core.vocab import CODE_POINTS, UNKNOWN, Vocab, codes_of
from charrnn.data.ignoring import IGNORED, Ignore
from charrnn.data.lines import arrivals, grouped
from charrnn.evaluation.batched import BatchedScorer, PackedBatch, Span
from charrnn.evaluation.text import IDS_PER_BLOCK, MIN_BATCHED, last, score_spans

REMEMBERED = 1 << 20  # characters in short lines whose scores are remembered, as many of the lines of a log are equal
CHARS_PER_BATCH = 1 << 18  # scored together, if as many have arrived: the more, the more of their lines are equal


@dataclass(frozen=True)
class LineScore:
    """The score of a line with its newline, the characters that became the unknown symbol, and the loss of each.

    `losses` (N,) are in nats, of the characters of the line in the vocabulary's Unicode form, with one character for
    each match that is ignored and costs nothing. Every other one is counted in full, as by `full_nats`.
    """

    score: Score
    replaced: int
    losses: Array = field(compare=False, repr=False)


class LineScorer:
    """A model and its vocabulary, which score lines, each as a text of its own.

    What the patterns of `ignore` match is not scored: the network reads one character in its place, which it knows if
    it was trained so, and otherwise nothing. The score of a line depends on nothing else, to the last bit.
    """

    def __init__(self, model: CharRNN, vocab: Vocab, ignore: Sequence[str] = ()) -> None:
        self.scorer, self.vocab = BatchedScorer(model, vocab.start_id), vocab
        self.ignore = Ignore(ignore) if ignore else None
        self.found, self.remembered = dict[str, LineScore](), 0  # scores of short lines, and their characters in all

    def read(self, line: str) -> str:
        """Return a line as the network reads it: in the vocabulary's Unicode form, without what is ignored."""
        line = self.vocab.normalized(line)
        return self.ignore.replaced(line) if self.ignore else line

    def scores(self, lines: Sequence[str]) -> list[LineScore]:
        """Return the scores of lines, each with its newline if it has one; equal lines are scored once."""
        texts = [self.read(line) for line in lines]
        if self.remembered > REMEMBERED:
            self.found, self.remembered = {}, 0
        new = [text for text in dict.fromkeys(texts) if text not in self.found]
        short = [text for text in new if len(text) < MIN_BATCHED]
        long = {text: self.long_line_score(text) for text in new if len(text) >= MIN_BATCHED}
        self.found |= zip(short, self.short_line_scores(short), strict=True)
        self.remembered += sum(map(len, short))
        return [long[text] if text in long else self.found[text] for text in texts]

    def short_line_scores(self, texts: Sequence[str]) -> Iterator[LineScore]:
        """Yield the scores of short lines, read side by side."""
        if not texts:
            return
        ids = self.vocab.encode("".join(texts))  # (N,) of all lines
        ends = np.array([*accumulate(map(len, texts))])
        spans = [Span(part[part != UNKNOWN]) for part in np.split(ids, ends[:-1])]
        batch = self.scorer.pack(spans, self.scorer.invariant_width)
        for _ in self.scorer.score(batch):
            pass
        yield from self.line_scores("".join(texts), ids, ends, *flat_losses(batch))

    def long_line_score(self, text: str) -> LineScore:
        """Return the score of a long line, read in spans as a long text is."""
        found: list[tuple[Array, Hits]] = [(np.empty(0), np.empty(0, np.bool_))]  # if no character is known
        ids = self.vocab.encode(text)
        score = last(score_spans(self.scorer, windows([ids], IDS_PER_BLOCK), found))
        nats, hits = (np.concatenate(column) for column in zip(*found, strict=True))
        (line,) = self.line_scores(text, ids, np.array([len(ids)]), nats, hits)
        return line if self.ignore else replace(line, score=score)

    def line_scores(self, text: str, ids: Ids, ends: NDArray[np.int64], nats: Array, hits: Hits) -> Iterator[LineScore]:
        """Yield the scores of lines (L,) from their joined text and ids (N,) and the losses of the known ids."""
        known, starts = ids != UNKNOWN, np.concatenate([[0], ends[:-1]])
        ignored = codes_of(text) == ord(IGNORED) if self.ignore else np.zeros(len(ids), np.bool_)
        replaced = ids == len(self.vocab) - 1 if self.vocab.unknown else np.zeros(len(ids), np.bool_)
        losses, hit = np.zeros(len(ids)), np.zeros(len(ids), np.bool_)
        losses[known], hit[known] = nats, hits
        losses[ignored], scored = 0, known & ~ignored
        counted = [add_up(column, starts) for column in (scored, losses, hit & scored, ~known & ~ignored)]
        losses[~known & ~ignored] = math.log(CODE_POINTS)
        losses[replaced & ~ignored] += math.log(CODE_POINTS - len(self.vocab.symbols))
        counts = zip(*counted, add_up(replaced & ~ignored, starts), starts.tolist(), ends.tolist(), strict=True)
        for chars, sum_of_nats, right, unknown, changed, start, end in counts:
            yield LineScore(Score(chars, sum_of_nats, right, unknown), changed, losses[start:end])


def add_up(column: NDArray[Any], starts: NDArray[np.int64]) -> list[Any]:
    """Return the sums of parts of a column (N,), which start at `starts` (L,)."""
    numbers = column.astype(np.int64) if column.dtype == np.bool_ else column
    sums: list[Any] = np.add.reduceat(numbers, starts).tolist()
    return sums


def flat_losses(batch: PackedBatch) -> tuple[Array, Hits]:
    """Return the losses of the ids of all spans, one after the other, (N,), and which were the most likely ones."""
    lengths = np.array([len(span.ids) for span in batch.spans])
    columns, begins = np.array(batch.positions).T
    before = np.cumsum(lengths) - lengths
    steps, columns = np.arange(lengths.sum()) + np.repeat(begins - before, lengths), np.repeat(columns, lengths)
    return batch.nats[steps, columns], batch.hits[steps, columns]


def line_batches(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of a text that arrives in blocks, in batches; each has its newline, except perhaps the last.

    A batch is what has arrived, up to CHARS_PER_BATCH characters: no line waits for a later block.
    """
    for lines in arrivals(blocks):
        yield from grouped(lines, CHARS_PER_BATCH)


def count_replaced(vocab: Vocab, ids: Ids) -> int:
    """Return how many of the ids are the unknown symbol's."""
    return int(np.count_nonzero(ids == len(vocab) - 1)) if vocab.unknown else 0


def full_nats(vocab: Vocab, score: Score, replaced: int) -> float:
    """Return the loss of a text with every character counted, so that models with different vocabularies compare.

    A character outside the vocabulary costs as much as a uniform choice among all code points. One that was replaced by
    the unknown symbol costs that symbol's loss, plus a uniform choice among the code points that the vocabulary lacks.
    """
    lacking = CODE_POINTS - len(vocab.symbols)
    return score.nats + score.unknown * math.log(CODE_POINTS) + replaced * math.log(lacking)
