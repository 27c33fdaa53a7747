import os
import threading
from functools import partial
from pathlib import Path

import pytest

from charrnn import threads
from charrnn.threads import cores, name_the_core, one_core_a_product, side_by_side


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


@pytest.mark.parametrize("count", [2, 3, 5])
def test_more_jobs_than_cores_are_dealt_out_and_come_back_in_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    assert side_by_side([partial(int, job) for job in range(count)]) == list(range(count))
    by = side_by_side([threading.current_thread] * count)
    assert [thread == threading.main_thread() for thread in by] == [job % 2 == 0 for job in range(count)]


def test_a_failure_is_told_when_no_job_runs_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2)
    begun, done = threading.Event(), []

    def other() -> None:
        begun.set()
        done.append(sum(range(10**6)))

    def failing() -> None:
        begun.wait(timeout=60)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side([failing, other])
    assert done


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("9", "9")])
def test_a_product_uses_one_core_unless_the_user_has_said_otherwise(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {} if before is None else {"OPENBLAS_NUM_THREADS": before}
    monkeypatch.setattr(os, "environ", environment)
    one_core_a_product()
    assert environment["OPENBLAS_NUM_THREADS"] == after
    assert environment["VECLIB_MAXIMUM_THREADS"] == "1"


ZEN_5 = {
    "processor": "0",
    "vendor_id": "AuthenticAMD",
    "cpu family": "26",
    "flags": "fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl",
}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({}, "SkylakeX"),
        ({"cpu family": "27"}, "SkylakeX"),
        ({"cpu family": "25"}, None),  # is known
        ({"vendor_id": "GenuineIntel"}, None),
        ({"flags": "fpu avx2 avx512f"}, None),
    ],
)
def test_a_processor_that_openblas_mistakes_is_named(
    other: dict[str, str], named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = "".join(f"{name}\t: {value}\n" for name, value in (ZEN_5 | other).items())
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"{core}\n{core}", encoding="ascii")
    for already in ({}, {"OPENBLAS_CORETYPE": "Zen"}):
        monkeypatch.setattr(os, "environ", environment := dict(already))
        name_the_core(processor)
        assert environment.get("OPENBLAS_CORETYPE") == already.get("OPENBLAS_CORETYPE", named)


def test_where_nothing_tells_the_processor_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environment := dict[str, str]())
    name_the_core(tmp_path / "none")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd\n\n")
    name_the_core(tmp_path / "arm")
    assert not environment
