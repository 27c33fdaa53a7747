import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.core.errors import CharRNNError, DivergedError
from charrnn.parallel import processes
from charrnn.parallel.processes import Alone, Process, Thread, open_files, shared_array, start_worker
from tests.helpers.files import IMPORTABLE

BOTH = pytest.mark.parametrize("kind", [Thread, Process] if processes.FORKS else [Thread])
EACH = pytest.mark.parametrize("kind", [Alone, Thread, Process] if processes.FORKS else [Alone, Thread])


def triple(number: int) -> int:
    if number < 0:
        raise DivergedError(f"{number} is negative")
    return 3 * number


@EACH
def test_a_worker_returns_or_raises_what_its_task_does(kind: Any) -> None:
    with closing(kind(triple)) as worker:
        for number in (7, 2):
            worker.ask(number)
            assert worker.answer() == 3 * number
        worker.ask(-1)
        with pytest.raises(DivergedError, match="-1 is negative"):
            worker.answer()
        worker.ask(5)
        assert worker.answer() == 15


@EACH
def test_calls_are_answered_in_order(kind: Any) -> None:
    with closing(kind(triple)) as worker:
        for number in (1, 2, 3):
            worker.ask(number)
        assert [worker.answer() for _ in range(3)] == [3, 6, 9]


@EACH
def test_a_shared_array_is_seen_by_both(kind: Any) -> None:
    numbers = shared_array((2, 3), np.float32)
    assert numbers.shape == (2, 3)
    assert not numbers.any()

    def add(amount: float) -> None:
        numbers[1] += amount

    with closing(kind(add)) as worker:
        for amount in (1, 2):
            numbers[1, 0] += 10
            worker.ask(amount)
            worker.answer()
    np.testing.assert_array_equal(numbers, np.array([[0, 0, 0], [23, 3, 3]], np.float32))


@pytest.mark.skipif(not processes.FORKS, reason="workers are forked on Linux only")
def test_a_process_outlives_the_thread_that_has_forked_it() -> None:
    started = list[Process]()
    thread = threading.Thread(target=lambda: started.append(Process(triple)))
    thread.start()
    thread.join()
    with closing(started[0]) as worker:
        time.sleep(0.1)  # for the signal that must not come
        worker.ask(2)
        assert worker.answer() == 6


@pytest.mark.parametrize("closed", [(0,), (0, 1, 2)], ids=str)
def test_a_worker_answers_where_standard_streams_are_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    program = f"""
import os
for stream in {closed}:
    os.close(stream)
from charrnn.parallel.processes import start_worker
worker = start_worker(abs)
worker.ask(-3)
open("answer", "w").write(str(worker.answer()))
worker.close()
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=IMPORTABLE, check=True)
    assert (tmp_path / "answer").read_text() == "3"


@BOTH
def test_closing_leaves_no_thread_and_no_process(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FORKS", kind is Process)
    threads = threading.active_count()
    workers = [start_worker(triple) for _ in range(3)]
    for worker in workers:
        worker.ask(1)
        assert worker.answer() == 3
    assert {type(worker) for worker in workers} == {kind}
    pids = [worker.pid for worker in workers if isinstance(worker, Process)]
    assert threading.active_count() - threads + len(pids) == 3
    for pid in pids:
        os.kill(pid, 0)  # raises if there is no such process
    for worker in workers:
        worker.ask(1)
        worker.close()
    assert threading.active_count() == threads
    for pid in pids:
        with pytest.raises(ProcessLookupError):  # not even a zombie is left
            os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="a thread cannot be killed")
def test_closing_does_not_wait_for_a_running_call() -> None:
    with closing(Process(time.sleep)) as worker:
        worker.ask(1e6)


linux = pytest.mark.skipif(sys.platform != "linux", reason="on macOS workers are threads")


@pytest.fixture
def process() -> Iterator[Process]:
    with closing(Process(triple)) as worker:
        yield worker


@linux
def test_a_dead_worker_is_an_error(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.ask(1)
    with pytest.raises(CharRNNError, match="a worker process died"):
        process.answer()


@linux
def test_workers_ignore_the_signals_that_the_parent_handles(process: Process) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.pid, number)
    process.ask(4)
    assert process.answer() == 12


@linux
def test_a_worker_holds_no_file_and_ends_when_its_parent_is_killed() -> None:
    code = (
        "import time; from charrnn.parallel.processes import start_worker; w = start_worker(time.sleep); "
        "w.ask(0); w.answer(); w.ask(1e6); "
        "print(w.pid, flush=True); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], env=IMPORTABLE, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        open_files = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        assert {name.split(":")[0] for name in open_files} == {"/dev/null", "socket"}
        parent.kill()
        assert parent.stdout.read() == ""  # returns when no process holds the other end
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


def refuse(*args: object, **options: object) -> int:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def no_thread(*args: object, **options: object) -> int:
    raise RuntimeError("can't start new thread")


@BOTH
def test_where_no_worker_can_start_the_process_works_alone(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FORKS", kind is Process)
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    files, blocked = open_files(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with closing(start_worker(triple)) as worker:
        assert isinstance(worker, Alone)
        worker.ask(2)
        assert worker.answer() == 6
    assert open_files() == files
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_the_open_files_of_the_process_are_known_without_trying_each_number(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file, (tmp_path / "b").open("w") as other:
        os.dup2(other.fileno(), 4000)
        assert {0, 1, 2, file.fileno(), other.fileno(), 4000} <= set(open_files())
        os.close(4000)
    assert 4000 not in open_files()
