"""The logs that benchmarks/scoring.py reads, and the anomalies that it plants in them."""

import json
import re

import pytest

from benchmarks import logs
from benchmarks.logs import ANOMALIES, LOGS, day_of, planted
from charrnn.data.ignoring import Ignore


@pytest.mark.parametrize("kind", LOGS)
def test_a_day_is_the_same_each_time_and_another_day_differs(kind: str) -> None:
    lines = day_of(kind, 1, 200)
    assert lines == day_of(kind, 1, 200)
    assert not {*lines} & {*day_of(kind, 2, 200)}
    clocks = [re.findall(r"\d\d:\d\d:\d\d", line)[0] for line in lines]
    assert clocks == sorted(clocks)
    assert kind != "json" or all(json.loads(line)["level"] in ("info", "warning", "error") for line in lines)


@pytest.mark.parametrize("kind", LOGS)
def test_what_is_ignored_leaves_few_different_lines_and_no_clock(kind: str) -> None:
    ignore = Ignore(LOGS[kind].ignore)
    lines = [ignore.replaced(line) for line in day_of(kind, 1, 2000)]
    assert len({*lines}) < 400
    assert not any(re.search(r"\d\d:\d\d:\d\d|\d+\.\d+\.\d+\.\d+", line) for line in lines if "Chrome" not in line)


def test_anomalies_of_ten_kinds_are_planted_equally_often() -> None:
    lines = day_of("sshd", 2, 500)
    mixed, places = planted(lines, 50)
    assert (len(ANOMALIES), len(mixed), len(places)) == (10, 500, 50)
    assert {i for i in range(500) if mixed[i] != lines[i]} == places
    assert not any("\n" in line for line in mixed)
    assert sum("etc/passwd" in line for line in mixed) == sum("Traceback" in line for line in mixed) == 5
    assert planted(lines, 50) == (mixed, places)


def test_the_program_prints_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    logs.main(["csv", "--day", "2", "--lines", "30", "--planted", "10"])
    assert capsys.readouterr().out.split("\n")[:-1] == planted(day_of("csv", 2, 30), 10)[0]
