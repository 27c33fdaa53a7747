import os
import threading

import pytest

from charrnn import threads
from charrnn.threads import cores, share_out, side_by_side


def use(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(threads, "limit", limit)


def test_the_cores_are_those_of_the_process_or_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    assert 1 <= cores() <= (os.cpu_count() or 1)
    use(monkeypatch, 3)
    assert cores() == 3


def test_jobs_run_at_the_same_time_and_their_results_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    meeting = threading.Barrier(2)  # each waits for the other

    def job(name: str) -> str:
        meeting.wait(timeout=60)
        return name

    assert side_by_side([lambda: job("a"), lambda: job("b")]) == ["a", "b"]


@pytest.mark.parametrize(("limit", "jobs"), [(1, 3), (4, 1)])
def test_one_core_or_one_job_needs_no_other_thread(limit: int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, limit)
    assert side_by_side([threading.current_thread] * jobs) == [threading.main_thread()] * jobs


def test_a_job_that_fails_fails_all(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1.0, lambda: 1 / 0])


@pytest.mark.parametrize(
    ("limit", "networks", "before", "after"),
    [
        (None, 1, None, None),  # the library's own choice: all cores
        (4, 1, None, "4"),
        (4, 2, None, "2"),
        (4, 3, "9", "1"),
        (1, 2, None, "1"),
        (None, 10_000, None, "1"),
        (None, 10_000, "9", "9"),
    ],
)
def test_cores_are_shared_out_among_networks(
    limit: int | None, networks: int, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, limit)
    environment = {} if before is None else {"OPENBLAS_NUM_THREADS": before}
    monkeypatch.setattr(os, "environ", environment)
    share_out(networks)
    assert environment.get("OPENBLAS_NUM_THREADS") == after
