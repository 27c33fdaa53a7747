import os
import signal
from collections.abc import Iterator

import pytest

from charrnn.core.errors import CharRNNError, DivergedError
from charrnn.evaluation import line_workers
from charrnn.evaluation.line_workers import batch_results
from charrnn.parallel import cores, processes

BULK = [f"{n} lines\n" for n in range(20_000)]  # more than are worth sharing


def lengths(lines: list[str]) -> tuple[int, int, list[int]]:
    """Return the process, its cores, and the length of each line."""
    return os.getpid(), cores.core_count(), [len(line) for line in lines]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", 2)


@pytest.mark.skipif(not processes.FORKS, reason="workers are processes on Linux alone")
def test_bulk_is_shared_by_workers_with_a_core_each_and_comes_in_order() -> None:
    found = list(batch_results([BULK, BULK[:50], BULK], lengths))
    assert [line for lines, _ in found for line in lines] == BULK + BULK[:50] + BULK
    assert all(result[2] == [len(line) for line in lines] for lines, result in found)
    bulk = [result for lines, result in found if lines != BULK[:50]]
    assert len({process for process, _, _ in bulk}) == 2
    assert {cores_each for _, cores_each, _ in bulk} == {1}
    assert os.getpid() not in {process for process, _, _ in bulk}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_results_do_not_depend_on_the_number_of_cores(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", limit)
    found = list(batch_results([BULK], lengths))
    assert [line for lines, _ in found for line in lines] == BULK
    assert [length for _, (_, _, each) in found for length in each] == [len(line) for line in BULK]


def test_few_lines_are_handled_here_with_all_cores() -> None:
    assert list(batch_results([["a\n"], ["bc\n"]], lengths)) == [
        (["a\n"], (os.getpid(), 2, [2])),
        (["bc\n"], (os.getpid(), 2, [3])),
    ]


def test_all_that_has_arrived_is_yielded_before_more_is_waited_for() -> None:
    done = list[int]()

    def arriving() -> Iterator[list[str]]:
        yield BULK
        assert sum(done) == len(BULK)
        yield ["last\n"]
        assert sum(done) == len(BULK) + 1

    for lines, _ in batch_results(arriving(), lengths):
        done.append(len(lines))
    assert sum(done) == len(BULK) + 1


def test_the_error_of_a_task_is_raised_after_the_lines_before_it() -> None:
    def task(lines: list[str]) -> int:
        if BULK[-1] in lines:
            raise DivergedError("the last line")
        return len(lines)

    done = list[int]()
    with pytest.raises(DivergedError, match="the last line"):
        done.extend(count for _, count in batch_results([BULK], task))
    assert 0 < sum(done) < len(BULK)


@pytest.mark.skipif(not processes.FORKS, reason="workers are processes on Linux alone")
def test_a_worker_that_dies_is_reported_and_none_is_left_behind() -> None:
    here = os.getpid()

    def task(lines: list[str]) -> int:
        if os.getpid() != here and BULK[-1] in lines:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    started = set[int]()
    with pytest.raises(CharRNNError, match="a worker process died"):
        started.update(process for _, process in batch_results([BULK], task))
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_without_workers_this_process_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_workers, "start_worker", processes.Alone)
    found = list(batch_results([BULK], lengths))
    assert {result[0] for _, result in found} == {os.getpid()}
    assert [line for lines, _ in found for line in lines] == BULK
    assert cores.core_count() == 2  # the limit of workers is theirs alone
