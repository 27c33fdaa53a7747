"""Model files and texts that are found by looking which lines of the program they reach, with atheris.

It is no dependency: `pip install atheris` into the environment of the tests, and the row is there. An attempt is RUNS
inputs in a process of its own, which goes on with what the ones before it have found.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.helpers.command import ENVIRONMENT
from tests.helpers.files import members
from tests.robustness.damage import smallest
from tests.robustness.experiment import Experiment, UnavailableError

RUNS = 20_000
WITHOUT = ""  # the protection that its process is to take out
ROOT = Path(__file__).parents[2]


def seeds() -> list[bytes]:
    """What to begin with, each after the byte that target.py takes it by: a model, its parts, a text."""
    model = smallest()
    manifest, *arrays = members(model).values()
    single = [bytes([8 + 12 * i]) + content for i, content in enumerate(arrays)]
    return [b"\0" + model, b"\4" + manifest[128:], b"\3text", *single]


class Guided(Experiment):
    """So many inputs more, each a member, a manifest, a whole file or a text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not importlib.util.find_spec("atheris"):
            raise UnavailableError("atheris is not installed")
        (folder / "found").mkdir()
        for number, seed in enumerate(seeds()):
            (folder / "found" / f"seed-{number}").write_bytes(seed)

    def attempt(self, number: int) -> str:
        """Try the next inputs; return what the program says that ends the process of a bad one."""
        options = [f"-runs={RUNS}", f"-seed={number + 1}", "-max_len=8192", "-timeout=2", "-rss_limit_mb=300"]
        line = [sys.executable, "-m", "tests.robustness.target", WITHOUT, *options, str(self.folder / "found")]
        done = subprocess.run(line, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, cwd=self.folder, capture_output=True)
        self.note("inputs that reach something of their own", len(list((self.folder / "found").iterdir())))
        return done.stderr.decode("utf-8", "replace")[-2000:] if done.returncode else ""
