"""The executor of training on the ranks of an MPI program.

Each rank computes the gradient of its share of the networks and streams, on its cores. One Allreduce sums gradients and
losses. Then every rank clips the sum and updates its own copy of the parameters, as a single process does. What a step
depends on follows from seed, step and stream, so any number of ranks computes the same step, except for last bits.

Rank 0 reads the text, and sends every rank its columns of a window, which are small beside a gradient: so ids are on
the disk of one machine only. The hidden state that a rank carries stays there until the run is saved.
"""

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np

from charrnn.core.batches import Batches
from charrnn.core.cells.cell import State
from charrnn.core.config import TrainConfig
from charrnn.core.errors import DivergedError, UsageError
from charrnn.core.ops import Array, Ids
from charrnn.core.optim import Job, Slots
from charrnn.core.state import TrainState
from charrnn.core.train import train_step
from charrnn.parallel import mpi
from charrnn.parallel.executor import ParallelExecutor, Share

SumUp = Callable[[Array], None]  # replaces an array by the sum of those of all ranks


def shares(networks: int, streams: int, ranks: int) -> list[Share]:
    """Return the share of each rank: networks are dealt out first, then each network's streams.

    Raises UsageError for more ranks than there are streams to deal out.
    """
    if ranks <= networks:
        return [Share(range(rank, networks, ranks), slice(0, streams)) for rank in range(ranks)]
    found = list[Share]()
    for rank in range(ranks):
        k, part = rank % networks, rank // networks
        parts = len(range(k, ranks, networks))
        if parts > streams:
            raise UsageError(f"--batch-size {streams}: {ranks} ranks need at least {parts} streams to share")
        found.append(Share(range(k, k + 1), slice(streams * part // parts, streams * (part + 1) // parts)))
    return found


class RankExecutor:
    """What a rank does in a step: an executor that sees its share of the window, and leaves the whole gradient."""

    def __init__(self, state: TrainState, share: Share, carried: State, sum_up: SumUp) -> None:
        self.state, self.share, self.sum_up = state, share, sum_up
        self.local = ParallelExecutor(state, share)
        self.model = self.local.model
        self.sums: Array = np.zeros(len(self.model.vector) + 1, self.model.vector.dtype)  # gradient and loss
        self.gradient = self.sums[:-1]
        self.carried = carried  # of the share's streams in all networks; its own are kept up to date
        self.chars = 0  # targets of the whole batch

    def gradients(self, state: TrainState, x: Ids, y: Ids) -> tuple[float, State]:
        """Read the share's columns of a window, and leave the gradient of the batch; return its loss.

        The state that is returned is the run's, unchanged: what the ranks carry is put there by `complete`.
        """
        loss, after = self.local.gradients_of_share(state.step, self.carried, x, y, self.chars)
        L = self.model.config.num_layers
        for i, k in enumerate(self.share.networks):
            self.carried[k * L : (k + 1) * L] = after[i * L : (i + 1) * L]
        self.sums[:-1], self.sums[-1] = self.local.gradient, loss
        self.sum_up(self.sums)
        return float(self.sums[-1]), state.carried

    def run(self, jobs: Sequence[Job]) -> None:
        """Run independent jobs of the optimizer on this rank's cores: every rank runs all of them."""
        self.local.run(jobs)

    def close(self) -> None:
        """End the workers."""
        self.local.close()


class LeadingExecutor(RankExecutor):
    """Rank 0's: a charrnn.core.train.Executor that lets all other ranks take the same steps."""

    def __init__(self, state: TrainState, ranks: mpi.Ranks) -> None:
        self.ranks = ranks
        self.shares = shares(len(state.model.networks), state.config.batch_size, ranks.size)
        own, *others = self.shares
        bare = replace(state, carried=[], best=None, history=[])
        ranks.ask(start, [(bare, share, part_of(state.carried, share)) for share in others])
        ranks.busy = False
        super().__init__(state, own, part_of(state.carried, own), ranks.sum_up)

    def gradients(self, state: TrainState, x: Ids, y: Ids) -> tuple[float, State]:
        """Read a window, as Executor says, except that the carried state stays on the ranks."""
        self.chars = int(np.count_nonzero(y >= 0))
        dtype = np.int16 if self.model.config.vocab_size < 1 << 15 else np.int32
        x_sent, y_sent = x.astype(dtype), y.astype(dtype)
        columns = [share.streams for share in self.shares]
        self.ranks.ask(take_step, [(state.config, x_sent[:, own], y_sent[:, own], self.chars) for own in columns[1:]])
        found = super().gradients(state, x[:, columns[0]], y[:, columns[0]])
        self.ranks.busy = False
        return found

    def complete(self, state: TrainState) -> None:
        """Bring what the ranks carry into a run, so that it can be saved.

        Ranks whose parameters differ, as after thousands of steps on different processors, get those of this rank.
        """
        found = self.ranks.call(what_is_carried, [()] * self.ranks.size)
        carried = [tuple(part.copy() for part in layer) for layer in state.carried]
        L = self.model.config.num_layers
        for share, (_, own) in zip(self.shares, found, strict=True):
            for k in share.networks:
                for layer, mine in zip(carried[k * L : (k + 1) * L], own[k * L : (k + 1) * L], strict=True):
                    for part, columns in zip(layer, mine, strict=True):
                        part[:, share.streams] = columns
        state.carried = carried
        if len({digest for digest, _ in found}) > 1:
            self.ranks.ask(correct, [(self.model.vector, state.slots)] * (self.ranks.size - 1))
            self.ranks.busy = False

    def close(self) -> None:
        """Bring what the ranks carry into the run, and end their workers and this rank's."""
        global current
        if not self.ranks.busy:
            self.complete(self.state)
            self.ranks.ask(stop, [()] * (self.ranks.size - 1))
            self.ranks.busy = False
        current = None
        super().close()


def executor(state: TrainState) -> ParallelExecutor | LeadingExecutor:
    """Return the executor of a run: on the ranks that a launcher has started, or on the cores of this process."""
    global current
    if not mpi.ranks:
        return ParallelExecutor(state)
    current = leading = LeadingExecutor(state, mpi.ranks)
    return leading


def complete(state: TrainState) -> None:
    """Bring into a run what the ranks carry for it; without ranks it is complete."""
    if isinstance(current, LeadingExecutor):
        current.complete(state)


def can_complete() -> bool:
    """Return whether a run can still get what the ranks carry: not if it has ended while they owe an answer."""
    return not (mpi.ranks and mpi.ranks.busy)


# ---- what the other ranks are asked to do ----

current: RankExecutor | None = None  # of this rank, for the run that is being trained


class Window(NamedTuple):
    """A batch that is given."""

    x: Ids
    y: Ids

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """Return inputs and targets."""
        return self.x.astype(np.int64), self.y.astype(np.int64)


def start(_: None, state: TrainState, share: Share, carried: State) -> None:
    """Start to take part in a run."""
    global current
    current = RankExecutor(state, share, carried, mpi.sum_up)
    state.model = current.model


def take_step(_: None, config: TrainConfig, x: Ids, y: Ids, chars: int) -> None:
    """Take a training step on a share of the window; rank 0 alone reports that it has diverged."""
    assert current
    current.state.config, current.chars = config, chars
    with suppress(DivergedError):
        train_step(current.state, cast(Batches, Window(x, y)), current)


def what_is_carried(_: None) -> tuple[int, State]:
    """Return a checksum of the parameters, and the carried state of the share."""
    assert current
    return zlib.crc32(current.model.vector.tobytes()), current.carried


def correct(_: None, vector: Array, slots: Slots) -> None:
    """Take over the parameters and the optimizer's slots of rank 0."""
    assert current
    current.model.vector[:] = vector
    current.state.slots = slots


def stop(_: None) -> None:
    """End to take part in a run."""
    global current
    if current:
        current.close()
    current = None


def part_of(carried: State, share: Share) -> State:
    """Return the state of a share's streams."""
    return [tuple(np.ascontiguousarray(part[:, share.streams]) for part in layer) for layer in carried]
