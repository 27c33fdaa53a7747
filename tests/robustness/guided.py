"""Model files and texts that are found by looking which lines of the program they reach, with atheris.

It is no dependency: `pip install atheris` into the environment of the tests, and the row is there. An attempt is RUNS
inputs in a process of its own, which goes on with what the ones before it have found.
"""

import importlib
import importlib.util
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from tests.helpers.command import ENVIRONMENT
from tests.robustness.experiment import Experiment, UnavailableError

RUNS = 20_000
ROOT = Path(__file__).parents[2]
ENCODINGS = ("utf-8", "utf-16", "utf-7", "shift_jis", "gb18030", "iso2022_jp", "hz", "idna", "punycode")


class Guided(Experiment):
    """So many inputs more, each a member, a manifest, a whole file or a text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not importlib.util.find_spec("atheris"):
            raise UnavailableError("atheris is not installed")
        (folder / "found").mkdir()

    def attempt(self, number: int) -> str:
        """Try the next inputs; return what the program says that ends the process of a bad one."""
        options = [f"-runs={RUNS}", f"-seed={number + 1}", "-max_len=4096", "-timeout=2", "-rss_limit_mb=300"]
        line = [sys.executable, "-m", "tests.robustness.guided", *options, str(self.folder / "found")]
        done = subprocess.run(line, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, cwd=self.folder, capture_output=True)
        self.note("inputs that reach something of their own", len(list((self.folder / "found").iterdir())))
        return done.stderr.decode("utf-8", "replace")[-2000:] if done.returncode else ""


def main() -> None:
    """Be the process of an attempt."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(
        include=["charrnn.checkpoint", "charrnn.corpus", "charrnn.vocab", "zipfile", "json"]
    ):
        from charrnn.corpus.reading import characters
        from charrnn.errors import TextError
        from tests.helpers.files import members, npy
        from tests.robustness.damage import loaded, smallest
        from tests.robustness.fuzz import assembled
    parts = members(smallest())
    names = [name for name in parts if name != "manifest.npy"]

    def model(kind: int, content: bytes) -> bytes:
        """A file as the kind says: whole, with another manifest, or with another member."""
        if kind % 3 == 0:
            return content
        if kind % 3 == 1:
            return assembled(parts | {"manifest.npy": npy(np.frombuffer(content, np.uint8))})
        return assembled(parts | {names[kind // 3 % len(names)]: content})

    def read(data: bytes) -> None:
        """Read an input as what its first byte says."""
        kind, content = data[0] if data else 0, data[1:]
        if kind % 4 == 3:
            blocks = [content[: kind // 4], content[kind // 4 :]]
            with suppress(TextError):
                "".join(
                    characters(blocks, "x", ENCODINGS[kind // 4 % len(ENCODINGS)], ("none", "nfc")[kind & 4 > 0], [])
                )
            return
        found = loaded(model(kind // 4, content))
        assert found is None or loaded(found) == found

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
