"""Runs on file systems that become full."""

import json
import os
import subprocess
import sys
from pathlib import Path

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import ENVIRONMENT
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, UnavailableError, ended, forked

PAGE = 4096  # bytes, the unit of allocation of such a file system
ON_IT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && cd "$2" && shift 2 && exec "$@"'
WITHOUT = ""  # the protection that its process removes
RUN = "import sys; from tests.robustness.disks import run; run(sys.argv[1])"


def run(without: str) -> None:
    """Train twice in the working folder; print the exit code, stderr and the step of the model after each."""
    from tests.robustness.sabotage import SABOTAGE  # which imports this module

    if without:
        SABOTAGE[without]()
    store, folder = CheckpointStore(Path("m.npz")), Path.cwd()
    line = ("train", str(folder.parent / "a.txt"), *OPTIONS, "-m", "m.npz", "--save-every", 1, "-q")
    for steps, how in ((2, "--force"), (20, "--resume")):
        os.chdir(folder.parent)
        code = ended(forked(folder.parent, *line[:-4], folder / "m.npz", *line[-3:], "--steps", steps, how))
        os.chdir(folder)
        said, step = (folder.parent / "stderr").read_text(), store.load().step if store.exists() else None
        print(json.dumps([code, said, step, os.listdir(folder)]))


class FullDisks(Experiment):
    """A run and a longer one on file systems of one page, of two, and so on, until both fit."""

    count = 24

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        (folder / "disk").mkdir()
        if self.on_a_disk(PAGE, "true").returncode:
            raise UnavailableError("file systems cannot be mounted here")

    def on_a_disk(self, size: int, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on a new file system of this size, which only it can see."""
        line = ["unshare", "-rm", "sh", "-c", ON_IT, "sh", str(size), str(self.folder / "disk"), *command]
        return subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True)

    def attempt(self, number: int) -> str:
        """Train on a disk with `number + 1` pages; return the results if they are wrong."""
        done = self.on_a_disk((number + 1) * PAGE, sys.executable, "-c", RUN, WITHOUT)
        try:
            runs = [json.loads(line) for line in done.stdout.splitlines()]
            steps = [step if step is not None else -1 for _, _, step, _ in runs]
            fine = [
                (code, step) in ((0, end), (1, step)) for (code, _, step, _), end in zip(runs, (2, 20), strict=True)
            ]
        except ValueError:
            return f"{done.stdout} {done.stderr}"
        reported = all((code == 1) == ("charrnn: " in said) and "Traceback" not in said for code, said, _, _ in runs)
        alone = all(left in ([], ["m.npz"]) for _, _, _, left in runs)
        return "" if all(fine) and reported and alone and steps == sorted(steps) else f"{number + 1} pages: {runs}"
