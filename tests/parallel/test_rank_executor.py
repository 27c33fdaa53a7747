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
from charrnn.parallel import cores, mpi, rank_executor
from charrnn.parallel.executor import Share
from charrnn.parallel.rank_executor import (
    RankExecutor,
    Window,
    correct,
    part_of,
    shares,
    start,
    stop,
    take_step,
    what_is_carried,
)
from tests.helpers.files import copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import H, T

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


class TwoRanks:
    """Rank 0's view of a second rank, which has drifted and carries only ones."""

    size, busy = 2, False

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def ask(self, function: Any, shares: list[tuple[Any, ...]]) -> None:
        self.asked.append((function, shares))

    def call(self, function: Any, shares: list[tuple[Any, ...]]) -> list[Any]:
        own = rank_executor.current
        assert function is what_is_carried
        assert own
        ones = [tuple(np.ones((H, B - B // 2), np.float32) for _ in layer) for layer in own.carried]
        return [what_is_carried(None), (1234, ones)]

    def sum_up(self, numbers: Array) -> None: ...


def test_a_save_collects_what_ranks_carry_and_corrects_those_that_differ(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", 1)
    ranks = TwoRanks()
    monkeypatch.setattr(mpi, "ranks", ranks)
    state = tiny_run(corpus, {"num_layers": 2}, batch_size=B, seq_len=T)
    with closing(rank_executor.executor(state)) as work:
        train_step(state, Batches(corpus.ids, B, T, 0), work)
        rank_executor.complete(state)
        own = cast(Any, work).carried
        slots, vector = state.slots, work.model.vector
        assert [function for function, _ in ranks.asked] == [start, take_step, correct]
        assert ranks.asked[-1][1][0][0] is vector
        assert ranks.asked[-1][1][0][1] is slots
    for layer, mine in zip(state.carried, own, strict=True):
        np.testing.assert_array_equal(layer[0][:, : B // 2], mine[0])
        assert np.any(mine[0])
        assert np.all(layer[0][:, B // 2 :] == 1)
    assert ranks.asked[-1][0] is stop
    rank_executor.complete(state)  # nothing is asked after the end


def test_a_corrected_rank_has_the_parameters_and_slots_of_rank_0(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "limit", 1)
    monkeypatch.setattr(rank_executor, "current", None)
    state = tiny_run(corpus, batch_size=B, seq_len=T)
    share = shares(1, B, 2)[1]
    start(None, state, share, part_of(state.carried, share))
    vector = np.arange(len(state.model.vector), dtype=np.float32)
    correct(None, vector, {"m": vector})
    np.testing.assert_array_equal(state.model.vector, vector)
    assert list(state.slots) == ["m"]
    stop(None)
    assert rank_executor.current is None
