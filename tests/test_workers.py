import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from charrnn.errors import CharRNNError, DivergedError
from charrnn.workers import Process, Thread, hire, shared
from tests.helpers.files import IMPORTABLE

BOTH = pytest.mark.parametrize("kind", [Thread, Process] if hasattr(os, "fork") else [Thread])


def triple(number: int) -> int:
    if number < 0:
        raise DivergedError(f"{number} is negative")
    return 3 * number


@BOTH
def test_a_worker_answers_what_its_task_returns_or_raises(kind: Any) -> None:
    with closing(kind(triple)) as worker:
        for number in (7, 2):
            worker.ask(number)
            assert worker.answer() == 3 * number
        worker.ask(-1)
        with pytest.raises(DivergedError, match="-1 is negative"):
            worker.answer()
        worker.ask(5)
        assert worker.answer() == 15


@BOTH
def test_questions_are_answered_in_their_order(kind: Any) -> None:
    with closing(kind(triple)) as worker:
        for number in (1, 2, 3):
            worker.ask(number)
        assert [worker.answer() for _ in range(3)] == [3, 6, 9]


@BOTH
def test_what_is_shared_is_seen_by_both(kind: Any) -> None:
    numbers = shared((2, 3), np.float32)
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


def test_nobody_is_left_behind() -> None:
    threads = threading.active_count()
    workers = [hire(triple) for _ in range(3)]
    for worker in workers:
        worker.ask(1)
        worker.close()
    assert threading.active_count() == threads
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.skipif(sys.platform != "linux", reason="a thread cannot be ended")
def test_what_is_no_longer_wanted_is_not_waited_for() -> None:
    with closing(Process(time.sleep)) as worker:
        worker.ask(1e6)


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are threads")


@pytest.fixture
def helper() -> Iterator[Process]:
    with closing(Process(triple)) as worker:
        yield worker


@linux
def test_a_worker_that_dies_is_an_error(helper: Process) -> None:
    os.kill(helper.pid, signal.SIGKILL)
    helper.ask(1)
    with pytest.raises(CharRNNError, match="a worker process has died"):
        helper.answer()


@linux
def test_signals_are_for_the_process_that_asks(helper: Process) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(helper.pid, number)
    helper.ask(4)
    assert helper.answer() == 12


@linux
def test_a_worker_holds_no_file_and_ends_when_its_asker_is_killed() -> None:
    code = (
        "import time; from charrnn.workers import hire; w = hire(time.sleep); w.ask(0); w.answer(); w.ask(1e6); "
        "print(w.pid, flush=True); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], env=IMPORTABLE, stdin=pipe, stdout=pipe, text=True) as asker:
        assert asker.stdout
        pid = int(asker.stdout.readline())
        open_files = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        assert {name.split(":")[0] for name in open_files} == {"/dev/null", "socket"}
        asker.kill()
        assert asker.stdout.read() == ""  # returns when nobody holds the other end any more
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")
