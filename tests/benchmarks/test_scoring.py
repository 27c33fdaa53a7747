"""The benchmark of scoring: its parts, and the program with tiny networks."""

import calendar
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scoring
from benchmarks.logs import LOGS
from benchmarks.scoring import characters_shuffled, is_date, oddest, plant, split, spread, words_shuffled
from tests.helpers.command import ENVIRONMENT, NETWORK

ROOT = Path(__file__).parents[2]
SMALL = {"LEARNT": 4000, "HELD_OUT": 20, "SHORTEST": 20, "ROUNDS": 1, "ENDLESS": 3000, "SETTLED": 1000}


def test_a_text_is_split_at_a_line_and_the_parts_share_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "LEARNT", 17)
    path = tmp_path / "a.txt"
    path.write_text("größer\nthan\nfoxes\nthan\nhens\n\nfoxes\n")  # its first 17 bytes end within foxes
    assert split(path) == (["größer", "than"], ["foxes", "hens", "", "foxes", ""])
    monkeypatch.setattr(scoring, "LEARNT", 20)
    assert split(path) == (["größer", "than", "foxes"], ["hens", "", ""])


def test_the_chosen_lines_are_spread_evenly() -> None:
    lines = [f"{n:03} {'x' * (36 if n % 2 else 35)}" for n in range(100)]
    assert [int(line[:3]) for line in spread(lines, 5)] == [1, 21, 41, 61, 81]
    assert spread(lines, 50) == lines[1::2]
    with pytest.raises(SystemExit, match="50 lines of 40 characters: 51 are needed"):
        spread(lines, 51)


@pytest.mark.parametrize("shuffle", [words_shuffled, characters_shuffled])
def test_shuffled_lines_keep_their_positions(shuffle: scoring.Shuffle) -> None:
    lines = [f"{n} großer alter foxes than hens" for n in range(30)]
    mixed, places = plant(lines, {lines[4], lines[17]}, shuffle)
    assert (len(mixed), places) == (30, {4, 17})
    for i, (line, now) in enumerate(zip(lines, mixed, strict=True)):
        assert (line != now) == (i in places)
        assert Counter(line) == Counter(now)
        assert shuffle is characters_shuffled or Counter(line.split()) == Counter(now.split())
    assert plant(lines, {lines[4]}, shuffle)[0][4] == mixed[4]


def test_the_oddest_rows_have_the_highest_scores() -> None:
    rows = ["2.5000\ta", "11.0000\tb", "-\t☃", "3.0000\t9.9", "3.0001\t"]
    assert oddest(rows, 2) == {1, 2}
    assert oddest(rows, 3) == {1, 2, 4}


def test_the_pattern_matches_dates_and_nothing_else() -> None:
    days = [f"{month:02}-{day:02}" for month in range(14) for day in range(33)]
    for day in days:
        matches = bool(re.fullmatch(scoring.DATE, f"2023-{day}"))
        assert matches == is_date(f"2023-{day}")
    assert sum(is_date(f"2023-{day}") for day in days) == 365
    assert sum(is_date(f"2024-{day}") for day in days) == 366 == 365 + calendar.isleap(2024)
    assert not any(map(is_date, ("2023-W01", "20230101", "", "foxes")))


def test_the_program_prints_its_rows_and_keeps_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    budget = [*NETWORK, "--steps", 40, "--lr", 0.03]
    monkeypatch.setattr(scoring, "BUDGET", tuple(map(str, budget)))
    for name, number in SMALL.items():
        monkeypatch.setattr(scoring, name, number)
    rng = np.random.default_rng(0)
    for name, words in {"en": "fox hen than", "de": "größer als Huhn", "es": "señor que gallina"}.items():
        Path(f"{name}.txt").write_text("\n".join(" ".join(rng.choice(words.split(), 8)) for _ in range(300)))
    scoring.main(["en.txt", "de.txt", "es.txt", "--only", "languages,endless,next", "--models", "kept"])
    header, rule, *rows = capfd.readouterr().out.splitlines()
    assert (header, rule) == ("| scoring and sampling | measured |", "|---|---|")
    assert header in (ROOT / "benchmarks" / "README.md").read_text("utf-8").splitlines()
    figures = [row.strip("| ").split(" | ")[1] for row in rows]
    assert figures[0] == "100.0% of 60"
    assert re.fullmatch(r"\d+ MB, \d+\.\d\d MB", figures[2])
    assert figures[3] == "quietly, with 0"
    assert re.fullmatch(r"\d+ ms", figures[4])
    assert {path.name for path in Path("kept").glob("*.npz")} == {"en.npz", "de.npz", "es.npz"}


def test_the_rows_of_alarms_count_what_is_found_among_the_lines_of_the_next_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(scoring, "BUDGET", tuple(map(str, [*NETWORK, "--steps", 60, "--lr", 0.03])))
    monkeypatch.setattr(scoring, "LOGS", {"sshd": LOGS["sshd"]})
    monkeypatch.setattr(scoring, "DAY", 1500)
    (_, ranked), (_, passed), (_, speed) = scoring.alarms(scoring.Bench([], tmp_path, tmp_path))
    found, false = passed.split(", ")
    assert int(ranked.removesuffix("%")) > 60  # a tiny network, and 1,500 lines
    assert int(found.removesuffix("%")) > 60
    assert int(false) < 100
    assert re.fullmatch(r"[\d,]+", speed)


def test_an_unknown_row_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        scoring.main(["a", "b", "c", "--only", "odd,even"])
    assert "--only even: the rows are languages, odd" in capsys.readouterr().err
