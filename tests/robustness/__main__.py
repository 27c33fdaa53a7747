"""Run the experiments in their long form, log the losses, and print the log as a table.

    python -m tests.robustness                       # all rows, continuing from the log
    python -m tests.robustness --rows kills,faults   # some rows
    python -m tests.robustness --seconds 500         # stop after this time; the next run continues
    python -m tests.robustness --table               # only print the log
    python -m tests.robustness --restart             # delete the log first

The results do not depend on timing, so other programs may run at the same time. The long form takes 45 minutes of one
core, and several rows run side by side. Each row then runs again with a protection removed from the program, until it
finds a loss: the table has the number of attempts that this took.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: its threads would not survive a fork

import argparse
import json
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.parallel.cores import core_count
from tests.robustness.experiment import Experiment, UnavailableError
from tests.robustness.rows import ROWS
from tests.robustness.sabotage import SABOTAGE

LOG = Path("checkpoints", "torture", "results.jsonl")
PART = 30.0  # seconds of work per entry of the log
MAX_MESSAGES = 20  # messages of losses that are kept per part
HEADER = ("what was tried", "attempts", "losses", "a loss is", "found missing", "took", "figures")
ROOT = Path(__file__).parents[2]


def parts(experiment: Experiment, first: int, end: int, until: float, enough: float) -> Iterator[dict[str, Any]]:
    """Make attempts from `first` to `end`, until a time or a number of losses; yield the results of each part."""
    losses = 0
    while first < end and losses < enough and time.monotonic() < until:
        lost: list[str] = []
        start, done = time.monotonic(), 0
        while first + done < end and losses + len(lost) < enough and time.monotonic() < min(start + PART, until):
            if loss := experiment.attempt(first + done):
                lost.append(f"{first + done}: {loss}")
            done += 1
        seconds = round(time.monotonic() - start, 2)
        results = {"lost": lost[:MAX_MESSAGES], "losses": len(lost), "seconds": seconds, "figures": experiment.figures}
        yield {"first": first, "count": done, "of": end, **results}
        first, losses = first + done, losses + len(lost)


def logged(log: Path, name: str, without: str = "") -> list[dict[str, Any]]:
    """Return the parts of a row in a log."""
    parts = map(json.loads, log.read_text("utf-8").splitlines() if log.exists() else [])
    return [part for part in parts if (part["row"], part["without"]) == (name, without)]


def lost(log: Path, name: str, without: str = "") -> int:
    """Return the number of losses of a row in a log."""
    return sum(part["losses"] for part in logged(log, name, without))


def work(name: str, log: Path, count: int | None, until: float, without: str) -> None:
    """Make the attempts of a row that are not in the log; without a protection, only until a loss."""
    row, first = ROWS[name], sum(part["count"] for part in logged(log, name, without))
    if without and lost(log, name, without):
        return
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        experiment = row.experiment(Path(folder).resolve())
        try:
            end = count if count is not None else experiment.count or 0
            for part in parts(experiment, first, end, until, enough=1 if without else math.inf):
                record(log, {"row": name, **part, "without": without})
        finally:
            experiment.close()
            os.chdir(here)


def side_by_side(names: Sequence[str], log: Path, until: float) -> None:
    """Run rows, and then each without its protections, in separate processes, one per core."""
    tasks = [(name, without) for name in names for without in ("", *ROWS[name].without)]

    def make(task: tuple[str, str]) -> None:
        seconds = str(until - time.monotonic())
        line = [sys.executable, "-m", "tests.robustness", "--rows", task[0], "--without", task[1], "--seconds", seconds]
        subprocess.run([*line, "--log", str(log)], cwd=ROOT, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(core_count()) as pool:
        list(pool.map(make, sorted(tasks, key=lambda task: 0.0 if task[1] else -ROWS[task[0]].minutes)))


@cache
def versions() -> str:
    """Return the versions of the program and of what it runs on."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    python = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.system()}"
    return f"charrnn {__version__} ({commit.stdout.strip() or 'no commit'}), {python}"


def record(log: Path, part: dict[str, Any]) -> None:
    """Write a part to the log, and print it."""
    with log.open("a", encoding="utf-8") as file:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({**part, "ended": ended, "on": versions()}) + "\n")
    name = f"{part['row']} without {part['without']}" if part["without"] else part["row"]
    for loss in part["lost"]:
        print(f"{name} {loss}", file=sys.stderr)
    done = part["first"] + part["count"]
    print(f"{name}: {done:,} of {part['of']:,}, {part['losses']} lost", file=sys.stderr, flush=True)


def table(log: Path) -> str:
    """Return the log as a table in Markdown, followed by the versions that were tested."""
    found = {name: parts for name in ROWS if (parts := logged(log, name))}
    rows = [HEADER, ["---"] * len(HEADER), *(cells(log, name, parts) for name, parts in found.items())]
    tested = {f"{part['ended'][:10]}, {part['on']}" for parts in found.values() for part in parts}
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "".join(f"\n{line}\n" for line in sorted(tested))


def cells(log: Path, name: str, parts: list[dict[str, Any]]) -> list[str]:
    """Return the cells of a row of the table."""
    row, (count, losses, seconds) = ROWS[name], (sum(p[key] for p in parts) for key in ("count", "losses", "seconds"))
    names = {figure for part in parts for figure in part["figures"]}
    figures = {figure: max(part["figures"].get(figure, 0) for part in parts) for figure in sorted(names)}
    of = "" if count >= parts[-1]["of"] else f" of {parts[-1]['of']:,}"
    figures_text = ", ".join(f"{figure}: {value:,.2f}".removesuffix(".00") for figure, value in figures.items())
    missing = {without: sum(part["count"] for part in logged(log, name, without)) for without in row.without}
    found = ", ".join(f"{without}: {count:,}" for without, count in missing.items() if lost(log, name, without))
    return [row.what, f"{count:,}{of}", f"{losses:,}", row.loss, found, f"{seconds:,.0f} s", figures_text]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.robustness", description="Try to make charrnn lose something."
    )
    parser.add_argument("--rows", default=",".join(ROWS), metavar="NAME,NAME", help=f"rows to run: {', '.join(ROWS)}")
    parser.add_argument("--short", action="store_true", help="make only as many attempts as `make test`")
    parser.add_argument("--without", default="", choices=["", *SABOTAGE], help="remove a protection first")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this many seconds")
    parser.add_argument("--log", type=Path, default=LOG, help=f"log of the attempts and their results; default: {LOG}")
    parser.add_argument("--restart", action="store_true", help="delete the log first")
    parser.add_argument("--table", action="store_true", help="only print the log")
    given = parser.parse_args(argv)
    given.rows = given.rows.split(",")
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"--rows {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Make the attempts and print the table; return 1 if something was lost."""
    given = arguments(argv)
    until, log = time.monotonic() + given.seconds, given.log.resolve()
    log.parent.mkdir(parents=True, exist_ok=True)
    if given.restart:
        log.unlink(missing_ok=True)
    if given.without:
        SABOTAGE[given.without]()
    alone = given.table or given.short or given.without or len(given.rows) == 1
    if not alone:
        side_by_side(given.rows, log, until)
    for name in given.rows if alone and not given.table else ():
        try:
            work(name, log, ROWS[name].short if given.short else ROWS[name].long, until, given.without)
        except UnavailableError as reason:
            print(f"{name}: not available: {reason}", file=sys.stderr)
    print(table(log), end="")
    return int(any(lost(log, name, given.without) for name in given.rows))


if __name__ == "__main__":
    sys.exit(main())
