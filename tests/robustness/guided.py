"""Model files and texts from a coverage-guided fuzzer, atheris.

It is optional: `pip install atheris` into the environment of the tests makes the row available. An attempt is RUNS
inputs in a separate process, which continues from the inputs that the previous attempts found.
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
WITHOUT = ""  # the protection that its process removes
ROOT = Path(__file__).parents[2]


def seeds() -> list[bytes]:
    """Return the first inputs: a model, its parts and a text, each after the byte by which target.py interprets it."""
    model = smallest()
    manifest, *arrays = members(model).values()
    single = [bytes([8 + 12 * i]) + content for i, content in enumerate(arrays)]
    return [b"\0" + model, b"\4" + manifest[128:], b"\3text", *single]


class Guided(Experiment):
    """RUNS more inputs, each a member, a manifest, a whole file or a text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not importlib.util.find_spec("atheris"):
            raise UnavailableError("atheris is not installed")
        (folder / "found").mkdir()
        for number, seed in enumerate(seeds()):
            (folder / "found" / f"seed-{number}").write_bytes(seed)

    def attempt(self, number: int) -> str:
        """Try the next inputs; return the end of stderr if one fails."""
        options = [f"-runs={RUNS}", f"-seed={number + 1}", "-max_len=8192", "-timeout=2", "-rss_limit_mb=300"]
        line = [sys.executable, "-m", "tests.robustness.target", WITHOUT, *options, str(self.folder / "found")]
        done = subprocess.run(line, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, cwd=self.folder, capture_output=True)
        self.note("inputs with coverage of their own", len(list((self.folder / "found").iterdir())))
        return done.stderr.decode("utf-8", "replace")[-2000:] if done.returncode else ""
