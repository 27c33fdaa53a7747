"""The same as faults.py one level lower: strace makes each system call of a save fail."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from tests.robustness.experiment import Experiment, UnavailableError, a_run, ended, fork, leave

FAULTS = ("error=ENOSPC", "error=EIO", "error=EACCES", "signal=SIGKILL")
KINDS = "desc,file"  # the classes of system calls that strace traces
MEMORY = {"mmap", "mprotect", "dup", "poll", "epoll_wait"}  # not calls on files
OUTCOMES = {0: "saved", 3: "refused", -signal.SIGKILL: "killed"}
ANY_TRACER = (0x59616D61, ctypes.c_ulong(-1))  # prctl: PR_SET_PTRACER, for kernels where only parents may trace


class SystemCalls(Experiment):
    """A model is locked, saved and unlocked; a system call fails, or is the last one before a kill -9."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not shutil.which("strace"):
            raise UnavailableError("strace is not installed")
        self.store, (_, old, self.model) = CheckpointStore(folder / "models" / "m.npz"), a_run()
        self.store.path.parent.mkdir()
        self.old, self.new = to_bytes(old), to_bytes(self.model)
        self.trace = folder / "trace"
        self.prepare()
        self.save()  # so that everything is imported
        if self.traced("-y") != "saved":
            raise UnavailableError("strace may not trace")
        self.lines = self.trace.read_text("utf-8", "replace").splitlines()
        names = [name[0] for line in self.lines if (name := re.match(r"\w+", line)) and name[0] not in MEMORY]
        self.calls = [(name, names[: at + 1].count(name)) for at, name in enumerate(names)]
        self.count = 1 + len(self.calls) * len(FAULTS)

    def prepare(self) -> None:
        """Restore the old model, without other files."""
        for file in self.store.path.parent.iterdir():
            file.unlink()
        self.store.path.write_bytes(self.old)

    def save(self) -> None:
        """Save as a run does."""
        with self.store.lock():
            self.store.save(self.model)

    def traced(self, *options: str) -> str:
        """Save in a process that strace traces; return how it ended."""
        child = fork()
        if not child:
            self.be_traced()
        os.waitpid(child, os.WUNTRACED)
        line = ["strace", "-qq", "-p", str(child), "-o", str(self.trace), "-e", f"trace={KINDS}", *options]
        with subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
            status = Path(f"/proc/{child}/status")
            while "TracerPid:\t0\n" in status.read_text() and tracer.poll() is None:
                time.sleep(0.001)
            os.kill(child, signal.SIGCONT)
            code = ended(child)
        return OUTCOMES.get(code, f"exit code {code}") if tracer.returncode == 0 or code < 0 else "not traced"

    def be_traced(self) -> None:
        """Wait for the tracer, save, and exit."""
        ctypes.CDLL(None).prctl(*ANY_TRACER, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        code = 0
        try:
            self.save()
        except CheckpointError:
            code = 3
        except BaseException:
            code = 4
        leave(code)

    def attempt(self, number: int) -> str:
        """Check the order of the calls, or make one of them fail."""
        if number == 0:
            return self.out_of_order()
        call, fault = divmod(number - 1, len(FAULTS))
        name, nth = self.calls[call]
        self.prepare()
        outcome = self.traced("-e", f"inject={name}:{FAULTS[fault]}:when={nth}")
        lost = self.lost(outcome)
        return f"{FAULTS[fault]} at {name} {nth}: {lost}" if lost else ""

    def out_of_order(self) -> str:
        """Return which call is out of order: write, sync, rename, sync of the folder."""
        beside = rf"{self.store.path.parent}/\.m\.npz\.\d+\.tmp"
        wanted = [
            rf"write\(\d+<{beside}>.* = \d+",
            rf"fsync\(\d+<{beside}>\) += 0",
            rf'rename\("{beside}", "{self.store.path}"\) += 0',
            rf"fsync\(\d+<{self.store.path.parent}>\) += 0",
        ]
        lines = iter(self.lines)
        return next((f"no {pattern}" for pattern in wanted if not any(re.match(pattern, line) for line in lines)), "")

    def lost(self, outcome: str) -> str:
        """Return a description of the loss, or an empty string."""
        found = self.store.path.read_bytes() if self.store.path.exists() else None
        if outcome not in OUTCOMES.values():
            return outcome
        if found not in (self.old, self.new):
            return "the model is neither the old nor the new one"
        if outcome == "saved" and found != self.new:
            return "the model is the old one, and there was no error"
        self.save()
        left = os.listdir(self.store.path.parent)
        return "" if self.store.path.read_bytes() == self.new and left == ["m.npz"] else f"the next save leaves {left}"
