"""Streams that are non-blocking or unbuffered, as a shell, a container or another program may pass them on."""

import array
import fcntl
import os
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import ENVIRONMENT, charrnn, command, drained, limited_to, ok

BUFFERING = pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
LONG = ("sample", "-n", 9000, "--seed", 1, "--json", "-q")


@BUFFERING
def test_output_that_a_disk_takes_in_part_is_an_error(model: Path, env: dict[str, str]) -> None:
    for limit in (1, 4000, 8192):
        result = charrnn(*LONG, env=env, prelude=limited_to(limit), redirect=">out")
        assert (result.code, result.err) == (1, "charrnn: stdout: File too large\n")
        assert Path("out").stat().st_size == limit


@contextmanager
def running(*args: object, env: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command with some streams, which this process then closes."""
    with subprocess.Popen(command(*args), env={**ENVIRONMENT, **env}, **streams) as process:
        for stream in streams.values():
            if stream not in (subprocess.PIPE, subprocess.DEVNULL):
                os.close(stream)
        yield process


def wait_for_bytes(reader: int, size: int) -> None:
    """Wait until a pipe holds this many bytes."""
    held = array.array("i", [0])
    while held[0] < size:
        time.sleep(0.01)
        fcntl.ioctl(reader, termios.FIONREAD, held)


@BUFFERING
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_pipe_that_does_not_block_loses_nothing(model: Path, stream: str, env: dict[str, str]) -> None:
    """The reader waits until the pipe is full, and the writer has found that out."""
    name = "x" * 8000
    args: tuple[object, ...] = LONG if stream == "stdout" else ("eval", "-q", name)
    whole = ok(*LONG).out if stream == "stdout" else f"charrnn: {name}: File name too long\n".encode()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096) if hasattr(fcntl, "F_SETPIPE_SZ") else 4096
    with running(*args, env=env, stdin=subprocess.DEVNULL, **{stream: writer}) as process:
        wait_for_bytes(reader, size)
        time.sleep(0.1)
        assert drained(reader) == whole
    assert process.returncode == (stream == "stderr")


def test_an_input_that_does_not_block_is_read_to_its_end(model: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with running("eval", "--lines", "-q", "-", env={}, stdin=reader, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in ("a first fox", "another one"):  # each is written when the program waits for it
            os.write(writer, f"{line}\n".encode())
            assert process.stdout.readline().decode().split("\t")[1] == f"{line}\n"
        os.close(writer)
        assert process.stdout.read() == b""


@pytest.mark.parametrize(
    ("args", "text", "rows"),
    [(("sample", "--prompt-file", "-", "-n", 0), "fox\n", ["fox\n\n"]), (("eval", "--next", 1, "-"), "größ", ["e"])],
)
def test_an_input_that_comes_late_is_waited_for(
    model: Path, args: tuple[object, ...], text: str, rows: list[str]
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with running(*args, "-q", "--debug", env={}, stdin=reader, stdout=subprocess.PIPE) as process:
        time.sleep(1)  # the program has started, and found nothing
        os.write(writer, text.encode())
        os.close(writer)
        assert process.stdout
        assert process.stdout.read().decode().split("\t")[-1:] == [rows[0] if args[0] == "sample" else f"{rows[0]}\n"]
