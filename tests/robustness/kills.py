"""Runs that are killed, or stopped by signals, at random moments."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from charrnn.data.corpus import load_corpus
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, completed, ended, forked

STEPS = 60
LINE = ("train", "a.txt", *OPTIONS, "--steps", STEPS, "--save-every", 1, "--resume", "-q")


class Interruptions(Experiment):
    """A run that saves at every step is restarted until it is finished; then another one starts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        os.chdir(folder)
        self.corpus = load_corpus(["a.txt"])
        self.store = CheckpointStore(folder / "a.npz")
        for _ in range(2):  # the second run is faster, since the first has loaded everything into memory
            start = time.perf_counter()
            assert ended(forked(folder, *LINE, "-m", "whole.npz", "--force")) == 0
            self.seconds = time.perf_counter() - start
            self.whole = (folder / "whole.npz").read_bytes()
            (folder / "whole.npz").unlink()

    def step(self) -> int:
        """Return the step of the model on disk, -1 if there is none; raises CheckpointError if it is not whole."""
        return self.store.load().step if self.store.path.exists() else -1

    def lost(self, before: int) -> str:
        """Return a description of the loss, if any, of a model that was at step `before`."""
        try:
            step = self.step()
        except CheckpointError as error:
            self.store.path.unlink()
            return str(error)
        if step < before:
            return f"the model was at step {before} and is at step {step}"
        if step >= 0 and completed(self.store.load(), self.corpus) != self.whole:
            return f"resumed from step {step} the run ends with different bytes"
        return ""

    def finished(self) -> str:
        """Remove the model of a finished run; return a description of the loss, if any."""
        same = self.store.path.read_bytes() == self.whole
        left = sorted(set(os.listdir(self.folder)) - {"a.txt", "stderr", "a.npz"})
        self.store.path.unlink()
        return ("" if same else "the run ends with different bytes") + (f"{left} is left over" if left else "")


class Kills(Interruptions):
    """kill -9 at a random moment in the life of the process."""

    def attempt(self, number: int) -> str:
        """Kill a run; return a description of the loss, if any."""
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
    """Ctrl-C or SIGTERM at a random moment, and every third time a second signal."""

    def attempt(self, number: int) -> str:
        """Stop a run; return a description of the loss or of a wrong end."""
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
