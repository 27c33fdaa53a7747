"""Measure how the time and memory of commands grow with their inputs and options: 1, 2, 4 and 8 times as much.

    python -m benchmarks.commands                 # every row, two minutes
    python -m benchmarks.commands --rows eval,nfc # some rows

A command that looks at everything twice as often when it gets twice as much takes four times as long, which nobody
notices in a test of a small input. So each command is run with four sizes; its cost is the processor time and the
peak memory of its process above those of the same command with next to no input. The exponent is the slope on
logarithmic axes. The program exits with 1 if that of a time is above 1.1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scaling import HEADER, LEAST, exponent
from charrnn.data.sources import bundled_corpus

TIMES = (1, 2, 4, 8)
MOST = 1.1  # the largest exponent of time
NETWORK = ("--hidden-size", "16", "--embed-size", "8", "--num-layers", "1", "--batch-size", "8", "--seq-len", "32")
MODEL = ("-m", "m.npz", "-q", "--threads", "1")
PAGE = ("--html", "page.html")
TRAIN = ("train", "in.txt", *NETWORK, "--steps", "1", "-m", "new.npz", "--force", "-q", "--threads", "1")


@dataclass(frozen=True)
class Row:
    """A command with an input of any size."""

    what: str  # what grows
    size: int  # the smallest size
    command: Callable[[int], Sequence[str]]
    content: Callable[[int], str] = lambda size: ""  # of the file in.txt


def plays(size: int) -> str:
    """Return that many characters of the plays, repeated."""
    text = bundled_corpus().read_text("utf-8")
    return (text * (size // len(text) + 1))[: max(size, 2000)]


def lines(count: int) -> str:
    """Return that many different lines."""
    return "".join(f"{n} of the king's men\n" for n in range(max(count, 9)))


def accents(count: int) -> str:
    """Return that many accented letters without a place to cut between them."""
    return "a b\n" + "e\u0301\u00e8" * (max(count, 2000) // 2)


ROWS = {
    "train": Row("characters of a text to train on", 1_000_000, lambda n: TRAIN, plays),
    "nfc": Row("accented letters to normalize", 400_000, lambda n: (*TRAIN, "--normalize", "nfc"), accents),
    "min-count": Row("characters, rare ones replaced", 1_000_000, lambda n: (*TRAIN, "--min-count", "99"), plays),
    "eval": Row("characters of a text to score", 200_000, lambda n: ("eval", "in.txt", *MODEL), plays),
    "lines": Row("lines to score", 4000, lambda n: ("eval", "in.txt", "--lines", *MODEL), lines),
    "per-char": Row("characters to explain", 20_000, lambda n: ("eval", "in.txt", "--per-char", *MODEL), plays),
    "heatmap": Row("characters to colour", 10_000, lambda n: ("eval", "in.txt", "--heatmap", *MODEL), plays),
    "html": Row("characters in a page", 40_000, lambda n: ("eval", "in.txt", "--heatmap", *PAGE, *MODEL), plays),
    "neurons": Row("characters for the units", 20_000, lambda n: ("eval", "in.txt", "--neurons", *MODEL), plays),
    "novelty": Row("characters to look for copies", 200_000, lambda n: ("eval", "in.txt", "--novelty", *MODEL), plays),
    "baselines": Row(
        "characters for the baselines", 200_000, lambda n: ("eval", "in.txt", "--against-baselines", *MODEL), plays
    ),
    "dynamic": Row("characters to learn from", 20_000, lambda n: ("eval", "in.txt", "--dynamic", *MODEL), plays),
    "length": Row("characters to write", 10_000, lambda n: ("sample", "-n", str(n), "--seed", "1", *MODEL)),
    "count": Row(
        "samples to write", 1600, lambda n: ("sample", "-n", "20", "--count", str(max(n, 1)), "--seed", "1", *MODEL)
    ),
    "no-copy": Row(
        "characters to write that are no copy", 10_000, lambda n: ("sample", "-n", str(n), "--no-copy", "8", *MODEL)
    ),
    "prompt": Row(
        "characters of a prompt", 20_000, lambda n: ("sample", "-n", "9", "--prompt-file", "in.txt", *MODEL), plays
    ),
    "counted": Row(
        "a count in a pattern", 1200, lambda n: ("sample", "-n", "-1", "--regex", f"[a-z]{{{max(n, 1)}}}", *MODEL)
    ),
    "pattern": Row(
        "characters of a pattern", 3200, lambda n: ("sample", "-n", "-1", "--regex", "and " * max(n // 4, 1), *MODEL)
    ),
}


def cost(command: Sequence[str], folder: Path) -> tuple[float, int]:
    """Run a command; return its seconds of processor time and its peak memory in bytes."""
    line = [sys.executable, "-m", "charrnn", *command]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(line, cwd=folder, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {(folder / 'out').read_text('utf-8', 'replace')[-500:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(row: Row, folder: Path) -> tuple[list[float], list[int]]:
    """Return the seconds and bytes of a command for each of TIMES, above those for next to no input."""
    costs = []
    for size in (0, *(factor * row.size for factor in TIMES)):
        (folder / "in.txt").write_text(row.content(size), "utf-8")
        costs.append(cost(row.command(size), folder))
    (idle, program), *rest = costs
    return [max(seconds - idle, 1e-3) for seconds, _ in rest], [max(memory - program, LEAST) for _, memory in rest]


def cells(row: Row, seconds: Sequence[float], memory: Sequence[int]) -> list[str]:
    """Return the cells of a row of the table, as those of benchmarks.scaling."""
    return [
        row.what,
        f"{row.size:,}",
        f"{TIMES[-1] * row.size:,}",
        f"{seconds[0]:.3g} to {seconds[-1]:.3g}",
        f"**{exponent(TIMES, seconds):.2f}**",
        "1.00",
        f"{memory[0] / 1e6:,.0f} to {memory[-1] / 1e6:,.0f} MB",
        f"**{exponent(TIMES, memory):.2f}**",
        "",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the given rows and print the table; return 1 if a time grows faster than its input."""
    parser = argparse.ArgumentParser(description="Measure how commands grow with their inputs and options.")
    parser.add_argument("--rows", default=",".join(ROWS), metavar="NAME,NAME", help=f"of {', '.join(ROWS)}")
    names = parser.parse_args(argv).rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"--rows {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    print(f"| {' | '.join(HEADER)} |\n| {' | '.join(['---'] * len(HEADER))} |", flush=True)
    steep = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in.txt").write_text(plays(0), "utf-8")
        cost(("train", *NETWORK, "--steps", "2", *MODEL), folder)
        for name in names:
            seconds, memory = measured(ROWS[name], folder)
            print(f"| {' | '.join(cells(ROWS[name], seconds, memory))} |", flush=True)
            steep += [name] if exponent(TIMES, seconds) > MOST else []
    print("".join(f"{name}: grows faster than its input\n" for name in steep), end="", file=sys.stderr)
    return int(bool(steep))


if __name__ == "__main__":
    sys.exit(main())
