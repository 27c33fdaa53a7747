"""The benchmark of grammars, with few samples and a tiny network."""

import re
from pathlib import Path

import pytest

from benchmarks import grammars
from tests.helpers.command import ENVIRONMENT, NETWORK

SMALL = {"SAMPLES": 20, "RECORDS": 40, "WALKS": 300, "COMPILES": 2}


def test_the_program_prints_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(grammars, "BUDGET", tuple(map(str, [*NETWORK, "--steps", 10])))
    monkeypatch.setattr("benchmarks.scoring.ROUNDS", 1)
    for name, number in SMALL.items():
        monkeypatch.setattr(grammars, name, number)
    grammars.main(["--only", "compile,records,sums,walks", "--models", str(tmp_path)])
    header, rule, *rows = capfd.readouterr().out.splitlines()
    figures = [row.strip("| ").split(" | ")[1] for row in rows]
    assert (header, rule) == ("| grammars | measured |", "|---|---|")
    assert [re.sub(r"\d+", "n", figures[n]) for n in (0, 2, 4)] == [
        "n ms",
        "n% of the speed",
        "n (and n vocabularies refused in advance)",
    ]
    assert (figures[1], figures[3], figures[4][:2]) == ("100.00%", "100.00%", "0 ")


def test_an_unknown_row_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        grammars.main(["--only", "sums,odds"])
    assert "--only odds: the rows are compile, records" in capsys.readouterr().err
