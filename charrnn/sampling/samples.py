"""Samples: texts that continue one prompt, many at once, each with its own end, yielded in order.

Sample i is the same text to the last bit, however many are written. The last bits of a matrix product depend on its
number of columns and on a text's column, so both follow from i: sample 0 is drawn alone, sample i > 0 in lane (i - 1)
mod LANES of LANES. All lanes are always computed; when a sample ends, its lane continues with the next one.

So samples 1, 2, … can be written anywhere: they are shared out to this process and to workers, one per core.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice, takewhile
from operator import add
from typing import NamedTuple

import numpy as np

from charrnn.core.errors import UsageError
from charrnn.core.sample import DIVERGED, Settings, check_filters, diverged, sample_rng
from charrnn.core.vocab import Vocab
from charrnn.parallel import mpi
from charrnn.parallel.processes import FORKS, start_worker
from charrnn.sampling.batched import BURST_STEPS, BatchedSampler, Losses
from charrnn.sampling.constraint import Constraint, Constraints, Finish
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.stops import Stops

LANES = 32  # 48 take a sixth less time per sample, but 32 are easier to share between two cores, and suit few samples
MAX_TASK = 64 * LANES  # samples written in one task: if their lengths differ, lanes are idle at its end


@dataclass(frozen=True)
class SampleOptions:
    """The options of every sample: length (None is endless), filters, stops, and what makes a sample's constraints.

    Raises UsageError for values that are out of range.
    """

    length: int | None = 1000
    filters: Settings = field(default_factory=dict)
    stops: Sequence[str] = ()
    constraints: Callable[[], Sequence[Constraint]] = tuple
    scored: bool = False

    def __post_init__(self) -> None:
        check_filters(self.filters)
        if "" in self.stops:  # it would end every sample at once
            raise UsageError("--stop: the text is empty: give at least one character")


class Piece(NamedTuple):
    """A piece of a sample's text; the last piece has the reason for its end and, if scored, the mean loss."""

    sample: int
    text: str
    finish: Finish | None = None
    nats_per_char: float | None = None


class SampleWriter:
    """One sample while it is written: what is left of its length, its constraints, and text that is held back."""

    def __init__(self, index: int, options: SampleOptions, vocab: Vocab) -> None:
        self.index = index
        self.characters = vocab.characters
        self.left = options.length
        self.stops = Stops(options.stops)
        constraints, alphabet = options.constraints(), options.filters.get("allowed", np.ones(len(vocab), np.bool_))
        self.constraints = Constraints(constraints, alphabet) if constraints else None
        self.accepted = 0  # ids that the constraints have seen
        self.written = 0
        self.losses = array("d")

    def write(self, ids: list[int], losses: Losses) -> Piece:
        """Add drawn ids up to the end of the sample; return the text that is now certain.

        The constraints have seen the ids. Raises DivergedError for an id DIVERGED before the end.
        """
        drawn = ids[: self.left]
        ids = list(takewhile(DIVERGED.__ne__, drawn))
        has_diverged = len(ids) < len(drawn)
        if self.constraints:
            ids = ids[: self.constraints.accepted - self.accepted]
            self.accepted = self.constraints.accepted
        if self.left is not None:
            self.left -= len(ids)
        self.losses.extend(losses[: len(ids)])
        text, stopped = self.stops.push("".join([self.characters[i] for i in ids]))
        finish: Finish | None = None
        if stopped:
            finish = "stop"
        elif self.constraints and self.constraints.choice.ended:
            finish = self.constraints.choice.finish
        elif self.left == 0:
            finish = "length"
        elif has_diverged:
            raise diverged()
        if finish:
            text += self.stops.held
        self.written += len(text)
        if not (finish and self.written and self.losses):
            return Piece(self.index, text, finish)
        return Piece(self.index, text, finish, reduce(add, self.losses[: self.written]) / self.written)


