import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scaling
from charrnn.data.sources import bundled_corpus

few = settings(deadline=None, max_examples=50, derandomize=True)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "AXES", {"T": ("steps", [2, 4, 8]), "corpus": ("bytes", [3000, 30_000])})


# ---- exponents ----


@few
@given(st.floats(-1, 3), st.floats(1e-6, 1e6), st.lists(st.integers(1, 10**10), min_size=2, max_size=6, unique=True))
def test_the_exponent_of_a_power_is_found(power: float, factor: float, sizes: list[int]) -> None:
    assert scaling.exponent(sizes, [factor * n**power for n in sizes]) == pytest.approx(power, abs=1e-6)


def test_the_exponent_of_noise_is_that_of_least_squares() -> None:
    x, y = np.log([2, 3, 7, 11]), np.array([0.3, 0.1, 0.9, 0.6])
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert scaling.exponent([2, 3, 7, 11], [*np.exp(y)]) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("axis", "work", "promised"), [("T", (1, 1), (0.9, 1)), ("B", (1, 1), (0.9, 1)), ("H", (1.8, 2), (1, 2))]
)
def test_the_expected_exponents_are_those_of_large_sizes(
    monkeypatch: pytest.MonkeyPatch, axis: str, work: tuple[float, float], promised: tuple[float, float]
) -> None:
    monkeypatch.setattr(scaling, "SECONDS", 0.0)
    monkeypatch.setattr(scaling, "USUAL", {"T": 2, "B": 2, "H": 4, "layers": 1, "V": 7})
    sizes = [300, 600] if axis == "H" else [2000, 4000]
    costs = [scaling.cost(axis, n, Path()) for n in sizes]
    assert work[0] - 1e-9 <= scaling.exponent(sizes, [cost["work"] for cost in costs]) <= work[1] + 1e-9
    assert promised[0] <= scaling.exponent(sizes, [cost["promised"] for cost in costs]) <= promised[1]
    assert all(cost["seconds"] > 0 <= cost["memory"] for cost in costs)


def test_a_corpus_repeats_the_plays(tmp_path: Path) -> None:
    plays = bundled_corpus().read_bytes()
    for size in (1, len(plays) + 5, 8_500_000):
        scaling.make_corpus(tmp_path / "t", size)
        assert (tmp_path / "t").read_bytes() == (plays * (size // len(plays) + 1))[:size]


def test_no_corpus_is_larger_than_the_limit_or_the_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scaling.fitting([10, 100, 1000], 100) == [10, 100]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2999}))
    assert scaling.fitting([10, 100, 1000], 10**9) == [10, 100]
    assert "room for 999 bytes" in capsys.readouterr().err


# ---- the program ----


def test_points_are_kept_and_each_axis_has_a_row(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[str, int]] = []

    def here(axis: str, value: int, begun: str) -> scaling.Point:
        measured.append((axis, value))
        return scaling.Point(axis, value, value**1.5, value << 20, value**2, value, begun)

    monkeypatch.setattr(scaling, "measure", here)
    scaling.main(["--axes", "T,corpus", "--largest", "20KB", "--results", str(tmp_path)])
    assert measured == [("T", 2), ("T", 4), ("T", 8), ("corpus", 3000)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[:2] == [[*scaling.HEADER], ["---"] * len(scaling.HEADER)]
    assert rows[2:] == [["steps", "2", "8", "2.83 to 22.6", "**1.50**", "2.00", "2 to 8 MB", "**1.00**", "1.00"]]
    scaling.main(["--axes", "corpus", "--results", str(tmp_path)])
    both = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in both.splitlines()[2:]] == ["| steps", "| bytes"]
    scaling.main(["--table", "--results", str(tmp_path)])
    assert capsys.readouterr().out == both
    assert {path.name for path in tmp_path.iterdir()} == {"results.jsonl", "scaling-steps.svg", "scaling-texts.svg"}
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 6


def test_the_memory_of_a_point_does_not_depend_on_the_parent_process(tmp_path: Path) -> None:
    ballast = np.ones(20_000_000)
    assert scaling.measure("corpus", 30_000, "now").memory > scaling.LEAST
    assert ballast.any()


def test_a_point_is_measured_in_its_own_process(tmp_path: Path) -> None:
    point = scaling.measure("corpus", 30_000, "now")
    assert (point.axis, point.value, point.work, point.begun) == ("corpus", 30_000, 30_000, "now")
    assert 0 < point.seconds < 60
    command = [sys.executable, "-m", "benchmarks.scaling", "--point", "corpus", "9", str(tmp_path)]
    failed = subprocess.run(command, cwd=Path(scaling.__file__).parents[2], capture_output=True, text=True)
    assert failed.returncode != 0
    assert "corpus.txt" in failed.stderr


@pytest.mark.parametrize("args", [["--axes", "T,X"], ["--largest", "9"], ["--largest", "many GB"]])
def test_wrong_usage_is_reported(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        scaling.main(args)
    assert args[0] in capsys.readouterr().err


def test_every_axis_is_sorted_and_includes_the_usual_size() -> None:
    for name, (title, values) in scaling.AXES.items():
        assert title
        assert values == sorted(values)
        assert name == "corpus" or values[0] <= scaling.USUAL[name] <= values[-1]


def test_the_expected_line_goes_through_the_largest_size() -> None:
    points = [scaling.Point("T", n, 0.1 + n, n << 20, n**2, 1, "now") for n in (1, 10)]
    (svg,) = scaling.pictures({"T": points}).values()
    law, line = (re.findall(rf'class="{kind}" stroke="[^"]*" d="M([^L]*)L([^"]*)"', svg)[0] for kind in ("law", "line"))
    assert law[1] == line[1]
    assert law[0] != line[0]
    assert [*scaling.pictures({"corpus": points, "T": points})] == ["texts", "steps"]
