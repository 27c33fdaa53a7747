"""The scores of lines, each on its own, many at once, and in the order in which they come."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charrnn.evaluate.figures import Score
from charrnn.evaluate.lanes import Lanes, Part
from charrnn.evaluate.stream import windows
from charrnn.evaluate.text import BLOCK, SHORT, last, score_in_parts
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.vocab import CODE_POINTS, UNKNOWN, Vocab, normalized

BATCH = 1 << 16  # characters of lines that are scored at a time, if so many are there


class LineScore(NamedTuple):
    """What a line costs, its newline included, and how many characters the vocabulary's unknown symbol stands for."""

    score: Score
    stand_ins: int


class LineScorer:
    """A model and its vocabulary, which score lines, each as if it were a whole text: the one before is forgotten.

    What a line costs depends on nothing else, to the last bit.
    """

    def __init__(self, model: CharRNN, vocab: Vocab) -> None:
        self.lanes, self.vocab = Lanes(model, vocab.start_id), vocab

    def scores(self, lines: Sequence[str]) -> list[LineScore]:
        """Score lines, each with its newline if it has one."""
        texts = [normalized(line, self.vocab.normalize) for line in lines]
        short = [i for i, text in enumerate(texts) if len(text) < SHORT]
        scores = dict(zip(short, self.side_by_side([texts[i] for i in short]), strict=True))
        return [scores[i] if i in scores else self.in_parts(text) for i, text in enumerate(texts)]

    def side_by_side(self, texts: Sequence[str]) -> list[LineScore]:
        """Score short lines."""
        ids = [self.vocab.encode(text) for text in texts]
        known = [each[each != UNKNOWN] for each in ids]
        sheet = self.lanes.deal([Part(each) for each in known], self.lanes.steady_width)
        for _ in self.lanes.read(sheet):
            pass
        scores = []
        for i, each in enumerate(ids):
            nats, hits = sheet.costs(i)
            total = float(nats.sum(dtype=np.float64))
            score = Score(len(nats), total, int(np.count_nonzero(hits)), len(each) - len(nats))
            scores.append(LineScore(score, stand_ins(self.vocab, each)))
        return scores

    def in_parts(self, text: str) -> LineScore:
        """Score a long line as a long text is."""
        ids = [self.vocab.encode(text[i : i + BLOCK]) for i in range(0, len(text), BLOCK)]
        return LineScore(
            last(score_in_parts(self.lanes, windows(ids, BLOCK))), sum(stand_ins(self.vocab, each) for each in ids)
        )


def batches(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Cut blocks of a text into its lines, each with its newline but perhaps the last.

    A batch is as many as are there, up to BATCH characters: lines that come slowly are not kept waiting for others.
    """
    held = list[str]()
    for block in blocks:
        *whole, rest = block.split("\n")
        if whole:
            whole[0] = "".join([*held, whole[0]])
            held = []
            yield from in_batches(f"{line}\n" for line in whole)
        if rest:
            held.append(rest)
    if held:
        yield ["".join(held)]


def in_batches(lines: Iterable[str]) -> Iterator[list[str]]:
    """Put lines together until there are BATCH characters."""
    batch, chars = list[str](), 0
    for line in lines:
        batch.append(line)
        chars += len(line)
        if chars >= BATCH:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def stand_ins(vocab: Vocab, ids: Ids) -> int:
    """Return for how many of ids the unknown symbol stands."""
    return int(np.count_nonzero(ids == len(vocab) - 1)) if vocab.unknown else 0


def full_nats(vocab: Vocab, score: Score, stand_ins: int) -> float:
    """Return what a text costs down to its last character, so that models with different vocabularies compare.

    A character outside the vocabulary costs as if all code points were as likely there; one that the unknown symbol
    stands for, as if all those were that the vocabulary lacks, beside what the symbol costs.
    """
    lacking = CODE_POINTS - len(vocab.symbols)
    return score.nats + score.unknown * math.log(CODE_POINTS) + stand_ins * math.log(lacking)
