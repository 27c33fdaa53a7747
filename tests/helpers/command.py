"""Run the command line as users do: in a separate process, with pipes, terminals and signals."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import charrnn as package

TEXT = "\x1b" + "".join(f"{n % 7} größere fox{'es' * (n % 3)} than {n % 11}\t hens.\n" for n in range(190))
NETWORK = ("--hidden-size", 16, "--num-layers", 1, "--batch-size", 10)
SHORT = (*NETWORK, "--steps", 2)
LONG = ("train", "a.txt", *NETWORK, "--steps", 120, "--json", "--resume")  # what the fixture `long_run` did, resumable
INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")  # nothing that affects the output
KERNEL = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # last bits depend on it: the same here and in the commands
ENVIRONMENT = {name: os.environ[name] for name in (*INHERITED, *KERNEL) if name in os.environ} | {
    "PYTHONPATH": str(Path(package.__file__).parents[1]),
    "TERM": "xterm",
    "OPENBLAS_NUM_THREADS": "1",
}
DEFAULT_SIGNALS = (  # as in a terminal, even if the tests run in the background or under nohup
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)"
)
Env = Mapping[str, str]


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The objects written by --json, one per line, none of them with NaN."""
        *lines, rest = self.text.split("\n")
        assert rest == ""
        return [json.loads(line, parse_constant=no_constant) for line in lines]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == kind]

    @property
    def start(self) -> dict[str, Any]:
        """The start event of training."""
        (event,) = self.events("start")
        return event


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def command(*args: object, prelude: str = "", redirect: str = "") -> list[str]:
    """Return the command line of the command, after a prelude in Python and with redirections by the shell."""
    code = f"{DEFAULT_SIGNALS}\n{prelude}\nfrom charrnn.cli import main\nmain()"
    python = [sys.executable, "-c", code, *map(str, args)]
    return ["sh", "-c", f'exec "$@" {redirect}', "sh", *python] if redirect else python


def charrnn(
    *args: object,
    input: bytes = b"",  # noqa: A002  # as subprocess.run calls it
    env: Env | None = None,
    cwd: Path | None = None,
    prelude: str = "",
    redirect: str = "",
) -> Result:
    done = subprocess.run(
        command(*args, prelude=prelude, redirect=redirect),
        input=input,
        env={**ENVIRONMENT, **(env or {})},
        cwd=cwd,
        capture_output=True,
        timeout=60,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


def ok(*args: object, **run: Any) -> Result:
    result = charrnn(*args, **run)
    assert result.code == 0, result.err
    return result


def refused(result: Result, code: int, *words: str) -> None:
    """Assert that a command failed with a single line on stderr, containing some words, and nothing on stdout."""
    assert result.err.startswith("charrnn: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    assert (result.code, result.out) == (code, b"")
    assert [word for word in words if word not in result.err] == [], result.err


def limited_to(size: int) -> str:
    """Return a prelude that limits the files of the process to `size` bytes, as a full disk would."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def start(
    *args: object, prelude: str = "", env: Env | None = None, stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start the command with a small pipe for its stdout, so that it cannot run far ahead of its reader."""
    process = subprocess.Popen(
        command(*args, prelude=prelude),
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**ENVIRONMENT, **(env or {})},
    )
    assert process.stdout
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    return process


def read_until(process: subprocess.Popen[bytes], event: str, step: int) -> None:
    """Read the output of train --json up to an event of a step."""
    assert process.stdout
    for line in process.stdout:
        record = json.loads(line)
        if (record["event"], record.get("step")) == (event, step):
            return
    raise AssertionError(f"no {event} at step {step}")


def assert_exact_after_kill(whole: str, *line: object, **run: Any) -> None:
    """Kill a resumable training command at step 25 and rerun it: the model must equal `whole`, byte for byte."""
    process = start(*line, "-m", "parts", "--save-every", 1, **run)
    read_until(process, "step", 25)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    ok(*line, "-m", "parts")
    assert Path("checkpoints/parts.npz").read_bytes() == Path(f"checkpoints/{whole}.npz").read_bytes()


def finish(process: subprocess.Popen[bytes]) -> Result:
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err.decode())


def closed_early(process: subprocess.Popen[bytes]) -> Result:
    """Close the pipe that the command writes to, as head does, and wait for the command to end."""
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    err = process.stderr.read()
    return Result(process.wait(), b"", err.decode())


