import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command

from charrnn.checkpoint.paths import model_path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli import app
from charrnn.cli.options import UNITS, duration, in_units
from charrnn.core.errors import UsageError
from tests.helpers.command import NETWORK, charrnn, ok, refused, start

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


# ---- times ----


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_time_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text, seconds = "".join(f"{n}{unit}" for n, unit in parts), sum(n * UNITS[unit] for n, unit in parts)
    if seconds:
        assert duration(text, "--time") == seconds
    else:
        with pytest.raises(UsageError, match=f"--time {text}"):
            duration(text, "--time")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("30s", 30), ("0.5m", 30), ("1h30m", 5400)])
def test_the_formats_of_a_time(text: str, seconds: float) -> None:
    assert duration(text, "--time") == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1e3", "nan", "inf", "3x", "m", "3m5", "3 m", "3m,", "٣", "1.", ".5s", "9" * 400]
)
def test_an_invalid_time_is_refused_with_the_name_of_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--time {text}"):
        duration(text, "--time")


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.floats(0.1, 10**8))
def test_a_time_is_written_in_the_format_that_is_read(seconds: float) -> None:
    assert duration(in_units(seconds), "--time") == pytest.approx(seconds, rel=0.03, abs=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0.0s"), (4.25, "4.2s"), (59.97, "1m"), (185.4, "3m5s"), (3599.7, "1h"), (5400, "1h30m")],
        *[(86399, "24h"), (200_000, "2d8h")],
    ],
)
def test_times_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert in_units(seconds) == text


# ---- models ----


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("x", "models/x.npz"),
        ("x.y", "models/x.y.npz"),
        ("x.npz", "x.npz"),
        ("./x", "x"),
        ("sub/x", "sub/x"),
        ("/x", "/x"),
        ("größe", "models/größe.npz"),
    ],
)
def test_a_name_is_a_path_or_in_the_folder_of_models(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    monkeypatch.setenv("CHARRNN_CHECKPOINTS", "models")
    assert model_path(name) == Path(path)
    monkeypatch.setenv("CHARRNN_CHECKPOINTS", "")
    assert model_path(name) == Path(path.replace("models", "checkpoints"))


def test_without_a_name_the_newest_model_is_used_and_noted(model: Path) -> None:
    data = model.read_bytes()
    for age, path in enumerate(["checkpoints/b.npz", "checkpoints/c.npz", "checkpoints/.d.npz.1.tmp", "e.npz"]):
        Path(path).write_bytes(data)
        os.utime(path, (2e9 - age, 2e9 - age))
    for args in (["sample", "-n", 1, "--seed", 0], ["eval"], ["info"]):
        assert ok(*args).err.splitlines()[0] == "model: checkpoints/b.npz"
    assert ok("info", "-m", "c").err == ok("info", "-q").err == ""
    elsewhere = ok("info", "--json", env={"CHARRNN_MODEL": "e.npz"})
    assert (elsewhere.err, elsewhere.records[0]["path"]) == ("", "e.npz")


# ---- sources of a value ----


def setting_of(option: str, *args: object, **env: str) -> Any:
    """Return a setting of train, from its start event."""
    with start("train", "a.txt", "--num-layers", 1, "--json", "-q", *args, env=env) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.kill()
    return json.loads(line)[option]


def test_the_command_line_takes_precedence_over_variables_and_those_over_defaults(work: Path) -> None:
    assert setting_of("hidden_size", "-m", 1) == 256
    assert setting_of("hidden_size", "-m", 2, CHARRNN_HIDDEN_SIZE="12") == 12
    assert setting_of("hidden_size", "-m", 3, "--hidden-size", 14, CHARRNN_HIDDEN_SIZE="12") == 14


def test_variables_change_of_a_run_what_a_resume_may_change(model: Path) -> None:
    line = ("train", "--resume", "--steps", 40, "--json", "-q", "-m", "a")
    assert ok(*line).records[0]["hidden_size"] == 16
    assert ok(*line, env={"CHARRNN_LR": "0.5"}).records[0]["lr"] == 0.5
    assert ok(*line, env={"CHARRNN_HIDDEN_SIZE": "12"}).records[0]["hidden_size"] == 16
    refused(charrnn(*line, "--hidden-size", 12), 1, "--hidden-size was 16, not 12")


@pytest.mark.parametrize("budget", [["--epochs", 1], ["--steps", 9]])
def test_a_budget_on_the_command_line_takes_precedence_over_variables(work: Path, budget: list[object]) -> None:
    env = {"CHARRNN_STEPS": "3", "CHARRNN_TIME": "1h"}
    assert ok("train", "a.txt", *NETWORK, *budget, "--json", "-q", env=env).records[0]["steps"] == 9


def test_switches_have_variables(model: Path) -> None:
    assert ok("info", env={"CHARRNN_QUIET": "1"}).err == ""
    assert ok("info", env={"CHARRNN_QUIET": "0"}).err != ""
    assert charrnn("info", "-m", "x", env={"CHARRNN_DEBUG": "1"}).err.startswith("Traceback")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_variable(name: str) -> None:
    flags = {
        next(text for text in option.opts if text.startswith("--")): option.envvar
        for option in COMMANDS[name].params
        if option.param_type_name == "option"
    }
    assert flags == {flag: f"CHARRNN_{flag[2:].upper().replace('-', '_')}" for flag in flags}


def test_threads_are_set_before_the_matrix_library_starts(work: Path) -> None:
    three = "import os; os.sched_getaffinity = lambda _: {0, 1, 2}"
    ok("train", "a.txt", *NETWORK, "--steps", 1, "--threads", 3, "-q", prelude=three)
    assert CheckpointStore(Path("checkpoints/a.npz")).load().environment["threads"] == "3"


@pytest.mark.parametrize(("given", "used"), [("1000", 3), ("2", 2), (None, None)])
def test_no_more_cores_are_used_than_there_are(model: Path, given: str | None, used: int | None) -> None:
    three = "import os; os.sched_getaffinity = lambda _: {0, 1, 2}\n"
    shown = "import atexit; from charrnn.parallel import cores; atexit.register(lambda: print(cores.limit))"
    threads = () if given is None else ("--threads", given)
    assert ok("sample", "-n", 0, "-q", *threads, prelude=three + shown).text.strip() == str(used)
