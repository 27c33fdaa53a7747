import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.terminal.progress import LAYOUTS, Progress, Wait, layout, two_lines
from tests.conftest import Run
from tests.helpers.command import NETWORK, Result, charrnn, ok, on_terminal

TRAIN = ("train", "a.txt", *NETWORK, "--steps", 40, "--force")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
BLOCK = "[▁▂▃▄▅▆▇█]"


def keys_and_values(line: str) -> dict[str, Any]:
    """The pairs of a progress line; a value in quotes is JSON."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    assert " ".join(f"{key}={value}" for key, value in pairs) == line
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


def log(result: Result) -> list[dict[str, Any]]:
    return [keys_and_values(line) for line in result.err.splitlines() if re.match(r"\w+=", line)]


def drawn(result: Result) -> list[str]:
    """Every line that was on the screen, with each state of the bar."""
    return re.split("[\r\n]+", ESCAPE.sub("", result.err))


# ---- on a terminal ----


@pytest.mark.parametrize(
    ("columns", "bar"),
    [
        (200, "N% ▁+ N/N steps, N:N left, N chars/s, loss N nats, N bits per character ▁{25}"),
        (80, r"N% ▁+ N/N, N:N left, N chars/s, loss N \(N bits\) ▁{10}"),
        (50, "N% ▁+ N:N left, N bits ▁{8}"),
        (30, "N% N:N left, N bits"),
    ],
)
def test_a_bar_fits_one_line_of_any_width(work: Path, columns: int, bar: str) -> None:
    result = on_terminal(*TRAIN, "-m", "b", streams="stderr", columns=columns)
    lines = drawn(result)
    moving = [line for line in lines if re.match(r" *\d+% ", line)]
    assert len(moving) > 1
    assert max(map(len, moving)) <= columns
    shape = re.sub(BLOCK, "▁", re.sub(r"\d+(\.\d+)?k?", "N", moving[-1]))
    assert re.fullmatch(bar, shape.rstrip())
    assert result.text == "checkpoints/b.npz\n"


def test_validations_and_previews_are_above_the_bar_and_the_summary_below(work: Path) -> None:
    result = on_terminal(*TRAIN, "--sample-every", 40, streams="stderr")
    lines = drawn(result)
    writes, scored = (next(i for i, l in enumerate(lines) if l.startswith(f"step      40  {w}")) for w in ("w", "t"))
    assert lines[writes + 1].startswith("  | ")
    assert writes < scored
    assert re.fullmatch(r"step +40  train \d\.\d{3}  held out \d\.\d{3} bits per character  best so far", lines[scored])
    report = "\n".join(lines[scored:])
    assert re.search(
        r"\n\d\.\d\d \|.*\n(.*\|.*\n)+[^|]+training   held out   \(bits per character\)\n"
        r"checkpoints/a.npz is done\nsteps +40 of 40\nheld out  \d\.\d{3} bits per character, best at step 40\n"
        r"time +\S+, \S+ characters per second\n(advice[^|]+)?"
        r"next +write samples: charrnn sample -m checkpoints/a.npz\n",
        report,
    )
    assert "\x1b" not in on_terminal(*TRAIN, "--color", "never", streams="stderr").err


def test_five_previews_of_two_lines_are_the_default_on_a_terminal(trained: Run, work: Path) -> None:
    lines = drawn(on_terminal(*TRAIN, streams="stderr", columns=50))
    starts = [i for i, line in enumerate(lines) if re.match(r"step +\d+  writes", line)]
    assert [lines[i].split()[1] for i in starts] == ["1", "2", "6", "16", "40"]
    for i in starts:
        shown = [line for line in lines[i + 1 : i + 4] if line.startswith("  | ")]
        assert len(shown) == 2
        assert max(map(len, shown)) <= 50
    assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()


@pytest.mark.parametrize("options", [("--sample-every", "0"), ("--json",), ("-q",)])
def test_there_are_no_previews_with_these_options(work: Path, options: tuple[str, ...]) -> None:
    result = on_terminal(*TRAIN, *options, streams="stderr")
    assert "writes" not in result.err
    assert '"event": "sample"' not in result.text


def test_a_preview_is_folded_at_the_width_of_the_terminal() -> None:
    assert two_lines("\n\nabcdefg\n\nhij\nk", 4) == ["abcd", "efg"]
    assert two_lines("ab\n \n猫猫猫\nk", 5) == ["ab", "猫猫"]
    assert two_lines("\n", 5) == []


def test_a_run_shortened_by_its_time_budget_ends_with_a_full_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(0, 9)
    for step in (1, 2, 3):
        progress.step(step, 9, 4.0, 10)
    progress.close(3)  # the steps that the time budget allowed
    assert re.match(r"100% .* 3/3, 00:00 left", ESCAPE.sub("", screen.getvalue()).split("\r")[-1])


def test_the_bar_is_not_on_stdout_and_quiet_removes_it(work: Path) -> None:
    assert on_terminal(*TRAIN, "-q", "--sample-every", 10).err == ""
    assert on_terminal(*TRAIN, "--json", streams="stderr").records[-1]["event"] == "done"


@pytest.mark.parametrize("width", range(10, 220, 7))
def test_the_widest_layout_that_fits_is_used(width: int) -> None:
    assert layout(width) == LAYOUTS[max(least for least in LAYOUTS if least <= width)]


def test_there_is_no_sparkline_if_the_encoding_lacks_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, shown in (("latin-1", ""), ("utf-8", "█▁")):
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
        progress = Progress(0, 9)
        progress.step(1, 9, 4.0, 10)
        progress.step(2, 9, 3.0, 10)
        assert progress.sparkline == shown


def test_speeds_from_1000_are_in_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, shown in ((0.4, "0"), (999, "999"), (1000, "1k"), (61_499, "61k")):
        monkeypatch.setattr(Progress, "chars_per_second", number)
        assert Progress(0, 9).speed == f"{shown} chars/s"


# ---- in a pipe ----


@pytest.mark.parametrize("dumb", [True, False])
def test_progress_without_a_terminal_is_lines_of_keys_and_values(trained: Run, work: Path, dumb: bool) -> None:
    line = (*TRAIN, "--sample-every", 20)
    result = on_terminal(*line, env={"TERM": "dumb"}) if dumb else charrnn(*line)
    assert not set("\r\x1b") & set(result.err)
    entries, events = log(result), trained.result.events("eval")
    evals = [entry for entry in entries if "val_bits" in entry]
    assert [int(entry["step"]) for entry in evals] == [event["step"] for event in events]
    for entry in evals:
        assert entry.keys() == {"step", "steps", "train_bits", "val_bits", "best", "chars_per_second"}
    assert {entry["best"] for entry in evals} == {"true"}
    previews = {entry["step"]: entry["sample"] for entry in entries if "sample" in entry}
    assert {step: len(text) for step, text in previews.items()} == {"20": 200, "40": 200}
    done, *_, following = entries[len(evals) + 2 :]
    assert done.keys() == {"done", "step", "steps", "best_step", "best_val_bits", "seconds", "chars_per_second"}
    assert f"{float(done['best_val_bits']):.3f}" == f"{trained.result.records[-1]['val_bits_per_char']:.3f}"
    assert (done["done"], following) == ("checkpoints/a.npz", {"next": "charrnn sample -m checkpoints/a.npz"})


# ---- previews ----


def test_previews_change_no_byte_of_the_run_and_work_in_a_resumed_one(trained: Run, work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 40, "--sample-every", 15, "--json")
    events = ok(*line).events("sample")
    assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()
    assert [(event["step"], len(event["text"])) for event in events] == [(15, 200), (30, 200)]
    assert events[0]["text"] != events[1]["text"]
    ok("train", "a.txt", *NETWORK, "--steps", 20, "-m", "b", "--schedule", "constant")
    later = ok("train", "--resume", "--steps", 40, "-m", "b", "--sample-every", "0.001s", "--json")
    assert {event["step"] for event in later.events("sample")} <= set(range(21, 41))
    assert CheckpointStore(Path("checkpoints/b.npz")).load().step == 40


def test_an_invalid_interval_is_refused_by_name(work: Path) -> None:
    for value in ("often", "0s", "-1"):
        result = charrnn("train", "a.txt", "--sample-every", value)
        assert (result.code, result.err.split(":")[1].split(" ")[1]) == (2, "--sample-every")


# ---- other long work ----

NO_PATIENCE = "import charrnn.terminal.progress as p; p.PATIENCE_SECONDS = p.REDRAW_SECONDS = -1"


def test_a_long_prompt_shows_how_far_it_is_read_and_the_line_is_erased(model: Path) -> None:
    line = ("sample", "a", "--prompt-file", "a.txt", "-n", 5, "--seed", 1)
    result = on_terminal(*line, streams="stderr", prelude=NO_PATIENCE, columns=60)
    shown = re.split(r"\r", result.err)
    assert re.fullmatch(r"reading the prompt: +\d+% ▏?\S*[█▏▎▍▌▋▊▉ ]+ \d\d:\d\d left\x1b\[K", shown[1])
    percents = [int(*re.findall(r"(\d+)%", part)) for part in shown[1:-1]]
    assert percents == sorted(percents)
    assert (len(percents) > 3, percents[-1]) == (True, 100)
    assert max(len(part.removesuffix("\x1b[K")) for part in shown) < 60
    assert shown[-1] == "\x1b[K"
    quick, quiet = on_terminal(*line, streams="stderr"), on_terminal(*line, "-q", prelude=NO_PATIENCE)
    assert (quick.err, quiet.err) == ("", "")
    assert charrnn(*line, prelude=NO_PATIENCE).err == ""
    assert quick.out == result.out


def test_work_of_unknown_length_shows_what_is_done() -> None:
    assert Wait("a\nb.txt").line(65) == "a␊b.txt: 0 characters, 01:05"
    wait = Wait("b", 10)
    wait.done = 5
    assert wait.line(7).startswith("b:  50% ")
    assert wait.line(7).endswith("00:07 left")
    wait.done = 12345  # more than was expected
    assert wait.line(7) == "b: 12,345 characters, 00:07"
    growing = Wait("b", lambda: 10)
    growing.done = 5
    assert growing.line(7).startswith("b:  50% ")
    assert Wait("b", lambda: None).line(7) == "b: 0 characters, 00:07"
