import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Run
from tests.helpers.command import (
    ENVIRONMENT,
    NETWORK,
    TEXT,
    Result,
    charrnn,
    contents,
    finish,
    limited_to,
    ok,
    read_until,
    refused,
    start,
    terminal,
    to_nobody,
)
from tests.helpers.files import with_entry, with_member

TRAIN = ("train", "a.txt", *NETWORK, "--steps", 2, "-m", "b", "-q")
READERS = [
    ("sample", "-n", 9, "-q"),
    ("eval", "-q"),
    ("eval", "--lines", "-q"),
    ("info", "-q"),
    ("info", "--json", "-q"),
]
WRITERS = [*READERS, TRAIN]


@dataclass(frozen=True)
class Case:
    """Wrong input: a command with files, and its exit code and words of its error."""

    args: tuple[object, ...]
    words: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    code: int = 1
    env: dict[str, str] = field(default_factory=dict)
    prelude: str = ""


def training_on(content: bytes, *words: str) -> Case:
    return Case(("train", "bad.txt", "-q"), ("bad.txt", *words), {"bad.txt": content})


WRONG = {
    "a missing file": Case(("train", "bad.txt", "-q"), ("bad.txt", "No such file")),
    "an empty file": training_on(b"", "empty"),
    "a byte-order mark alone": training_on(b"\xef\xbb\xbf", "empty"),
    "one character only": training_on(b"aaaa", "U+0061 a"),
    "a text shorter than the window": Case(
        ("train", "bad.txt", "-q"), ("9 characters", "--seq-len 9 would do"), {"bad.txt": b"abcabcabca"}
    ),
    "a Latin-1 file": training_on("größer".encode("latin-1"), "byte 2", "--encoding"),
    "a binary file": training_on(bytes(range(256)), "byte 128"),
    "a folder without text": Case(("train", "texts", "-q"), ("texts", "*.txt"), {"texts/a.md": b"text"}),
    "an unknown text encoding": Case(("train", "a.txt", "-q", "--encoding", "rot13"), ("--encoding rot13",), code=2),
    "the model equal to the corpus": Case(("train", "a.txt", "-q", "-m", "./a.txt"), ("a.txt", "corpus"), code=2),
    "a full disk": Case(("train", "a.txt", *NETWORK, "-q"), ("a.npz", "File too large"), prelude=limited_to(20_000)),
    "a folder that is a file": Case(
        ("train", "a.txt", *NETWORK, "-q"), ("a.txt",), env={"CHARRNN_CHECKPOINTS": "a.txt"}
    ),
    "no such folder": Case(("train", "a.txt", *NETWORK, "-q", "-m", "deep/er/x"), ("deep/er/x", "no such folder")),
    "no write permission": Case(("train", "a.txt", *NETWORK, "-q", "-m", "/proc/x.npz"), ("/proc/x.npz", "cannot be")),
    "too few characters kept": Case(("train", "a.txt", "-q", "--min-count", "100000"), ("--min-count 100000",)),
    "no such model": Case(("eval", "-m", "x"), ("checkpoints/x.npz", "charrnn train")),
    "an empty name": Case(("sample", "-m", ""), ("--model",), code=2),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line_and_nothing_is_written(work: Path, case: Case) -> None:
    for name, content in case.files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_bytes(content)
    before = contents(work)
    refused(charrnn(*case.args, env=case.env, prelude=case.prelude), case.code, *case.words)
    assert contents(work) == before


class Bomb:
    """An object that would write a file if it were unpickled."""

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, ("touch unpickled",)


def pickled_member() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([Bomb()], object), allow_pickle=True)
    return file.getvalue()


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-1000],
    "damaged": lambda data: data[:30_000] + bytes([data[30_000] ^ 1]) + data[30_001:],
    "foreign": lambda data: TEXT.encode(),
    "empty": lambda data: b"",
    "malicious": lambda data: with_member(data, "history", pickled_member()),
    "a bare pickle": lambda data: pickle.dumps(Bomb()),
    "of a newer version": lambda data: with_entry(data, "version", 99),
}
USES = [("sample", "-q"), ("eval", "a.txt"), ("info", "-q", "-m", "a"), ("train", "a.txt", "--resume", "-q")]


@pytest.mark.parametrize("how", FOREIGN)
def test_an_invalid_model_file_is_refused_and_not_changed(model: Path, how: str) -> None:
    model.write_bytes(FOREIGN[how](model.read_bytes()))
    before = contents(Path())
    use = USES[list(FOREIGN).index(how) % len(USES)]
    refused(charrnn(*use, env={"CHARRNN_QUIET": "1"}), 1, "checkpoints/a.npz", "not a whole model file")
    assert contents(Path()) == before


