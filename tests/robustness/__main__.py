"""Make the attempts of the long form, keep a log of what was lost, and print it as README's table.

    python -m tests.robustness                       # all rows, or what the log does not have of them yet
    python -m tests.robustness --rows kills,faults   # some rows
    python -m tests.robustness --seconds 500         # stop after so long: the next time it goes on
    python -m tests.robustness --table               # only print what the log has
    python -m tests.robustness --anew                # forget the log first

Nothing here measures time for its own sake, so other work may go on meanwhile. All of it takes 45 minutes of one core,
and several rows of the long form are made side by side. Each is then made again with a protection taken out of
the program, until it finds what that loses: the table says after how many attempts it did.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: processes are forked, which threads would not survive

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
from charrnn.threads import cores
from tests.robustness.experiment import Experiment, UnavailableError
from tests.robustness.rows import ROWS
from tests.robustness.sabotage import SABOTAGE

LOG = Path("checkpoints", "torture", "results.jsonl")
PART = 30.0  # seconds of work after which what was done is logged
TOLD = 20  # losses of a part whose words are kept
HEADER = ("what was tried", "attempts", "losses", "a loss is", "found missing", "took", "figures")
ROOT = Path(__file__).parents[2]


def parts(experiment: Experiment, first: int, end: int, until: float, enough: float) -> Iterator[dict[str, Any]]:
    """Make attempts from the first to the end, until a time, or until enough is lost; yield what came of each part."""
    losses = 0
    while first < end and losses < enough and time.monotonic() < until:
        lost: list[str] = []
        begun, done = time.monotonic(), 0
        while first + done < end and losses + len(lost) < enough and time.monotonic() < min(begun + PART, until):
            if loss := experiment.attempt(first + done):
                lost.append(f"{first + done}: {loss}")
            done += 1
        seconds = round(time.monotonic() - begun, 2)
        told = {"lost": lost[:TOLD], "losses": len(lost), "seconds": seconds, "figures": experiment.figures}
        yield {"first": first, "count": done, "of": end, **told}
        first, losses = first + done, losses + len(lost)


def logged(log: Path, name: str, without: str = "") -> list[dict[str, Any]]:
    """Return the parts of a row that a log has."""
    parts = map(json.loads, log.read_text("utf-8").splitlines() if log.exists() else [])
    return [part for part in parts if (part["row"], part["without"]) == (name, without)]


def lost(log: Path, name: str, without: str = "") -> int:
    """Return how many losses of a row a log has."""
    return sum(part["losses"] for part in logged(log, name, without))


def work(name: str, log: Path, count: int | None, until: float, without: str) -> None:
    """Make the attempts of a row that the log does not have; without a protection, until one shows a loss."""
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
    """Make rows, and then each without a protection, in processes of their own, one a core."""
    tasks = [(name, without) for name in names for without in ("", *ROWS[name].without)]

    def make(task: tuple[str, str]) -> None:
        seconds = str(until - time.monotonic())
        line = [sys.executable, "-m", "tests.robustness", "--rows", task[0], "--without", task[1], "--seconds", seconds]
        subprocess.run([*line, "--log", str(log)], cwd=ROOT, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(make, sorted(tasks, key=lambda task: 0.0 if task[1] else -ROWS[task[0]].minutes)))


@cache
def versions() -> str:
    """Return what is tried, and with what."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    python = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.system()}"
    return f"charrnn {__version__} ({commit.stdout.strip() or 'no commit'}), {python}"


def record(log: Path, part: dict[str, Any]) -> None:
    """Write a part to the log, and tell of it."""
    with log.open("a", encoding="utf-8") as file:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({**part, "ended": ended, "on": versions()}) + "\n")
    name = f"{part['row']} without {part['without']}" if part["without"] else part["row"]
    for loss in part["lost"]:
        print(f"{name} {loss}", file=sys.stderr)
    done = part["first"] + part["count"]
    print(f"{name}: {done:,} of {part['of']:,}, {part['losses']} lost", file=sys.stderr, flush=True)


def table(log: Path) -> str:
    """Return what the log has as a table in Markdown, and below it what that was made on."""
    found = {name: parts for name in ROWS if (parts := logged(log, name))}
    rows = [HEADER, ["---"] * len(HEADER), *(cells(log, name, parts) for name, parts in found.items())]
    made_on = {f"{part['ended'][:10]}, {part['on']}" for parts in found.values() for part in parts}
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "".join(f"\n{line}\n" for line in sorted(made_on))


def cells(log: Path, name: str, parts: list[dict[str, Any]]) -> list[str]:
    """Return a row of the table."""
    row, (count, losses, seconds) = ROWS[name], (sum(p[key] for p in parts) for key in ("count", "losses", "seconds"))
    names = {figure for part in parts for figure in part["figures"]}
    figures = {figure: max(part["figures"].get(figure, 0) for part in parts) for figure in sorted(names)}
    of = "" if count >= parts[-1]["of"] else f" of {parts[-1]['of']:,}"
    told = ", ".join(f"{figure}: {value:,.2f}".removesuffix(".00") for figure, value in figures.items())
    missing = {without: sum(part["count"] for part in logged(log, name, without)) for without in row.without}
    found = ", ".join(f"{without}: {count:,}" for without, count in missing.items() if lost(log, name, without))
    return [row.what, f"{count:,}{of}", f"{losses:,}", row.loss, found, f"{seconds:,.0f} s", told]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.robustness", description="Try to make charrnn lose something."
    )
    parser.add_argument("--rows", default=",".join(ROWS), metavar="NAME,NAME", help=f"of {', '.join(ROWS)}; all")
    parser.add_argument("--short", action="store_true", help="make only as many attempts as `make test` does")
    parser.add_argument("--without", default="", choices=["", *SABOTAGE], help="take a protection out first")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--log", type=Path, default=LOG, help=f"what was done, and what came of it; {LOG}")
    parser.add_argument("--anew", action="store_true", help="forget the log first")
    parser.add_argument("--table", action="store_true", help="try nothing, print what the log has")
    given = parser.parse_args(argv)
    given.rows = given.rows.split(",")
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"--rows {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Make the attempts, and print the table; return 1 if something was lost."""
    given = arguments(argv)
    until, log = time.monotonic() + given.seconds, given.log.resolve()
    log.parent.mkdir(parents=True, exist_ok=True)
    if given.anew:
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
            print(f"{name}: not here: {reason}", file=sys.stderr)
    print(table(log), end="")
    return int(any(lost(log, name, given.without) for name in given.rows))


if __name__ == "__main__":
    sys.exit(main())
