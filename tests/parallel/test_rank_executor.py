"""Steps on ranks against the same steps of one process; the ranks are threads, which meet to sum up."""

import threading
from contextlib import closing
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.core.batches import Batches
from charrnn.core.errors import UsageError
from charrnn.core.ops import Array
from charrnn.core.state import TrainState
from charrnn.core.train import SerialExecutor, train_step
from charrnn.data.corpus import Corpus
from charrnn.parallel import cores
from charrnn.parallel.executor import Share
from charrnn.parallel.rank_executor import RankExecutor, Window, part_of, shares
from tests.helpers.files import copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import T

B, STEPS = 7, 3


class Meeting:
    """Sums up the arrays of several threads, in the order of their ranks."""

    def __init__(self, ranks: int) -> None:
        self.barrier = threading.Barrier(ranks)
        self.arrays: dict[int, Array] = {}

    def sum_up(self, rank: int, numbers: Array) -> None:
        self.arrays[rank] = numbers.copy()
        self.barrier.wait(60)
        numbers[:] = sum(self.arrays[r] for r in sorted(self.arrays))
        self.barrier.wait(60)


def train_on(ranks: int, state: TrainState, ids: Any) -> list[tuple[TrainState, RankExecutor]]:
    """Take STEPS steps on some ranks; return each one's run and executor."""
    dealt, meeting = shares(len(state.model.networks), B, ranks), Meeting(ranks)
    runs = [copy_of(state) for _ in dealt]
    work = [
        RankExecutor(run, share, part_of(run.carried, share), partial(meeting.sum_up, r))
        for r, (run, share) in enumerate(zip(runs, dealt, strict=True))
    ]

    def steps(rank: int) -> None:
        run, own, batches = runs[rank], dealt[rank].streams, Batches(ids, B, T, 0)
        run.model = work[rank].model
        for step in range(STEPS):
            x, y = batches.batch(step)
            work[rank].chars = int(np.count_nonzero(y >= 0))
            train_step(run, cast(Batches, Window(x[:, own].astype(np.int16), y[:, own].astype(np.int16))), work[rank])

    threads = [threading.Thread(target=steps, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(zip(runs, work, strict=True))


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(random_text(600))


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize(
    ("model", "noise"),
    [
        ({"num_layers": 2}, {"dropout": 0.3}),
        ({"cell": "lstm", "zoneout": 0.2, "line_end": 0}, {}),
        ({"ensemble": 3}, {"variational_dropout": 0.3}),
    ],
    ids=str,
)
def test_steps_on_ranks_equal_those_of_one_process(
    ranks: int, model: dict[str, Any], noise: dict[str, float], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", 1)
    state = tiny_run(corpus, model, batch_size=B, seq_len=T, lr=0.05, **noise)
    done = train_on(ranks, state, corpus.ids)
    batches = Batches(corpus.ids, B, T, 0)
    with closing(SerialExecutor(state)) as alone:
        for _ in range(STEPS):
            train_step(state, batches, alone)
    L = state.model.config.num_layers
    for run, work in done:
        np.testing.assert_array_equal(run.model.vector, done[0][0].model.vector)  # all ranks have the same parameters
        assert_allclose(run.model.vector, state.model.vector, atol=2e-4)
        assert_allclose(run.loss_sum, state.loss_sum, rtol=1e-6)
        for name, slot in state.slots.items():
            assert_allclose(run.slots[name], slot, atol=1e-5 * float(np.abs(slot).max()), err_msg=name)
        for k in work.share.networks:
            expected = part_of(state.carried[k * L : (k + 1) * L], work.share)
            assert_allclose(work.carried[k * L : (k + 1) * L], expected, atol=2e-4)


@pytest.mark.parametrize(
    ("networks", "streams", "ranks", "expected"),
    [
        (1, 7, 3, [((0,), 0, 2), ((0,), 2, 4), ((0,), 4, 7)]),
        (3, 8, 2, [((0, 2), 0, 8), ((1,), 0, 8)]),
        (2, 8, 2, [((0,), 0, 8), ((1,), 0, 8)]),
        (2, 9, 5, [((0,), 0, 3), ((1,), 0, 4), ((0,), 3, 6), ((1,), 4, 9), ((0,), 6, 9)]),
    ],
)
def test_networks_are_dealt_out_first_and_streams_second(
    networks: int, streams: int, ranks: int, expected: list[tuple[tuple[int, ...], int, int]]
) -> None:
    assert [(tuple(s.networks), s.streams.start, s.streams.stop) for s in shares(networks, streams, ranks)] == expected


def test_every_rank_needs_a_stream() -> None:
    assert shares(2, 2, 4)[3] == Share(range(1, 2), slice(1, 2))
    with pytest.raises(UsageError, match="--batch-size 2: 5 ranks need at least 3 streams to share"):
        shares(2, 2, 5)