@pytest.mark.parametrize(
    "args",
    [
        ("paint",),
        ("--paint",),
        ("sample", "--paint"),
        ("sample", "a", "text"),
        ("sample", "-n", "many"),
        ("sample", "-n"),
        ("train", "a.txt", "--hidden-size", "big"),
        ("train", "a.txt", "--hidden-size", "0"),
        ("train", "a.txt", "--lr", "nan"),
        ("train", "a.txt", "--cell", "brain"),
        ("train", "a.txt", "--steps", "0"),
        ("train", "a.txt", "--seq-len", "0"),
        ("train", "a.txt", "--batch-size", "0", "--epochs", "1"),
        ("train", "a.txt", "--val-fraction", "nan"),
        ("train", "a.txt", "--steps", "5", "--epochs", "5"),
        ("train", "a.txt", "--time", "5s", "--epochs", "5"),
        ("train", "a.txt", "--time", "soon"),
        ("train", "a.txt", "--save-every", "0"),
        ("eval", "--color", "purple"),
        ("info", "--threads", "2"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_2(work: Path, args: tuple[str, ...]) -> None:
    refused(charrnn(*args), 2, *[arg for arg in args if arg.startswith("--")][:1])
    assert os.listdir(work) == ["a.txt"]


def test_an_invalid_value_of_a_variable_is_refused(work: Path) -> None:
    refused(charrnn("train", "a.txt", env={"CHARRNN_HIDDEN_SIZE": "big"}), 2, "--hidden-size")


def test_debug_shows_the_traceback_before_the_line(model: Path) -> None:
    plain = charrnn("eval", "-q", "nothere.txt")
    refused(plain, 1, "nothere.txt")
    debug = charrnn("eval", "-q", "nothere.txt", "--debug")
    assert debug.err.startswith("Traceback (most recent call last):\n")
    assert debug.err.endswith(f"\n{plain.err}")
    assert debug.code == 1


# ---- stdout and stderr ----


@pytest.mark.parametrize("args", [*WRITERS, ("--help",), ("--version",)])
def test_a_full_disk_under_stdout_is_one_line(model: Path, args: tuple[object, ...]) -> None:
    refused(charrnn(*args, redirect=">/dev/full"), 1, "stdout", "No space left")


@pytest.mark.parametrize("args", WRITERS)
def test_a_closed_stdout_is_one_line(model: Path, args: tuple[object, ...]) -> None:
    refused(charrnn(*args, redirect=">&-"), 1, "stdout", "closed")


@pytest.mark.parametrize("args", [*WRITERS, ("--help",), ("train", "--help"), ("--version",)])
def test_a_command_ends_quietly_when_its_reader_is_gone(model: Path, args: tuple[object, ...]) -> None:
    assert to_nobody(*args) == Result(0, b"", "")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_without_stderr_stdout_is_still_only_data(model: Path, redirect: str) -> None:
    assert ok("sample", "--seed", 1, "-n", 9, redirect=redirect).out == ok("sample", "--seed", 1, "-n", 9, "-q").out
    for args, code in ((("eval", "nothere.txt"), 1), (("eval", "--paint"), 2)):
        assert charrnn(*args, redirect=redirect) == Result(code, b"", "")


def test_training_continues_when_the_reader_of_stderr_is_gone(trained: Run, work: Path) -> None:
    result = to_nobody("train", "a.txt", *NETWORK, "--steps", 40, stream="stderr")
    assert result == Result(0, b"checkpoints/a.npz\n", "")
    assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()


def test_training_continues_when_its_terminal_is_closed(long_run: Run, work: Path) -> None:
    screen, stream = terminal()
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # as nohup does
    args = ("train", "a.txt", *NETWORK, "--steps", 120, "--json", "--save-every", 1)
    with start(*args, prelude=ignoring, stderr=stream) as process:
        os.close(stream)
        seen = b""
        while b"%" not in seen:  # the bar
            seen += os.read(screen, 1000)
        os.close(screen)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.endswith(b"}\n")
    assert Path("checkpoints/a.npz").read_bytes() == long_run.model.read_bytes()


def test_stdin_is_read_only_for_a_dash(model: Path) -> None:
    ok("sample", "-n", 1, redirect="<&-")
    for closed in (("eval", "-q", "-"), ("train", "-", "-q"), ("sample", "-q", "--prompt-file", "-")):
        refused(charrnn(*closed, redirect="<&-"), 1, "stdin is closed")


# ---- signals ----

SIGNALLED = """
import os, signal
from charrnn.cli.streams import Interrupt
with Interrupt() as interrupt:
    os.kill(os.getpid(), signal.SIGINT)
    print("first", interrupt.number, flush=True)
    os.kill(os.getpid(), signal.{second})
    print("never", flush=True)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_ends_the_program_at_once(second: signal.Signals) -> None:
    script = [sys.executable, "-c", SIGNALLED.format(second=second.name)]
    done = subprocess.run(script, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-second, b"first 2\n", b"")


IN_A_CONTAINER = """
import os, signal
real, os.getpid = os.kill, lambda: 1
def kill(process, number):  # as the system does for the first process of a container: nothing by default
    if signal.getsignal(number) != signal.SIG_DFL:
        signal.raise_signal(number)
os.kill = kill
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_process_of_a_container_is_ended_too(second: signal.Signals) -> None:
    script = [sys.executable, "-c", IN_A_CONTAINER + SIGNALLED.format(second=second.name)]
    done = subprocess.run(script, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (128 + second, b"first 2\n", b"")


def test_the_first_process_of_a_container_is_ended_while_it_starts() -> None:
    """Before there is anything to clean up, here while the version is looked up, a signal ends the program."""
    prelude = (
        f"{IN_A_CONTAINER}\nimport charrnn.core\nclass Late:\n    def __format__(self, _): kill(1, signal.SIGTERM)\n"
    )
    result = charrnn("--version", prelude=f"{prelude}charrnn.core.__version__ = Late()")
    assert result == Result(128 + signal.SIGTERM, b"", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_ignored_signal_stays_ignored(number: signal.Signals, long_run: Run, work: Path) -> None:
    """A shell ignores SIGINT for what it runs in the background, and nohup ignores SIGHUP."""
    ignoring = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)"
    process = start("train", "a.txt", *NETWORK, "--steps", 120, "--json", prelude=ignoring)
    read_until(process, "step", 7)
    process.send_signal(number)
    assert finish(process).code == 0
    assert Path("checkpoints/a.npz").read_bytes() == long_run.model.read_bytes()