def samples(
    prompt: PromptState, vocab: Vocab, seed: int, count: int, options: SampleOptions, cores: int = 1
) -> Iterator[Piece]:
    """Yield the pieces of samples 0 … count-1, in order, which continue a prompt.

    Sample i depends on the seed and on i, not on the count or the cores. Without a length the first samples may have
    no end, and none is started before they have ended. Raises DivergedError if logits are not finite.
    """
    write = SampleTask(prompt, vocab, seed, options)
    rounds = 1 + -(-(count - 1) // LANES)
    if mpi.ranks and rounds > 1 and options.length is not None:
        return sort_pieces(write_on_ranks(write, count, min(cores, rounds), mpi.ranks))
    processes = min(cores, rounds) if FORKS and options.length is not None else 1
    return sort_pieces(write_in_parallel(write, task_ranges(count, processes), processes))


@dataclass(frozen=True)
class SampleTask:
    """What the writing of any samples needs: called with their indices, it yields their pieces."""

    prompt: PromptState
    vocab: Vocab
    seed: int
    options: SampleOptions

    def __call__(self, indices: range) -> Iterator[Piece]:
        """Yield the pieces of the samples of one task."""
        return write_samples(self.prompt, self.vocab, self.seed, self.options, indices)


def write_on_ranks(write: SampleTask, count: int, cores: int, ranks: mpi.Ranks) -> Iterator[Piece]:
    """Yield the pieces of all tasks: of the first one as they come, then of a task per rank and core at a time."""
    tasks = task_ranges(count, cores * ranks.size)
    for first in islice(tasks, 1):
        yield from write(first)
    while current := list(islice(tasks, cores * ranks.size)):
        shares = [(current[cores * rank : cores * (rank + 1)],) for rank in range(ranks.size)]
        for pieces in ranks.call(write_tasks, shares, keep=write):
            yield from pieces


def write_tasks(write: SampleTask, tasks: list[range]) -> list[Piece]:
    """Return the pieces of the tasks that are a rank's, written on its cores."""
    return list(write_in_parallel(write, iter(tasks), len(tasks) if FORKS else 1)) if tasks else []


def task_ranges(count: int, processes: int) -> Iterator[range]:
    """Split samples 0 … count-1 into tasks: sample 0, then several tasks per process, each with all lanes in use."""
    if count:
        yield range(1)
    rounds = -(-(count - 1) // LANES)
    size = min(MAX_TASK, max(1, rounds // (4 * processes)) * LANES)
    for first in range(1, count, size):
        yield range(first, min(first + size, count))


def write_in_parallel(
    write: Callable[[range], Iterator[Piece]], tasks: Iterator[range], processes: int
) -> Iterator[Piece]:
    """Yield the pieces of all tasks, written by this process and `processes` - 1 workers.

    This process writes the first task, and then one of every `processes` that follow.
    """
    with ExitStack() as stack:
        workers = [
            stack.enter_context(closing(start_worker(lambda task: list(write(task))))) for _ in range(processes - 1)
        ]
        current = list(islice(tasks, 1))
        while current:
            following = list(islice(tasks, processes))
            for worker, task in zip(workers, following[1:], strict=False):
                worker.ask(task)  # before it has answered, so that no worker waits
            yield from write(current[0])
            for worker in workers[: len(current) - 1]:
                yield from worker.answer()
            current = following


def write_samples(
    prompt: PromptState, vocab: Vocab, seed: int, options: SampleOptions, indices: range
) -> Iterator[Piece]:
    """Yield the pieces of the samples of one task as they come: those of sample 0, or of samples in all lanes."""
    lanes = 1 if indices.start == 0 else LANES
    sampler = BatchedSampler(prompt, lanes, options.filters, options.scored)
    queues = [iter(indices[b::lanes]) for b in range(lanes)]
    stop_ends = frozenset(int(vocab.encode(stop)[-1]) for stop in options.stops)
    active: dict[int, SampleWriter] = {}  # by lane
    guide = ConstrainedLanes(lanes, len(vocab))

    def start_next(b: int) -> None:
        active.pop(b, None)
        guide.start(b, None)
        for index in islice(queues[b], 1):
            sampler.start(b, sample_rng(seed, index))
            active[b] = SampleWriter(index, options, vocab)
            guide.start(b, active[b].constraints)

    for b in range(lanes):
        start_next(b)
    while active:
        steps = min([BURST_STEPS, *(sample.left for sample in active.values() if sample.left is not None)])
        ids, losses = sampler.draw(steps, guide if guide.active else None, stop_ends)
        for b, sample in list(active.items()):
            yield (piece := sample.write(ids[:, b].tolist(), losses[:, b]))
            if piece.finish:
                start_next(b)


class ConstrainedLanes:
    """The constraints of the samples in all lanes; a lane without any may draw everything."""

    def __init__(self, lanes: int, V: int) -> None:
        self.allowed = np.ones((lanes, V), np.bool_)
        self.active: dict[int, Constraints] = {}  # by lane

    def start(self, b: int, constraints: Constraints | None) -> None:
        """Replace the constraints of lane b."""
        self.active.pop(b, None)
        self.allowed[b] = True if constraints is None else constraints.choice.drawable
        if constraints:
            self.active[b] = constraints

    def advance(self, ids: list[int]) -> bool:
        """Add an id to each lane; return whether a sample has ended, or cannot continue after an id DIVERGED."""
        ended = False
        for b, constraints in self.active.items():
            if ids[b] != DIVERGED and constraints.accept(ids[b]):
                self.allowed[b] = constraints.choice.drawable
                ended |= constraints.choice.ended
            else:
                ended = True
        return ended


def sort_pieces(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces of sample 0 as they come, then those of sample 1, and so on; store later ones until then."""
    current, stored = 0, dict[int, list[Piece]]()
    for piece in pieces:
        stored.setdefault(piece.sample, []).append(piece)
        while current in stored:
            own = stored.pop(current)
            yield from own
            current += own[-1].finish is not None
