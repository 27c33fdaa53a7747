"""The connections of ranks that watch each other, with both sides in this process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from charrnn.parallel import watch
from charrnn.parallel.failure_line import END, FailureLine
from charrnn.parallel.watch import Gate, Line, own_addresses
from tests.helpers.files import IMPORTABLE

NAMES = ["rank 0 on a", "rank 1 on b", "rank 2 on c"]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which processes would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(watch, "CONNECT_SECONDS", 5)
    return codes


def connected(size: int) -> tuple[Gate, list[Line]]:
    """Return rank 0's side and the sides of the other ranks."""
    gate = Gate(size, FailureLine())
    accepting = threading.Thread(target=gate.accept)
    accepting.start()
    with socket.create_connection(("127.0.0.1", gate.addresses[0][1])) as stranger:
        stranger.sendall(b"?" * 20)  # is turned away
    lines = [Line(gate.addresses, gate.secrets, rank) for rank in range(1, size)]
    accepting.join()
    gate.watch(NAMES)
    assert sorted(gate.connections) == [*range(1, size)]
    return gate, lines


def join(gate: Gate, lines: list[Line]) -> None:
    """Wait until nobody watches any more, then close rank 0's connections, as its end does."""
    for thread in [*gate.threads, *(line.thread for line in lines if line.thread)]:
        thread.join(20)
        assert not thread.is_alive()
    for connection in gate.connections.values():
        connection.close()


def cut(line: Line) -> None:
    """End a connection as the kernel does when a process dies."""
    assert line.connection
    line.connection.shutdown(socket.SHUT_RDWR)


def end_rank_0(gate: Gate) -> None:
    """End all connections, as the kernel does when rank 0 ends."""
    gate.ending.set()
    for connection in gate.connections.values():
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    gate.failure.end()


def test_a_polite_end_ends_nobody_by_force(ends: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    gate, lines = connected(3)
    gate.close()
    gate.failure.end()
    join(gate, lines)
    assert (ends, gate.gone, capfd.readouterr().err) == ([], None, "")


def test_the_end_of_rank_0_ends_all_others(ends: list[int]) -> None:
    gate, lines = connected(3)
    end_rank_0(gate)
    join(gate, lines)
    assert (ends, gate.gone) == ([0, 0], None)


def test_a_rank_that_dies_is_named_and_rank_0_has_time_to_end(ends: list[int]) -> None:
    gate, lines = connected(3)
    cut(lines[1])
    lines[1].thread.join(20)  # type: ignore[union-attr]
    while not gate.gone:
        time.sleep(0.01)
    assert gate.gone == f"rank 2 on c has died; {END}"
    end_rank_0(gate)
    join(gate, lines)
    assert ends == [0, 0]  # the other ranks, which are in this process


def test_a_rank_reports_why_it_fails(ends: list[int]) -> None:
    gate, lines = connected(2)
    reporting = threading.Thread(target=lines[0].report, args=[ValueError("no\nroom")])
    reporting.start()
    while not gate.gone:
        time.sleep(0.01)
    assert gate.gone == f"rank 1 on b has failed: ValueError: no room; {END}"
    assert ends == []  # it waits for the end of rank 0
    end_rank_0(gate)
    join(gate, lines)
    reporting.join()


def test_rank_0_is_ended_by_force_where_it_does_not_notice(
    ends: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.01)
    gate, lines = connected(2)
    cut(lines[0])
    join(gate, lines)
    gate.failure.end()
    assert sorted(ends) == [0, 1]
    assert capfd.readouterr().err == f"charrnn: rank 1 on b has died; {END}\n"


def test_the_loopback_is_tried_first() -> None:
    addresses = own_addresses()
    assert addresses[0] == "127.0.0.1"
    assert len(addresses) == len(set(addresses))


def test_a_machine_that_is_cut_off_ends_the_launcher_that_waits_for_it(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str | None] = []
    gate, lines = connected(2)
    monkeypatch.setattr(watch, "end_launcher", lambda: started.append(gate.gone))

    class CutOff:
        """A connection whose probes stay without an answer."""

        def recv(self, size: int) -> bytes:
            raise TimeoutError

    gate.watch_one("rank 1 on b", CutOff())  # type: ignore[arg-type]
    assert (gate.gone, started) == (
        f"rank 1 on b cannot be reached any more; {END}",
        [None],
    )  # still None when it is called
    end_rank_0(gate)
    join(gate, lines)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds the launcher in /proc")
def test_the_launcher_is_found_among_the_ancestors(tmp_path: Path) -> None:
    launcher = tmp_path / "mpiexec.test"
    launcher.symlink_to("/bin/sh")
    code = "from charrnn.parallel import watch; watch.GRACE_SECONDS = -1; watch.end_launcher()"
    words = [str(launcher), "-c", '"$@"; sleep 30; exit 3', "sh", sys.executable, "-c", code]
    assert subprocess.run(words, env=IMPORTABLE, check=False, timeout=60).returncode == -signal.SIGTERM
