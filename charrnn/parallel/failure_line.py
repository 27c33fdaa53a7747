"""The line on stderr about a rank that has died, which is written even if mpiexec kills this process at once.

mpiexec kills all ranks as soon as one of them has died, often before another one can write anything. So a shell in a
session of its own, which mpiexec does not kill, waits for the end of this process and then writes the line. It writes
to the stderr of mpiexec itself: that of this process leads to a helper of mpiexec, which may end first.
"""

import os
import subprocess
import sys
from contextlib import suppress

from charrnn.parallel.launcher import launcher_pid

# Keeps the last line that it has read, and writes it at the end of its input unless it is empty.
SCRIPT = 'while IFS= read -r line; do last=$line; done; [ -z "$last" ] || printf \'charrnn: %s\\n\' "$last" >&2'
END = "all ranks end: a training run continues with --resume"
WRITE_SECONDS = 5  # stderr may be a pipe that nobody reads


class FailureLine:
    """A line that is written when this process ends, unless it ends by `end` and no rank has died."""

    def __init__(self) -> None:
        self.text = ""  # what has happened to a rank
        self.shell: subprocess.Popen[bytes] | None = None
        self.start(launcher_stderr())
        self.send(f"a rank has died; {END}")  # which one is not known if mpiexec kills this process first

    def start(self, stderr: int | None) -> None:
        """Start the shell, which writes to a file, or else to the stderr of this process."""
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        with suppress(OSError):
            words = ["sh", "-c", SCRIPT]
            self.shell = subprocess.Popen(words, stdin=pipe, stdout=null, stderr=stderr, start_new_session=True)
        if stderr is not None:
            os.close(stderr)

    def set(self, event: str) -> None:
        """Set what has happened to a rank; the first event counts, since others follow from it."""
        if not self.text:
            self.text = " ".join(f"{event}; {END}".split())
            self.send(self.text)

    def end(self) -> None:
        """Let the line be written if a rank has died, else drop it."""
        if not self.text:
            self.send("")
        elif not self.shell:
            sys.stderr.write(f"charrnn: {self.text}\n")
        if self.shell and self.shell.stdin:
            with suppress(OSError, subprocess.TimeoutExpired):
                self.shell.stdin.close()
                self.shell.wait(WRITE_SECONDS)

    def send(self, line: str) -> None:
        """Replace the line that the shell keeps."""
        if self.shell and self.shell.stdin:
            with suppress(OSError, ValueError):  # the shell has been killed, or `end` was called
                self.shell.stdin.write(f"{line}\n".encode("utf-8", "replace"))
                self.shell.stdin.flush()


def launcher_stderr() -> int | None:
    """Open the stderr of mpiexec; return None where this cannot be done, as when it is a socket."""
    pid = launcher_pid()
    with suppress(OSError):
        return os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NOCTTY) if pid else None
    return None
