"""Runs that are killed, or stopped by signals, at random moments."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from charrnn.checkpoint import CheckpointStore
from charrnn.corpus import load_corpus
from charrnn.errors import CheckpointError
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, ended, forked, gone_on

STEPS = 60
LINE = ("train", "a.txt", *OPTIONS, "--steps", STEPS, "--save-every", 1, "--resume", "-q")


class Interruptions(Experiment):
    """A run that saves at every step is started again and again, until it is done; then another one begins."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        os.chdir(folder)
        self.corpus = load_corpus(["a.txt"])
        self.store = CheckpointStore(folder / "a.npz")
        for _ in range(2):  # the second one is not slowed by what the first one has brought into memory
            begun = time.perf_counter()
            assert ended(forked(folder, *LINE, "-m", "whole.npz", "--force")) == 0
            self.seconds = time.perf_counter() - begun
            self.whole = (folder / "whole.npz").read_bytes()
            (folder / "whole.npz").unlink()

    def step(self) -> int:
        """Return the step of the model on disk, -1 if there is none; raises CheckpointError if it is not whole."""
        return self.store.load().step if self.store.path.exists() else -1

    def lost(self, before: int) -> str:
        """Return what is lost of a model that was at a step before."""
        try:
            step = self.step()
        except CheckpointError as error:
            self.store.path.unlink()
            return str(error)
        if step < before:
            return f"the model was at step {before} and is at step {step}"
        if step >= 0 and gone_on(self.store.load(), self.corpus) != self.whole:
            return f"gone on from step {step} the run ends with other bytes"
        return ""

    def finished(self) -> str:
        """End a run that was not interrupted any more; return what is lost."""
        same = self.store.path.read_bytes() == self.whole
        left = sorted(set(os.listdir(self.folder)) - {"a.txt", "stderr", "a.npz"})
        self.store.path.unlink()
        return ("" if same else "the run ends with other bytes") + (f"{left} is left over" if left else "")


class Kills(Interruptions):
    """kill -9 at a random moment, from the first one of the process to the last one."""

    def attempt(self, number: int) -> str:
        """Kill a run; return what it has lost."""
        moments = np.random.default_rng([number, 1])
        while True:
            before = self.step()
            process = forked(self.folder, *LINE, "-m", "a.npz")
            time.sleep(moments.uniform(0, 0.5 * self.seconds))
            os.kill(process, signal.SIGKILL)
            code = ended(process)
            if code == -signal.SIGKILL:
                return self.lost(before)
            if code:
                return f"exit code {code}: {(self.folder / 'stderr').read_text()}"
            if lost := self.finished():
                return lost


class Signals(Interruptions):
    """Ctrl-C or SIGTERM at a random moment, every third time twice."""

    def attempt(self, number: int) -> str:
        """Stop a run; return what it has lost, or did not do as it should."""
        moments = np.random.default_rng([number, 2])
        before, first = self.step(), [signal.SIGINT, signal.SIGTERM][number % 2]
        process = forked(self.folder, *LINE, "-m", "a.npz")
        time.sleep(moments.uniform(0, 0.5 * self.seconds))
        os.kill(process, first)
        if number % 3 == 2:
            time.sleep(moments.uniform(0, 0.003))
            os.kill(process, signal.SIGINT)
        code, said = ended(process), (self.folder / "stderr").read_text()
        if code == 0:
            return said or self.finished()
        if code not in (-first, -signal.SIGINT) or said:
            return f"{first.name} ends with {code} and says {said!r}"
        return self.lost(before)
