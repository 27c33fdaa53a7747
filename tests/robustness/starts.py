"""Ctrl-C and SIGTERM during the imports, which are most of the start-up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import ENVIRONMENT
from tests.robustness.experiment import OPTIONS, TEXT, Experiment

ENTRY = "from charrnn.__main__ import main; main()"  # as the command `charrnn` does
STRIKE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # Python's default, unless it was started in the background
class Finder:
    seen = 0
    def find_spec(self, name, path=None, target=None):
        self.seen += 1
        if self.seen == {number}:
            os.kill(os.getpid(), {signal})
sys.meta_path.insert(0, finder := Finder())
"""
COUNT = "import atexit; atexit.register(lambda: print(finder.seen, file=sys.stderr))\n"
OUTSIDE = 2  # modules that are imported before any code of ours runs: the package and its __main__
STRIDE = 10_007  # a prime, so that a few attempts are spread over the start and all attempts cover it
LINE = ("train", "a.txt", *OPTIONS, "--steps", "2", "-m", "a.npz", "--force", "-q")


class Starts(Experiment):
    """A signal arrives when Python imports the first module, the second, and so on."""

    count: int

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        self.count = int(self.run(STRIKE.format(number=0, signal=0) + COUNT).stderr.split()[-1]) - OUTSIDE

    def run(self, prelude: str) -> "subprocess.CompletedProcess[str]":
        """Train for two steps, in a new interpreter."""
        line = [sys.executable, "-c", prelude + ENTRY, *map(str, LINE)]
        return subprocess.run(line, env=ENVIRONMENT, cwd=self.folder, capture_output=True, text=True)

    def attempt(self, number: int) -> str:
        """Send the signal; return a description of a wrong end or of files left behind."""
        model = self.folder / "a.npz"
        model.unlink(missing_ok=True)
        at, sent = number * STRIDE % self.count + OUTSIDE + 1, (signal.SIGINT, signal.SIGTERM)[number % 3 == 2]
        done = self.run(STRIKE.format(number=at, signal=int(sent)))
        if (done.returncode, done.stderr, done.stdout) != (-sent, "", ""):
            return f"{sent.name} at module {at} of {self.count} ends with {done.returncode} and says {done.stderr!r}"
        if left := set(os.listdir(self.folder)) - {"a.txt", "a.npz"}:
            return f"{sent.name} at module {at} of {self.count} leaves {left}"
        if model.exists():
            CheckpointStore(model).load()
        return ""
