"""The experiments in their short form, and each of them with a protection removed, which must lead to a loss."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import ENVIRONMENT
from tests.robustness.rows import ROWS
from tests.robustness.sabotage import SABOTAGE

ROOT = Path(__file__).parents[2]
SHORT = [name for name, row in ROWS.items() if row.short != 0]
FINDS = [(row, protection) for row in SHORT for protection in ROWS[row].without]


def experiments(log: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run experiments as `make torture` does, in a process that may be forked and patched."""
    line = [sys.executable, "-m", "tests.robustness", "--log", str(log), *args]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(line, env=environment, cwd=log.parent, capture_output=True, text=True, timeout=280)


def parts(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "results.jsonl"
    done = experiments(path, "--short", "--rows", ",".join(SHORT))
    assert done.stdout.startswith("| what was tried | attempts | losses |"), done.stderr
    return path


@pytest.mark.parametrize("row", SHORT)
def test_nothing_is_lost(row: str, log: Path) -> None:
    found = [part for part in parts(log) if part["row"] == row]
    assert [part["lost"] for part in found if part["losses"]] == []
    assert sum(part["count"] for part in found) == found[0]["of"] > 0


def test_every_row_has_a_protection_and_every_protection_a_row() -> None:
    assert {protection for row in ROWS.values() for protection in row.without} == {*SABOTAGE}
    assert all(row.without for row in ROWS.values())


@pytest.mark.parametrize(("row", "protection"), FINDS)
def test_without_a_protection_something_is_lost(row: str, protection: str, tmp_path: Path) -> None:
    done = experiments(tmp_path / "log", "--rows", row, "--without", protection, "--seconds", "60")
    (*_, last) = parts(tmp_path / "log")
    assert (done.returncode, last["losses"]) == (1, 1), done.stderr
    assert last["without"] == protection


def test_the_table_sums_up_the_log_and_the_next_run_continues(tmp_path: Path) -> None:
    log = tmp_path / "results.jsonl"
    common = {"row": "damage", "of": 1000, "figures": {"widest": 2.0}, "seconds": 3.0, "without": ""}
    common |= {"ended": "2026-11-22T12:00:00+00:00", "on": "charrnn 9"}
    lines = [{**common, "first": 0, "count": 900, "lost": ["7: x"], "losses": 1}]
    lines += [{**common, "first": 900, "count": 90, "lost": [], "losses": 0, "figures": {"widest": 1.5}}]
    lines += [{**common, "first": 0, "count": 5, "lost": ["4: y"], "losses": 1, "without": "checksums"}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    printed = experiments(log, "--table", "--rows", "damage")
    assert printed.returncode == 1
    row = "| 990 of 1,000 | 1 | accepted wrongly, or another error | checksums: 5 | 6 s | widest: 2 |\n"
    assert row in printed.stdout
    assert printed.stdout.endswith("\n2026-11-22, charrnn 9\n")
    experiments(log, "--rows", "damage", "--short")
    assert [(part["first"], part["count"]) for part in parts(log)][3:] == [(990, 10)]
    assert experiments(log, "--rows", "damage", "--short", "--restart").returncode == 0
    assert parts(log)[0]["first"] == 0
