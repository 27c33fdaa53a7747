from pathlib import Path

import pytest

from benchmarks import alarms
from tests.helpers.command import TEXT, ok


def test_each_row_is_measured(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(alarms, "LINES", 4)
    Path("day.log").write_text(40 * TEXT)
    ok("train", "day.log", "--lines", "--steps", 2, "--hidden-size", 8, "-m", "log")
    alarms.main(["log", "day.log"])
    *_, speed, per_core, alone, filtered = capsys.readouterr().out.splitlines()
    assert all(float(row.split("|")[2].replace(",", "")) > 0 for row in (speed, per_core))
    for row in (alone, filtered):
        median, high, most = map(float, row.split("|")[2].split(","))
        assert 0 < median <= high <= most


def test_the_summary_is_in_milliseconds() -> None:
    assert alarms.summary([0.001] * 95 + [0.002] * 4 + [0.003]) == "1.0, 2.0, 3.0"
