"""Samples: texts that go on from one prompt, many at once, each with its end, handed on in their order.

Sample i is the same text to the last bit, however many there are. A product's last bits depend on how many columns it
has and on which of them a text is, so both follow from i: sample 0 is alone, sample i > 0 stands in lane i - 1 mod
WIDTH of as many. All lanes are computed, used or not, and a lane whose sample has ended goes on with the next one that
is its own.

So samples 1, 2, … can be written in lots anywhere: they are dealt out to this process and to workers, a core each.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, takewhile
from typing import Literal, NamedTuple

import numpy as np

from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.sampling.filters import DIVERGED, Mask, Settings, check_filters
from charrnn.sampling.lanes import BURST, Lanes, Nats, diverged, sample_rng
from charrnn.sampling.rule import Rule, Rules
from charrnn.sampling.stepper import Start, read_prompt
from charrnn.sampling.stops import Stops, check_stops
from charrnn.vocab import Vocab
from charrnn.workers import FORKS, Worker, hire

WIDTH = 32  # lanes: of 48 each costs a sixth less, but two cores are better shared, and a few samples pay for fewer
LOT = 8 * WIDTH  # the most samples that are written in one go: the next ones wait for the slowest of them

Finish = Literal["length", "stop", "regex"]


@dataclass(frozen=True)
class Wish:
    """What every sample shall be: its length (None is endless), filters, texts that end it, rules, made anew for each.

    Raises UsageError for values that make no sense.
    """

    length: int | None = 1000
    filters: Settings = field(default_factory=dict)
    stops: Sequence[str] = ()
    rules: Callable[[], Sequence[Rule]] = tuple
    scored: bool = False

    def __post_init__(self) -> None:
        check_filters(self.filters)
        check_stops(self.stops)


class Piece(NamedTuple):
    """More of a sample's text; with the last piece why it ended, and what it cost, if it was to be scored."""

    sample: int
    text: str
    finish: Finish | None = None
    nats_per_char: float | None = None


class Sample:
    """One sample on its way: what is left of its length, what it holds back, why it ended."""

    def __init__(self, index: int, wish: Wish, vocab: Vocab) -> None:
        self.index = index
        self.characters = vocab.characters
        self.left = wish.length
        self.stops = Stops(wish.stops)
        rules, alphabet = wish.rules(), wish.filters.get("allowed")
        self.rules = Rules(rules, np.ones(len(vocab), np.bool_) if alphabet is None else alphabet) if rules else None
        self.written = 0
        self.costs = array("d")
        self.finish: Finish | None = None

    def take(self, ids: list[int], costs: Nats) -> Piece:
        """Go on with what was drawn for it, up to its end; return what is now certain to be written.

        With rules that is one id at a time. Raises DivergedError where the model had none to draw.
        """
        wanted = ids[: self.left]
        ids = list(takewhile(DIVERGED.__ne__, wanted))
        has_diverged = len(ids) < len(wanted)
        if self.rules:
            ids = list(takewhile(self.rules.take, ids))
        if self.left is not None:
            self.left -= len(ids)
        self.costs.extend(costs[: len(ids)])
        text, stopped = self.stops.push("".join([self.characters[drawn] for drawn in ids]))
        if stopped:
            self.finish = "stop"
        elif self.rules and self.rules.over:
            self.finish = "regex"
        elif self.left == 0:
            self.finish = "length"
        elif has_diverged:
            raise diverged()
        return self.piece(text)

    def piece(self, text: str) -> Piece:
        """Return a piece, the last one with what was held back and with the score."""
        if self.finish is None:
            self.written += len(text)
            return Piece(self.index, text)
        text += self.stops.held
        self.written += len(text)
        scored = self.written and len(self.costs)
        return Piece(self.index, text, self.finish, sum(self.costs[: self.written]) / self.written if scored else None)


