"""The executor of training on several cores.

A batch is divided into passes: one network of the ensemble over one part of the streams. Passes are distributed over
this process and one worker for each further core. The parameters and the gradients are in shared memory: each part of
the streams has its own gradient, and the batch's gradient is their sum. On several machines each computes a share of
the networks and streams (rank_executor.py).
"""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import numpy as np

from charrnn.core.cells.cell import State
from charrnn.core.config import TrainConfig
from charrnn.core.model import CharRNN, parameter_shapes, views
from charrnn.core.ops import Array, Ids
from charrnn.core.optim import Job
from charrnn.core.state import TrainState
from charrnn.core.train import Workspace, dropout_rng
from charrnn.parallel.cores import core_count, side_by_side
from charrnn.parallel.memory import keep_freed_memory
from charrnn.parallel.processes import shared_array, start_worker

MIN_STREAMS = 16  # per core: with fewer, a pass is too small to be worth distributing
Pass = tuple[int, slice, Workspace]  # of network k over these columns of the window


class Share(NamedTuple):
    """Some networks of an ensemble and some streams of a batch."""

    networks: range
    streams: slice


class ParallelExecutor:
    """Computes gradients on all cores, as a charrnn.core.train.Executor: of a whole batch, or of a share of it."""

    def __init__(self, state: TrainState, share: Share | None = None) -> None:
        keep_freed_memory()
        model, config = state.model, state.config
        self.share = share = share or Share(range(len(model.networks)), slice(0, config.batch_size))
        first, B = share.streams.start, share.streams.stop - share.streams.start
        self.parts = stream_parts(len(share.networks), B)
        self.gradients_of_parts = shared_array((self.parts, len(model.vector)), model.vector.dtype)
        self.gradient: Array = self.gradients_of_parts[0]
        self.model = CharRNN(model.config, shared_array(model.vector.shape, model.vector.dtype))
        self.model.vector[:] = model.vector
        self.passes: list[Pass] = []
        for p, part in enumerate(self.gradients_of_parts):
            columns = slice(B * p // self.parts, B * (p + 1) // self.parts)
            streams = slice(first + columns.start, first + columns.stop)
            grads = self.model.each(views(part, parameter_shapes(model.config)))
            for k in share.networks:
                self.passes.append((k, columns, Workspace(self.model.networks[k], config, streams, grads[k])))
        cores = min(len(self.passes), core_count())
        tasks = [partial(run_passes, self.model, config, self.passes[c::cores]) for c in range(cores)]
        self.own, self.workers = tasks[0], [start_worker(task) for task in tasks[1:]]

    def gradients(self, state: TrainState, x: Ids, y: Ids) -> tuple[float, State]:
        """Read a window x with targets y, both (T, B), and leave its gradient in `gradient`.

        Return the mean loss of the networks in nats per character, and the carried state after the window.
        """
        return self.gradients_of_share(state.step, state.carried, x, y, int(np.count_nonzero(y >= 0)))

    def gradients_of_share(self, step: int, carried: State, x: Ids, y: Ids, chars: int) -> tuple[float, State]:
        """Read the window's columns of the share, of a batch with `chars` targets; leave its part of the gradient.

        Return its part of the loss, and the carried state of its networks after the window.
        """
        arguments = step, carried, x, y, chars
        for worker in self.workers:
            worker.ask(*arguments)
        answers = [self.own(*arguments), *(worker.answer() for worker in self.workers)]
        cores = len(answers)
        done = [answers[i % cores][i // cores] for i in range(len(self.passes))]
        for other in self.gradients_of_parts[1:]:
            self.gradient += other
        K = len(self.share.networks)
        states = [[after for _, after in done[k::K]] for k in range(K)]
        loss = reduce(add, (loss for loss, _ in done)) / len(self.model.networks)
        return loss, [layer for parts in states for layer in joined(parts)]

    def run(self, jobs: Sequence[Job]) -> None:
        """Run independent jobs of the optimizer on all cores."""
        side_by_side(jobs)

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.close()


def stream_parts(networks: int, streams: int) -> int:
    """Return the number of parts that the streams are divided into: one per core and network."""
    return max(1, min(core_count() // networks, streams // MIN_STREAMS))


def joined(states: list[State]) -> State:
    """Return the states of the parts concatenated along the streams."""
    return [
        tuple(np.concatenate(arrays, axis=1) for arrays in zip(*layers, strict=True))
        for layers in zip(*states, strict=True)
    ]


def run_passes(
    model: CharRNN, config: TrainConfig, passes: list[Pass], step: int, state: State, x: Ids, y: Ids, chars: int
) -> list[tuple[float, State]]:
    """Run some passes of a batch one after the other; return the loss of each and the state after it."""
    done = []
    for k, columns, work in passes:
        before = [tuple(array[:, columns] for array in layer) for layer in model.each_state(state)[k]]
        window = x[:, columns], y[:, columns]
        done.append(work.loss_and_gradients(*window, chars, before, config, dropout_rng(config, step, k)))
    return done
