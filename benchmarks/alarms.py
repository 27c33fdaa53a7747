"""Measure how fast `charrnn eval --lines` passes on the unusual lines of a log: in bulk, and line by line as they come.

    python -m benchmarks.logs nginx --day 1 >monday.log
    charrnn train monday.log --lines --time 60s -m log --ignore '^\\S+' --ignore '\\[[^]]*\\]' --ignore ' \\d+ "'
    python -m benchmarks.logs nginx --day 2 --lines 200000 >tuesday.log
    python -m benchmarks.alarms log tuesday.log

The first two rows are the time of the whole command, start included: by the clock on all cores, for which nothing else
should run, and in processor time on one. The other two are the milliseconds from the moment
that a line is written to a file until it arrives behind `tail -F`, with and without the command in between: the median,
the 95th percentile and the maximum of LINES lines, which are written at random moments.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

LINES, LONGEST_PAUSE = 200, 0.05  # lines that are written one by one, and the seconds between two of them at most
EVAL = (sys.executable, "-m", "charrnn", "eval", "--lines", "-q")


def lines_per_second(model: str, log: Path) -> tuple[float, float]:
    """Return the lines of a log per second of the command on all cores, and per second of processor time on one."""
    command, count = [*EVAL, "-m", model, "--threshold", "auto", str(log)], log.read_bytes().count(b"\n")
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    clock, before = time.perf_counter() - start, os.times()
    subprocess.run([*command, "--threads", "1"], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return count / clock, count / processor


def delays(lines: Sequence[str], command: Sequence[str]) -> list[float]:
    """Return the seconds until each line that is written to a file arrives behind tail and perhaps a command."""
    with tempfile.NamedTemporaryFile("w", suffix=".log", buffering=1) as file:
        tail = subprocess.Popen(["tail", "-n", "+1", "-F", file.name], stdout=subprocess.PIPE, text=True)
        filtering = subprocess.Popen(command, stdin=tail.stdout, stdout=subprocess.PIPE, text=True) if command else tail
        try:
            assert filtering.stdout
            file.write(f"{lines[0]}\n")
            filtering.stdout.readline()  # now all are running
            return [delay(line, file, filtering.stdout) for line in lines[1:]]
        finally:
            for process in {tail, filtering}:
                process.kill()
                process.communicate()


def delay(line: str, file: IO[str], arrived: IO[str]) -> float:
    """Write a line after a random pause; return the seconds until it has arrived."""
    time.sleep(random.uniform(0, LONGEST_PAUSE))
    start = time.perf_counter()
    file.write(f"{line}\n")
    arrived.readline()
    return time.perf_counter() - start


def summary(seconds: Sequence[float]) -> str:
    """Return the median, the 95th percentile and the maximum in milliseconds."""
    ordered = sorted(seconds)
    figures = statistics.median(ordered), ordered[int(0.95 * len(ordered))], ordered[-1]
    return ", ".join(f"{1000 * figure:.1f}" for figure in figures)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description="Time the alarms of a model of a log.")
    parser.add_argument("model", help="trained with --lines")
    parser.add_argument("log", type=Path, help="lines to score")
    given = parser.parse_args(argv)
    lines = given.log.read_text("utf-8").split("\n")[: LINES + 1]
    print("| alarms | measured |\n|---|---|")
    clock, processor = lines_per_second(given.model, given.log)
    print(f"| lines per second | {clock:,.0f} |\n| lines per second of processor time | {processor:,.0f} |", flush=True)
    print(f"| `tail -F` alone, ms | {summary(delays(lines, []))} |", flush=True)
    print(f"| `tail -F` and `eval --lines`, ms | {summary(delays(lines, [*EVAL, '-m', given.model, '-']))} |")


if __name__ == "__main__":
    main()
