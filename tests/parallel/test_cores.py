import os
import subprocess
import sys
import threading
from functools import partial

import pytest

from charrnn.parallel import cores
from charrnn.parallel.cores import core_count, jobs_at_once, limit_product_threads, side_by_side, startable_threads
from tests.helpers.files import IMPORTABLE


def test_the_cores_are_those_of_the_process_or_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", None)
    assert 1 <= core_count() <= (os.cpu_count() or 1)
    monkeypatch.setattr(cores, "limit", 3)
    assert core_count() == 3


@pytest.mark.parametrize(("before", "after"), [(None, "3"), ("9", "9")])
def test_a_product_uses_this_many_cores_unless_the_environment_sets_another_number(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {} if before is None else {"OPENBLAS_NUM_THREADS": before}
    monkeypatch.setattr(os, "environ", environment)
    limit_product_threads(3)
    assert environment["OPENBLAS_NUM_THREADS"] == after
    assert environment["VECLIB_MAXIMUM_THREADS"] == "3"


def test_without_an_affinity_all_cores_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert core_count() == (os.cpu_count() or 1)


def use(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(cores, "limit", limit)


def test_jobs_run_at_the_same_time_and_results_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    meeting = threading.Barrier(2)  # each waits for the other

    def job(name: str) -> str:
        meeting.wait(timeout=60)
        return name

    assert side_by_side([lambda: job("a"), lambda: job("b")]) == ["a", "b"]


@pytest.mark.parametrize(("limit", "jobs"), [(1, 3), (4, 1)])
def test_one_core_or_one_job_uses_no_other_thread(limit: int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, limit)
    assert side_by_side([threading.current_thread] * jobs) == [threading.main_thread()] * jobs


def test_the_error_of_a_job_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1.0, lambda: 1 / 0])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_more_jobs_than_cores_are_distributed_and_results_are_in_order(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, 2)
    assert side_by_side([partial(int, job) for job in range(count)]) == list(range(count))
    by = side_by_side([threading.current_thread] * count)
    assert [thread == threading.main_thread() for thread in by] == [job % 2 == 0 for job in range(count)]


def test_an_error_is_raised_only_after_all_jobs_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    started, done = threading.Event(), []

    def other() -> None:
        started.set()
        done.append(sum(range(10**6)))

    def failing() -> None:
        started.wait(timeout=60)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side([failing, other])
    assert done


@pytest.mark.parametrize(("limit", "product", "jobs"), [(4, "1", 4), (4, "2", 2), (2, "4", 1), (3, "", 1)])
def test_jobs_and_products_share_the_cores(
    limit: int, product: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, limit)
    monkeypatch.setattr("os.environ", {"OPENBLAS_NUM_THREADS": product})
    assert jobs_at_once() == jobs


class Refused(threading.Thread):
    """A thread that the system does not let start, after the first few."""

    allowed = 0

    def start(self) -> None:
        if self.allowed == 0:
            raise RuntimeError("can't start new thread")
        Refused.allowed -= 1
        super().start()


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_with_fewer_threads_every_job_still_runs_once(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 4)
    cores.helpers.cache_clear()
    monkeypatch.setattr(threading, "Thread", Refused)
    monkeypatch.setattr(Refused, "allowed", allowed)
    ran = list[int]()
    jobs = [partial(lambda job: ran.append(job) or job * job, job) for job in range(7)]  # type: ignore[func-returns-value]
    assert side_by_side(jobs) == [0, 1, 4, 9, 16, 25, 36]
    assert sorted(ran) == [*range(7)]
    assert len(cores.helpers(3)) == allowed
    cores.helpers.cache_clear()


@pytest.mark.parametrize("allowed", [0, 2, 9])
def test_threads_that_can_be_started_are_counted(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    monkeypatch.setattr(threading, "Thread", Refused)
    monkeypatch.setattr(Refused, "allowed", allowed)
    assert startable_threads(3) == min(3, allowed)
    assert threading.active_count() == before


def test_a_signal_does_not_leave_a_job_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    done = list[str]()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side([interrupted, lambda: done.append("other")])
    assert done == ["other"]


AT_THE_END = """
import threading, time
from charrnn.parallel import cores
cores.limit = 2
def late():
    threading.main_thread().join()  # main has ended, and the interpreter waits for this thread
    print(cores.side_by_side([lambda: 1, lambda: 2]))
threading.Thread(target=late).start()
"""


def test_a_thread_that_outlives_the_main_thread_can_use_the_cores() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], env=IMPORTABLE, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2]\n", "")
