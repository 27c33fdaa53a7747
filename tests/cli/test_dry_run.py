import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.helpers.command import NETWORK, TEXT, Result, charrnn, contents, ok, on_terminal, refused

DRY = ("train", "a.txt", *NETWORK, "--dry-run")
ROWS = (
    *("model", "text", "network", "parameters", "memory", "characters", "vocabulary", "window", "steps", "epochs"),
    *("speed", "time", "verdict"),
)
ESTIMATE = {
    *("event", "parameters", "memory_bytes", "train_chars", "val_chars", "epochs", "chars_per_second", "seconds"),
    *("fit", "suitable_hidden_size"),
}


def rows(result: Result) -> dict[str, str]:
    return dict(line.split("\t") for line in result.text.splitlines())


def planned(*args: object) -> dict[str, Any]:
    (event,) = ok(*args, "--json", "-q").records
    return event


def test_rows_show_what_would_be_done(work: Path) -> None:
    plan = rows(ok(*DRY, "--steps", 40))
    assert tuple(plan) == ROWS
    to_train = int(0.9 * len(TEXT))
    assert (
        plan.items()
        >= {
            "model": "checkpoints/a.npz",
            "text": "a.txt",
            "network": "gru, 1 x 16",
            "characters": f"{to_train:,} for training, {len(TEXT) - to_train:,} held out",
            "vocabulary": f"{len(set(TEXT))} symbols",
            "window": "10 x 64",
            "steps": "40",
            "verdict": "the network suits the text",
        }.items()
    )
    assert re.fullmatch(r"\d+\.\ds|(\d+[hms])+", plan["time"])


def test_json_is_one_plan_with_the_settings_of_the_run(trained: Run, work: Path) -> None:
    plan, start = planned(*DRY, "--steps", 40), trained.result.records[0]
    assert plan.items() >= {name: value for name, value in start.items() if name not in ("event", "chars")}.items()
    assert plan.keys() - start.keys() | {"event", "parameters"} == ESTIMATE
    assert (plan["event"], plan["train_chars"] + plan["val_chars"]) == ("plan", start["chars"])


@pytest.mark.parametrize(
    ("options", "steps"), [(["--resume"], 40), (["--resume", "--steps", 60], 60), (["--force", "--steps", 5], 5)]
)
def test_with_a_model_the_plan_is_to_resume_or_to_replace_it(options: list[object], steps: int, model: Path) -> None:
    before = contents(Path())
    plan = planned(*DRY, *options)
    assert contents(Path()) == before
    assert (plan["steps"], plan["step"]) == (steps, 0 if "--force" in options else 40)
    assert (plan["seconds"] == 0) == (steps == 40)
    assert rows(ok(*DRY, *options))["steps"] == ("5" if "--force" in options else f"{steps}, 40 of them done")


@pytest.mark.parametrize("options", [[], ["--resume"], ["--time", "1s"], ["-m", "b.npz", "--epochs", 2]], ids=str)
def test_nothing_is_changed_on_disk(options: list[object], work: Path) -> None:
    times = os.stat(work).st_mtime_ns
    ok(*DRY, *options)
    assert (list(contents(work)), os.stat(work).st_mtime_ns) == (["a.txt"], times)


def test_the_part_of_the_held_out_text_that_validations_score_is_shown(work: Path) -> None:
    prelude = "import charrnn.core.config\ncharrnn.core.config.VALIDATION_CHARS = 300"
    held_out = len(TEXT) - int(0.9 * len(TEXT))
    characters = rows(ok(*DRY, "--steps", 40, prelude=prelude))["characters"]
    assert characters.endswith(f", {held_out:,} held out, the first 300 scored per validation")
    part = "; of the first 300 characters held out"
    result = on_terminal("train", "a.txt", *NETWORK, "--steps", 2, streams="stderr", columns=200, prelude=prelude)
    assert part in result.err
    assert part in ok("info", prelude=prelude).text
    assert part not in ok("info").text
    (scored,) = ok("eval", "--json", prelude=prelude).records
    assert scored["chars"] == held_out


def test_a_budget_in_seconds_is_converted_to_steps(work: Path) -> None:
    plan = planned(*DRY, "--time", "20s")
    assert plan["budget"] == "20 seconds"
    assert plan["steps"] > 1  # a budget in seconds is one step until the speed is measured
    assert plan["seconds"] > 0


def test_a_network_of_the_wrong_size_is_reported_with_a_size_that_suits(work: Path) -> None:
    line = ("train", "a.txt", "--embed-size", 8, "--num-layers", 1, "--dry-run", "--hidden-size")
    large = rows(ok(*line, 400))["verdict"]
    assert large.startswith("too large for the text: --hidden-size ")
    size = large.split()[-2]
    assert rows(ok(*line, size))["verdict"] == "the network suits the text"
    small = rows(ok(*line, 1, "--embed-size", 1))["verdict"]
    assert small.startswith("too small for the text: --hidden-size 16 ")
    none = rows(ok(*line, 200, "--embed-size", 16000))["verdict"]
    assert none == "too large for the text at any --hidden-size"


def test_what_training_would_refuse_is_refused(model: Path) -> None:
    before = contents(Path())
    refused(charrnn(*DRY), 1, "checkpoints/a.npz", "already exists", "--resume", "--force")
    refused(charrnn(*DRY, "--resume", "--hidden-size", 17), 1, "--hidden-size was 16, not 17")
    refused(charrnn(*DRY, "-m", "missing/b"), 1, "missing/b", "no such folder")
    refused(charrnn(*DRY, "-m", "./a.txt"), 2, "corpus")
    refused(charrnn(*DRY, "-m", "b", "--seq-len", 6000), 1, "too few")
    assert contents(Path()) == before


def test_notes_on_the_text_go_to_stderr(work: Path) -> None:
    Path("a.txt").write_text(TEXT.replace("\n", "\r\n"))
    assert ok(*DRY).err == "a.txt: CR LF became LF\n"
    assert ok(*DRY, "-q").err == ""


@pytest.mark.parametrize("more", [("--dry-run",), ()])
def test_a_network_that_needs_more_memory_than_there_is_is_refused_before_it_is_made(
    more: tuple[str, ...], work: Path
) -> None:
    gigabyte = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))"
    line = ("train", "a.txt", "--hidden-size", 16384, "--steps", 1, "-q", *more)
    result = charrnn(*line, prelude=gigabyte)
    refused(result, 1, "training needs ", " GB of memory, and 0.", "GB are available: use a smaller --hidden-size")
    assert 30 < float(result.err.split()[3]) < 90
    assert contents(work).keys() == {"a.txt"}
