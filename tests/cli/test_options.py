import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from charrnn.checkpoint.paths import model_path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli import app
from tests.helpers.command import NETWORK, charrnn, ok, refused, start

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


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
