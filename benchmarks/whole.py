"""Time `charrnn train` whole, from the shell to the path that it prints, beside a plain PyTorch script.

    pip install -e '.[bench]'
    python -m benchmarks.whole                    # 2,000 steps on 1 MB, four minutes on two cores
    python -m benchmarks.whole --steps 500

Both train the same network with the same optimizer and numbers of steps, windows and validations, each in a process of
its own, with the variables of a user's shell. PyTorch uses all cores, as it does by default.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from charrnn.parallel.cores import LIBRARIES

SIZE = 1_000_000  # bytes of text
CORPUS = Path(__file__).parents[1] / "corpora" / "plays.txt"


def write_text(path: Path, size: int = SIZE) -> None:
    """Write a text of about `size` bytes: the bundled plays, several times."""
    plays = CORPUS.read_text("utf-8")
    path.write_text((plays * (size // len(plays) + 1))[:size], "utf-8")


def commands(folder: Path, steps: int) -> dict[str, list[str]]:
    """Return the two commands, which train on text.txt of a folder."""
    text = str(folder / "text.txt")
    return {
        "charrnn train": [
            *(sys.executable, "-c", "from charrnn.__main__ import main; main()", "train", text),
            *("-m", str(folder / "model.npz"), "--steps", str(steps), "--init-from", "none", "-q"),
            *("--optimizer", "adamw", "--eval-every", str(max(1, steps // 10))),  # as the script has it
        ],
        "PyTorch": [sys.executable, "-m", "benchmarks.torch_script", text, str(folder / "model.pt"), str(steps)],
    }


def timed(command: Sequence[str]) -> float:
    """Run a command as a user would; return the seconds until it ends."""
    foreign = {f"{library}_THREADS" for library in LIBRARIES}
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table of the two."""
    parser = argparse.ArgumentParser(description="Time charrnn train whole beside a PyTorch script.")
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args(argv).steps
    with tempfile.TemporaryDirectory() as name:
        write_text(Path(name, "text.txt"))
        seconds = {who: timed(command) for who, command in commands(Path(name), steps).items()}
    print(f"| {steps:,} steps of the default network on 1 MB, whole | seconds | ratio |\n|---|---|---|")
    for who, taken in seconds.items():
        print(f"| {who} | {taken:.1f} | {seconds['PyTorch'] / taken:.2f} |")


if __name__ == "__main__":
    main()
