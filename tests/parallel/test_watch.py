"""The connections of ranks that watch each other, with both sides in this process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from charrnn.parallel import watch
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
    gate = Gate(size)
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
    """Wait until nobody watches any more."""
    for thread in [*gate.threads, *(line.thread for line in lines if line.thread)]:
        thread.join(20)
        assert not thread.is_alive()


def cut(line: Line) -> None:
    """End a connection as the kernel does when a process dies."""
    assert line.connection
    line.connection.shutdown(socket.SHUT_RDWR)


def test_a_polite_end_ends_nobody_by_force(ends: list[int]) -> None:
    gate, lines = connected(3)
    gate.close(politely=True)
    join(gate, lines)
    assert (ends, gate.gone) == ([], None)


def test_the_end_of_rank_0_ends_all_others(ends: list[int]) -> None:
    gate, lines = connected(3)
    gate.close(politely=False)
    join(gate, lines)
    assert (ends, gate.gone) == ([1, 1], None)


def test_a_rank_that_dies_is_named_and_rank_0_has_time_to_end(ends: list[int]) -> None:
    gate, lines = connected(3)
    cut(lines[1])
    lines[1].thread.join(20)  # type: ignore[union-attr]
    while not gate.gone:
        time.sleep(0.01)
    assert gate.gone == "rank 2 on c has died"
    gate.close(politely=False)
    join(gate, lines)
    assert ends == [1, 1]  # the other ranks, which are in this process


def test_a_rank_reports_why_it_fails(ends: list[int]) -> None:
    gate, lines = connected(2)
    lines[0].report(ValueError("no room"))
    while not gate.gone:
        time.sleep(0.01)
    assert gate.gone == "rank 1 on b has failed: no room"
    gate.close(politely=False)
    join(gate, lines)


def test_rank_0_is_ended_by_force_where_it_does_not_notice(
    ends: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0.01)
    gate, lines = connected(2)
    cut(lines[0])
    join(gate, lines)
    assert ends == [1, 1]
    assert capfd.readouterr().err == "charrnn: rank 1 on b has died; all ranks end\n"


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

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    gate.watch_one("rank 1 on b", CutOff())  # type: ignore[arg-type]
    assert (gate.gone, started) == ("rank 1 on b cannot be reached any more", [None])  # still None when it is called
    gate.close(politely=False)
    join(gate, lines)


@pytest.mark.skipif(not shutil.which("ps"), reason="finds the launcher by ps, which is not installed")
def test_the_launcher_is_found_among_the_ancestors(tmp_path: Path) -> None:
    launcher = tmp_path / "mpiexec.test"
    launcher.symlink_to("/bin/sh")
    code = "from charrnn.parallel import watch; watch.GRACE_SECONDS = -1; watch.end_launcher()"
    words = [str(launcher), "-c", '"$@"; sleep 30; exit 3', "sh", sys.executable, "-c", code]
    assert subprocess.run(words, env=IMPORTABLE, check=False, timeout=60).returncode == -signal.SIGTERM
