"""The scores of lines, each line on its own, many at once, in the order in which they arrive."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.score import Score, windows
from charrnn.core.vocab import CODE_POINTS, UNKNOWN, Vocab
from charrnn.evaluation.batched import BatchedScorer, Span
from charrnn.evaluation.text import IDS_PER_BLOCK, MIN_BATCHED, last, score_spans

CHARS_PER_BATCH = 1 << 16  # in lines that are scored together, if as many have arrived


class LineScore(NamedTuple):
    """The score of a line with its newline, and the number of its characters that became the unknown symbol."""

    score: Score
    replaced: int


class LineScorer:
    """A model and its vocabulary, which score lines, each as a text of its own.

    The score of a line depends on nothing else, to the last bit.
    """

    def __init__(self, model: CharRNN, vocab: Vocab) -> None:
        self.scorer, self.vocab = BatchedScorer(model, vocab.start_id), vocab

    def scores(self, lines: Sequence[str]) -> list[LineScore]:
        """Return the scores of lines, each with its newline if it has one."""
        texts = [self.vocab.normalized(line) for line in lines]
        short = self.short_line_scores([text for text in texts if len(text) < MIN_BATCHED])
        return [next(short) if len(text) < MIN_BATCHED else self.long_line_score(text) for text in texts]

    def short_line_scores(self, texts: Sequence[str]) -> Iterator[LineScore]:
        """Yield the scores of short lines, read side by side."""
        ids = [self.vocab.encode(text) for text in texts]
        batch = self.scorer.pack([Span(each[each != UNKNOWN]) for each in ids], self.scorer.invariant_width)
        for _ in self.scorer.score(batch):
            pass
        for i, each in enumerate(ids):
            nats, hits = batch.span_losses(i)
            total = float(nats.sum(dtype=np.float64))
            score = Score(len(nats), total, int(np.count_nonzero(hits)), len(each) - len(nats))
            yield LineScore(score, count_replaced(self.vocab, each))

    def long_line_score(self, text: str) -> LineScore:
        """Return the score of a long line, read in spans as a long text is."""
        ids = [self.vocab.encode(text[i : i + IDS_PER_BLOCK]) for i in range(0, len(text), IDS_PER_BLOCK)]
        score = last(score_spans(self.scorer, windows(ids, IDS_PER_BLOCK)))
        return LineScore(score, sum(count_replaced(self.vocab, each) for each in ids))


def line_batches(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Yield the lines of a text that arrives in blocks, in batches; each has its newline, except perhaps the last.

    A batch is what has arrived, up to CHARS_PER_BATCH characters: no line waits for a later block.
    """
    held = list[str]()
    for block in blocks:
        *whole, rest = block.split("\n")
        if whole:
            whole[0] = "".join([*held, whole[0]])
            held = []
            yield from grouped(f"{line}\n" for line in whole)
        if rest:
            held.append(rest)
    if held:
        yield ["".join(held)]


def grouped(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield lines in lists of at least CHARS_PER_BATCH characters, the last one shorter."""
    batch, chars = list[str](), 0
    for line in lines:
        batch.append(line)
        chars += len(line)
        if chars >= CHARS_PER_BATCH:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


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