def terminal(columns: int = 80) -> tuple[int, int]:
    """Return both ends of a terminal that changes no bytes: the one to read, and the one to write to."""
    screen, stream = pty.openpty()
    tty.setraw(stream)
    termios.tcsetwinsize(stream, (24, columns))
    return screen, stream


def drained(reader: int) -> bytes:
    chunks = []
    with suppress(OSError):  # the end of a terminal that is closed on the other side; a pipe ends with an empty read
        while chunk := os.read(reader, 1 << 16):
            chunks.append(chunk)
    os.close(reader)
    return b"".join(chunks)


def on_terminal(
    *args: object, streams: str = "stdout stderr", env: Env | None = None, columns: int = 80, prelude: str = ""
) -> Result:
    """Run the command with terminals for some of its streams and pipes for the others."""
    ends = {name: terminal(columns) if name in streams.split() else os.pipe() for name in ("stdout", "stderr")}
    process = subprocess.Popen(
        command(*args, prelude=prelude),
        stdin=subprocess.DEVNULL,
        stdout=ends["stdout"][1],
        stderr=ends["stderr"][1],
        env={**ENVIRONMENT, **(env or {})},
    )
    for _, stream in ends.values():
        os.close(stream)
    with ThreadPoolExecutor() as pool:
        out, err = pool.map(drained, [reader for reader, _ in ends.values()])
    return Result(process.wait(), out, err.decode())


class Conversation:
    """The command on a terminal of its own, with which a person talks line by line."""

    OWN_TERMINAL = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"  # Ctrl-C is a signal

    def __init__(self, *args: object, env: Env | None = None) -> None:
        self.screen, stream = pty.openpty()
        termios.tcsetwinsize(stream, (24, 200))
        self.process = subprocess.Popen(
            command(*args, prelude=self.OWN_TERMINAL),
            stdin=stream,
            stdout=stream,
            stderr=stream,
            env={**ENVIRONMENT, **(env or {})},
        )
        os.close(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.screen)
        self.process.kill()
        self.process.wait()

    def type(self, keys: str) -> None:
        os.write(self.screen, keys.encode())

    def interrupt(self) -> None:
        """Type Ctrl-C until it takes effect: Python misses one between the prompt and its wait for a key."""
        self.type("\x03")
        while not select.select([self.screen], [], [], 5)[0]:
            self.type("\x03")

    def shown(self, until: str = "\n> ") -> str:
        """Return what the terminal shows up to its next prompt, or to another text."""
        seen = ""
        while not seen.endswith(until) and len(seen) < 1 << 20:
            if not select.select([self.screen], [], [], 60)[0]:
                raise AssertionError(f"no {until!r} after {seen!r}")
            seen += os.read(self.screen, 1).decode("latin-1")
            seen = re.sub(r"\x1b\[\?2004[hl]\r?|\r", "", seen)  # what readline tells the terminal
        return seen.encode("latin-1").decode().removesuffix(until)

    def says(self, line: str) -> str:
        """Return what the terminal shows after a line that is typed, without the line."""
        self.type(f"{line}\n")
        typed, _, rest = self.shown().partition("\n")
        assert typed == line
        return rest

    def ended(self) -> int:
        """Return the exit code after Ctrl-D."""
        self.type("\x04")
        with suppress(OSError):
            while os.read(self.screen, 1 << 16):
                pass
        return self.process.wait(60)


def to_nobody(*args: object, stream: str = "stdout") -> Result:
    """Run the command with a pipe without a reader for one of its streams."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        command(*args),
        stdin=subprocess.DEVNULL,
        stdout=writer if stream == "stdout" else subprocess.PIPE,
        stderr=writer if stream == "stderr" else subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        os.close(writer)
        out, err = process.communicate(timeout=60)
    return Result(process.returncode, out or b"", (err or b"").decode())


def in_bash(script: str, folder: Path, env: Env | None = None) -> Result:
    """Run a script in which `charrnn` is the command; the first failure ends it, also within a pipe."""
    bash = shutil.which("bash")
    assert bash
    line = " ".join(f"'{part}'" for part in command())
    prologue = f'set -e -o pipefail\ncharrnn() {{ {line} "$@"; }}\n'
    settings = {**ENVIRONMENT, **(env or {})}
    done = subprocess.run([bash, "-c", prologue + script], cwd=folder, env=settings, capture_output=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr.decode())


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder by path: the bytes of files, None for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
