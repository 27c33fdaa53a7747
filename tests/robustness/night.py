"""Memory, descriptors and files of processes that run for a long time."""

import gc
import os
import signal
import subprocess
import time
from pathlib import Path

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import ENVIRONMENT, command
from tests.helpers.files import corpus_of, random_text, tiny_run
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, ended, forked, reports

GROWTH = 1 << 20  # bytes that a process may grow after warming up
BEFORE = ""  # Python code that a watched program runs first


def resident(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Growth(Experiment):
    """Watches a process: after warming up it must not grow, and it must never leave descriptors open."""

    process = 0
    warm = 3  # attempts until it is warm: README.md of this folder has the reasons

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seen, self.first, self.most, self.open = 0, 0, 0, 0

    def grown(self) -> str:
        """Return a description if the process has grown too much since it was warm."""
        self.seen += 1
        bytes_now, open_now = resident(self.process), len(os.listdir(f"/proc/{self.process}/fd"))
        if self.seen == 1:
            self.first, self.open = bytes_now, open_now
        if self.seen <= self.warm:
            self.most = max(self.most, bytes_now)
            self.note("bytes more until warm", self.most - self.first)
        else:
            self.note("bytes more since then", bytes_now - self.most)
        grown = bytes_now - self.most
        return f"{grown} bytes more" if grown > GROWTH else "descriptors" if open_now > self.open else ""


class Night(Growth):
    """A run of many short epochs; 200 attempts have as many saves as a night, and more validations."""

    warm = 200

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process, self.store = os.getpid(), CheckpointStore(folder / "m.npz")
        self.corpus = corpus_of(random_text(300))
        self.run = tiny_run(self.corpus, steps=2**52, val_fraction=0.25, eval_every=150)
        self.reports = reports(self.run, self.corpus)

    def attempt(self, number: int) -> str:
        """Train for twenty epochs; return a description of what they leave."""
        end = self.run.step + 300
        while self.run.step < end:
            next(self.reports)
            if self.run.step % 50 == 0:
                self.store.save(self.run)
        gc.collect()
        left = [name for name in os.listdir(self.folder) if name != "m.npz"]
        return f"{left} is left over" if left else self.grown()


class Endless(Growth):
    """A command with endless output that is read endlessly."""

    count = 100
    amount = 0  # output to read per attempt

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        self.model = folder / "a.npz"
        assert ended(forked(folder, "train", "a.txt", *OPTIONS, "--steps", 2, "-m", self.model, "-q")) == 0
        self.writer = self.started()
        self.process = self.writer.pid

    def started(self) -> "subprocess.Popen[bytes]":
        """Start the command."""
        raise NotImplementedError

    def counted(self, data: bytes) -> int:
        """Return the amount of output in some bytes."""
        raise NotImplementedError

    def attempt(self, number: int) -> str:
        """Read more output; return a description if the writer has grown."""
        assert self.writer.stdout
        seen = 0
        while seen < self.amount:
            data = self.writer.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not data:
                return "it ended"
            seen += self.counted(data)
        return self.grown()

    def close(self) -> None:
        """End the command."""
        self.writer.kill()
        self.writer.communicate()


class Sampling(Endless):
    """`charrnn sample -n -1`: 100,000 characters per attempt."""

    amount = 100_000

    def started(self) -> "subprocess.Popen[bytes]":
        """Start sampling."""
        line = command("sample", "-n", -1, "-m", self.model, "-q", "--seed", 1, prelude=BEFORE)
        return subprocess.Popen(line, stdout=subprocess.PIPE, env=ENVIRONMENT)

    def counted(self, data: bytes) -> int:
        """Count characters: all bytes except UTF-8 continuation bytes."""
        return sum(byte & 0xC0 != 0x80 for byte in data)


class Scoring(Endless):
    """`charrnn eval --lines -` with endless lines: 10,000 per attempt."""

    amount = 10_000

    def started(self) -> "subprocess.Popen[bytes]":
        """Start scoring endless lines."""
        self.source = subprocess.Popen(["yes", TEXT.split("\n")[0]], stdout=subprocess.PIPE)
        line = command("eval", "--lines", "-m", self.model, "-q", "-", prelude=BEFORE)
        return subprocess.Popen(line, stdin=self.source.stdout, stdout=subprocess.PIPE, env=ENVIRONMENT)

    def counted(self, data: bytes) -> int:
        """Count lines."""
        return data.count(b"\n")

    def close(self) -> None:
        """End the command."""
        super().close()
        self.source.kill()
        self.source.communicate()


class Trainers(Experiment):
    """A second run starts on a model that is being trained; the first is killed, and a third one resumes it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        self.line = ("train", "a.txt", *OPTIONS, "--save-every", 1, "-m", "m.npz", "-q")

    def attempt(self, number: int) -> str:
        """Start the three runs; return a description of what one does wrong."""
        model = self.folder / "m.npz"
        model.unlink(missing_ok=True)
        first = forked(self.folder, *self.line, "--steps", 10**6)
        while not model.exists():
            time.sleep(0.001)
        second = ended(forked(self.folder, *self.line, "--steps", 2, "--force"))
        said = (self.folder / "stderr").read_text()
        os.kill(first, signal.SIGKILL)
        killed = ended(first)
        steps = CheckpointStore(model).load().step + 1
        third = ended(forked(self.folder, *self.line, "--steps", steps, "--resume"))
        if second != 1 or f"process {first} " not in said:
            return f"the second trainer ended with {second} and said {said!r}"
        if (killed, third) != (-signal.SIGKILL, 0) or CheckpointStore(model).load().step != steps:
            return f"the third trainer ended with {third}"
        left = sorted(set(os.listdir(self.folder)) - {"a.txt", "m.npz", "stderr"})
        return f"{left} is left over" if left else ""
