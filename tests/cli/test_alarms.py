"""Lines that must be noticed: charrnn eval --lines with scores, thresholds, patterns to ignore and summaries."""

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import (
    ENVIRONMENT,
    SHORT,
    assert_exact_after_kill,
    charrnn,
    command,
    ok,
    on_terminal,
    refused,
)

LINES = [f"12:{n * 7 % 60:02} job {n % 5} done on host{n % 3}" for n in range(1200)]
ODD = "12:30 job 3 ../../etc/passwd host1"
CLOCK = r"^\d\d:\d\d"
TRAINING = ("train", "log.txt", "--lines", "--ignore", CLOCK, "--hidden-size", 16, "--num-layers", 1, "--lr", 0.03)


@pytest.fixture(scope="session")
def trained_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.txt").write_text("".join(f"{line}\n" for line in LINES))
    ok(*TRAINING, "--steps", 60, "-q", cwd=folder)
    return folder


@pytest.fixture
def log(trained_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model of a log, and new lines of which one is odd: the 21st."""
    shutil.copytree(trained_log, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    Path("new.txt").write_text("".join(f"{line}\n" for line in [*LINES[:20], ODD, *LINES[20:40]]))
    return tmp_path / "w"


EVAL = ("eval", "--lines", "new.txt", "-q")


def figures(*options: object) -> list[float]:
    return [float(row.split("\t")[0]) for row in ok(*EVAL, *options).text.splitlines()]


# ---- --score ----


def test_a_score_is_the_sum_the_maximum_or_the_peak_of_the_characters(log: Path) -> None:
    rows = ok("eval", "--per-char", "-", "-q", "--json", input=b"job 3\n", cwd=log).records
    bits = [row["bits"] for row in rows]
    line = ("eval", "--lines", "-", "-q", "--ignore", "", "--json", "--score")
    for score, value in {"sum": sum(bits), "max": max(bits), "peak:2": max(np.convolve(bits, [1, 1], "valid"))}.items():
        (record,) = ok(*line, score, input=b"job 3\n").records
        assert record["score_bits"] == pytest.approx(value, rel=1e-4)
        assert ok(*line[:-2], "--score", score, input=b"job 3\n").text.split("\t")[0] == f"{record['score_bits']:.4f}"
    assert np.argmax(figures("--score", "peak")) == 20


# ---- --ignore ----


def test_what_is_ignored_in_training_is_not_in_the_vocabulary_and_not_scored(log: Path) -> None:
    state = CheckpointStore(Path("checkpoints/log.npz")).load()
    assert state.origin.ignore == (CLOCK,)
    assert not {*"6789:"} & {*state.vocab.characters}  # of the clock alone
    assert "\ufffc" in state.vocab.characters
    one, other = ok("eval", "--lines", "-", input=b"12:30 job 3\n99:98 job 3\n").text.splitlines()
    assert one.split("\t") == [other.split("\t")[0], "12:30 job 3"]
    ignored, all_of_it = figures(), figures("--ignore", "")
    assert max(all_of_it) > max(ignored)
    assert figures("--ignore", "", "--ignore", CLOCK) == ignored
    assert "\ufffc job" in ok("eval", "--lines").text  # the held-out part, as it was read


def test_what_is_ignored_stays_the_same_in_a_resume(log: Path) -> None:
    refused(charrnn(*TRAINING, "--ignore", "host", "--resume", "-q"), 1, "--ignore")
    before = Path("checkpoints/log.npz").read_bytes()
    ok("train", "-m", "log", "--resume", "-q")
    assert Path("checkpoints/log.npz").read_bytes() == before
    ok("train", "log.txt", "-m", "next", "--init-from", "log", "--steps", 1, "-q")
    assert CheckpointStore(Path("checkpoints/next.npz")).load().origin.ignore == (CLOCK,)
    refused(charrnn("train", "log.txt", *SHORT, "--ignore", "x", "-m", "y"), 2, "--ignore: needs --lines")
    assert ok("info", "-m", "log", "--json").records[0]["corpus"]["ignore"] == [CLOCK]
    assert CLOCK in ok("info", "-m", "log").text


# ---- --threshold auto ----


def test_a_calibrated_threshold_passes_on_the_odd_line_alone(log: Path) -> None:
    assert ok(*EVAL, "--threshold", "auto").text == f"{ODD}\n"
    (record,) = ok(*EVAL, "--threshold", "auto:1/400", "--score", "sum", "--json").records
    assert (record["line"], record["line_number"]) == (ODD, 21)
    start, end = record["spans"][0][0], record["spans"][-1][1]
    assert ODD[start:end] in "../../etc/passwd host1"
    assert "etc/passwd" in ODD[start : end + 1]
    assert record["score_bits"] > sum(span[2] for span in record["spans"]) * 0.9
    many = ok(*EVAL, "--threshold", "auto:0.5", "--score", "mean").text.splitlines()
    assert 10 < len(many) < 32


def test_thresholds_are_those_of_the_held_out_lines(log: Path) -> None:
    kept = CheckpointStore(Path("checkpoints/log.npz")).load().thresholds
    assert [*kept] == ["mean", "sum", "max", "peak:8"]
    held_out = [float(row.split("\t")[0]) for row in ok("eval", "--lines", "--score", "sum", "-q").text.splitlines()]
    assert 119 <= len(held_out) <= 121
    for rate, threshold in kept["sum"][:1]:
        assert sum(value > threshold + 1e-3 for value in held_out) <= rate * len(held_out)


def test_patterns_that_match_again_where_they_have_matched_are_applied_once(log: Path) -> None:
    """They are in place of parts of the model's own text already, when it is calibrated or scored."""
    word = (*TRAINING[:4], r"^\S+ ", *TRAINING[5:], "--steps", 20, "-m", "word", "-q")
    ok(*word)
    own = ok("eval", "-m", "word", "--lines", "--score", "sum", "-q").text.splitlines()
    shown = [row.split("\t")[1] for row in own]
    assert {line[0] for line in shown} == {"\ufffc"}
    Path("raw.txt").write_text("".join(f"12:00 {line[1:]}\n" for line in shown))
    raw = ok("eval", "-m", "word", "--lines", "--score", "sum", "-q", "raw.txt").text.splitlines()
    assert [row.split("\t")[0] for row in raw] == [row.split("\t")[0] for row in own]
    bits = np.sort([float(row.split("\t")[0]) for row in raw])[::-1]
    rate, threshold = CheckpointStore(Path("checkpoints/word.npz")).load().thresholds["sum"][0]
    assert threshold == pytest.approx(bits[int(rate * len(bits))], abs=2e-3)


@pytest.mark.usefixtures("log")
def test_a_model_to_compare_with_ignores_what_it_did_in_training_in_the_text_of_another() -> None:
    ok("train", "log.txt", "--lines", *SHORT, "-m", "plain", "-q")
    held_out = ok("eval", "-m", "plain", "--against", "log", "--lines", "-q").text.splitlines()
    Path("raw.txt").write_text("".join(f"{row.split(chr(9))[3]}\n" for row in held_out))
    assert ok("eval", "-m", "plain", "--against", "log", "--lines", "-q", "raw.txt").text.splitlines() == held_out


@pytest.mark.usefixtures("log")
def test_a_run_that_was_killed_ends_with_the_same_thresholds() -> None:
    line = (*TRAINING, "--steps", 60, "--json", "--resume")
    assert_exact_after_kill("log", *line)


def test_a_model_without_thresholds_says_how_to_get_them(model: Path) -> None:
    refused(
        charrnn("eval", "-m", "a", "--lines", "a.txt", "--threshold", "auto"), 1, "no calibrated threshold", "--lines"
    )


@pytest.mark.usefixtures("log")
def test_a_threshold_of_another_window_names_those_that_are_calibrated() -> None:
    refused(charrnn(*EVAL, "--threshold", "auto", "--score", "peak:3"), 1, "--score peak:8")


# ---- exit codes, context, marks, summaries ----


@pytest.mark.usefixtures("log")
def test_the_exit_code_says_whether_a_line_was_passed_on() -> None:
    assert charrnn(*EVAL, "--threshold", "auto", "--exit-code").code == 3
    assert charrnn(*EVAL, "--threshold", 1000, "--exit-code").code == 0
    assert charrnn(*EVAL, "--threshold", "auto").code == 0
    assert charrnn("eval", "--lines", "missing", "--threshold", "auto", "--exit-code").code == 1
    assert charrnn(*EVAL, "--threshold", "high", "--exit-code").code == 2
    assert charrnn(*EVAL, "--threshold", "auto", "--exit-code", "--summary", 10).code == 3


@pytest.mark.usefixtures("log")
def test_context_is_written_as_grep_does() -> None:
    Path("new.txt").write_text("".join(f"{line}\n" for line in [*LINES[:9], ODD, ODD, *LINES[9:20], ODD, LINES[20]]))
    found = ok(*EVAL, "--threshold", "auto", "--context", 2).text.splitlines()
    assert found == [*LINES[7:9], ODD, ODD, *LINES[9:11], "--", *LINES[18:20], ODD, LINES[20]]
    found = ok(*EVAL, "--threshold", "auto", "--context", 6).text.splitlines()
    assert found == [*LINES[3:9], ODD, ODD, *LINES[9:20], ODD, LINES[20]]


@pytest.mark.usefixtures("log")
def test_odd_characters_are_marked_on_a_terminal_and_nowhere_else() -> None:
    shown = on_terminal(*EVAL, "--threshold", "auto").text
    assert "\x1b[1;31m" in shown
    assert shown.replace("\x1b[1;31m", "").replace("\x1b[0m", "").replace("$", "") == f"{ODD}\n"
    assert on_terminal(*EVAL, "--threshold", "auto", "--color", "never").text == f"{ODD}\n"
    rows = on_terminal(*EVAL).text.splitlines()
    assert ["\x1b[1;31m" in row for row in rows].index(True) == 20


@pytest.mark.usefixtures("log")
def test_a_summary_has_quantiles_of_every_n_lines() -> None:
    values = figures("--score", "sum")
    rows = [row.split("\t") for row in ok(*EVAL, "--score", "sum", "--summary", 20).text.splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("1", "20", "new.txt"),
        ("21", "20", "new.txt"),
        ("41", "1", "new.txt"),
    ]
    expected = np.percentile(values[20:40], [50, 90, 99, 100])
    assert [float(cell) for cell in rows[1][2:6]] == pytest.approx(expected, abs=1e-3)
    records = ok(*EVAL, "--score", "sum", "--summary", 20, "--threshold", "auto", "--json").records
    assert [record["passed"] for record in records] == [0, 1, 0]
    assert records[1]["max"] == pytest.approx(max(values), abs=1e-3)
    (row,) = ok(*EVAL, "--summary", "1h").text.splitlines()
    assert row.split("\t")[:2] == ["1", "41"]


@pytest.mark.skipif(not shutil.which("tail"), reason="needs tail")
def test_an_alarm_follows_a_log_that_is_rotated(log: Path) -> None:
    """As logrotate does: the log is renamed, and the program writes a new one under its name."""

    def wait_for(count: int) -> None:
        for _ in range(600):
            if out.read_text().count("\n") >= count:
                return
            time.sleep(0.1)
        raise AssertionError(out.read_text())

    out, app = Path("alarms.txt"), Path("app.log")
    app.write_text("")
    followed = subprocess.Popen(
        ["tail", "-F", "-s", "0.1", "app.log"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with open(out, "wb") as file:
        alarm = subprocess.Popen(
            command(*EVAL[:2], "--threshold", "auto", "-q", "-"), stdin=followed.stdout, stdout=file, env=ENVIRONMENT
        )
    assert followed.stdout
    followed.stdout.close()  # the alarm has it
    try:
        app.write_text(f"{LINES[0]}\n{ODD}\n")
        wait_for(1)
        app.rename("app.log.1")
        Path("next.log").write_text(f"{LINES[1]}\n{ODD} again\n")
        Path("next.log").rename(app)
        wait_for(2)
    finally:
        followed.kill()
        followed.wait()
        assert alarm.wait(60) == 0
    assert out.read_text().splitlines() == [ODD, f"{ODD} again"]


def test_short_repetitive_lines_are_trained_on_with_a_small_network(log: Path) -> None:
    result = ok("train", "log.txt", "-m", "small", "--lines", "--steps", 1)
    assert "short, repetitive lines: a small network suits them (--hidden-size" in result.err
    config = CheckpointStore(Path("checkpoints/small.npz")).load().model.config
    assert (config.hidden_size, config.num_layers) == (96, 1)
