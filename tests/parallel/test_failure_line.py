"""The line about a rank that has died: written once, by a shell that outlives the process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charrnn.parallel.failure_line import END, FailureLine
from tests.helpers.files import IMPORTABLE

SETS = "from charrnn.parallel.failure_line import FailureLine; line = FailureLine(); import os; "


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), 9)", f"charrnn: a rank has died; {END}\n"),
        ("line.set('rank 1 on b has died'); os.kill(0, 9)", f"charrnn: rank 1 on b has died; {END}\n"),
        (
            "line.set('rank 1 failed: 50 % \\\\ of\\nit'); os._exit(1)",
            f"charrnn: rank 1 failed: 50 % \\ of it; {END}\n",
        ),
        ("line.set('one'); line.set('two'); line.end(); line.end()", f"charrnn: one; {END}\n"),
        ("line.end()", ""),
    ],
)
def test_the_line_is_written_however_the_process_ends(code: str, expected: str) -> None:
    words = [sys.executable, "-c", SETS + code]  # in a group of its own, which the second one kills
    done = subprocess.run(words, env=IMPORTABLE, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert (done.stdout, done.stderr) == ("", expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds the launcher in /proc")
def test_the_line_goes_to_the_stderr_of_the_launcher(tmp_path: Path) -> None:
    launcher, lost = tmp_path / "mpiexec.test", tmp_path / "lost"
    launcher.symlink_to("/bin/sh")
    (tmp_path / "err").write_text("before\n")
    code = f"import os; os.dup2(os.open({str(lost)!r}, os.O_WRONLY | os.O_CREAT), 2); {SETS}os.kill(os.getpid(), 9)"
    words = [str(launcher), "-c", '"$@"; exit 3', "sh", sys.executable, "-c", code]
    with open(tmp_path / "err", "a") as stderr:
        subprocess.run(words, env=IMPORTABLE, stderr=stderr, timeout=60, check=False)
    deadline = time.monotonic() + 30
    while END not in (written := (tmp_path / "err").read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert written.startswith("before\n")
    assert f"charrnn: a rank has died; {END}\n" in written
    assert lost.read_text() == ""


def test_without_a_shell_the_line_is_written_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object, **options: object) -> None:
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", refused)
    line = FailureLine()
    line.set("rank 1 on b has died")
    line.end()
    assert capsys.readouterr().err == f"charrnn: rank 1 on b has died; {END}\n"


def test_a_shell_that_was_killed_is_no_error() -> None:
    line = FailureLine()
    assert line.shell
    os.kill(line.shell.pid, signal.SIGKILL)
    line.shell.wait()
    line.set("rank 1 on b has died")
    line.end()