def samples(
    model: CharRNN, vocab: Vocab, prompt: Ids, seed: int, count: int, wish: Wish, cores: int = 1
) -> Iterator[Piece]:
    """Write samples 0 … count-1 that go on from the ids of a prompt (N,), N ≥ 1, in their order, piece by piece.

    Sample i depends on the seed and on i, not on the count, nor on the cores. Without a length there may be no end of
    the first samples, and none is begun before they have one. Raises DivergedError if logits are not finite.
    """
    write = partial(written, read_prompt(model, prompt), vocab, seed, wish)
    hands = min(cores, 1 + -(-(count - 1) // WIDTH)) if FORKS and wish.length is not None else 1
    return in_order(dealt(write, lots(count, hands), hands))


def lots(count: int, hands: int) -> Iterator[range]:
    """Part samples 0 … count-1 into lots: the first alone, then whole rounds of WIDTH, several lots for each hand."""
    if count:
        yield range(1)
    rounds = -(-(count - 1) // WIDTH)
    size = min(LOT, max(1, rounds // (4 * max(1, hands))) * WIDTH)
    for first in range(1, count, size):
        yield range(first, min(first + size, count))


def dealt(write: Callable[[range], Iterator[Piece]], lots: Iterator[range], hands: int) -> Iterator[Piece]:
    """Yield what is written of each lot by this process and hands - 1 workers: a sample's pieces in their order.

    This process begins with the first lot, and then takes one of every `hands` that follow.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(hire(lambda lot: list(write(lot))))) for _ in range(hands - 1)]
        first = list(islice(lots, 1))
        asked, own = ask(workers, lots), list(islice(lots, 1))
        for lot in first:
            yield from write(lot)
        while asked or own:
            for lot in own:
                yield from write(lot)
            busy, asked, own = asked, ask(workers, lots), list(islice(lots, 1))  # asked anew before they have answered
            for worker in busy:
                yield from worker.answer()


def ask(workers: Iterable[Worker], lots: Iterator[range]) -> list[Worker]:
    """Ask each worker for a lot, while there are any; return those that were asked."""
    asked = []
    for worker, lot in zip(workers, lots, strict=False):
        worker.ask(lot)
        asked.append(worker)
    return asked


def written(start: Start, vocab: Vocab, seed: int, wish: Wish, indices: range) -> Iterator[Piece]:
    """Write the samples of these indices, 0 alone or in their lanes; yield their pieces as they come."""
    width = 1 if indices.start == 0 else WIDTH
    lanes = Lanes(start, width, wish.filters, wish.scored)
    queues = [iter(indices[b::width]) for b in range(width)]
    ends = frozenset(int(vocab.encode(stop)[-1]) for stop in wish.stops)
    active: dict[int, Sample] = {}

    def begin(b: int) -> None:
        active.pop(b, None)
        for index in islice(queues[b], 1):
            lanes.begin(b, sample_rng(seed, index))
            active[b] = Sample(index, wish, vocab)

    for b in range(width):
        begin(b)
    while active:
        ids, costs = lanes.burst(*stride(active, width), ends)
        for b, sample in list(active.items()):
            yield (piece := sample.take(ids[:, b].tolist(), costs[:, b]))
            if piece.finish:
                begin(b)


def stride(active: Mapping[int, Sample], width: int) -> tuple[int, Mask | None]:
    """Return how many steps the lanes may go before one of their samples is asked, and what each may draw in them."""
    rules = {b: sample.rules for b, sample in active.items() if sample.rules}
    if not rules:
        return min([BURST, *(sample.left for sample in active.values() if sample.left is not None)]), None
    V = len(next(iter(rules.values())).alphabet)
    allowed = np.ones((width, V), np.bool_)
    for b, own in rules.items():
        allowed[b] = own.drawable
    return 1, allowed


def in_order(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Hand on the pieces of sample 0 as they come, then those of sample 1, kept meanwhile, and so on."""
    current, kept = 0, dict[int, list[Piece]]()
    for piece in pieces:
        kept.setdefault(piece.sample, []).append(piece)
        while current in kept:
            own = kept.pop(current)
            yield from own
            if own[-1].finish is None:
                break
            current += 1
