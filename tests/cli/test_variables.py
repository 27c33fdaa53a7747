"""Variables give defaults: they never contradict what is typed, and an error names them."""

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.helpers.command import NETWORK, charrnn, ok, refused

SAMPLE = ("sample", "-m", "a", "-n", 9, "--seed", 1, "-q")


@pytest.mark.parametrize(
    ("env", "typed"),
    [
        ({"CHARRNN_PROMPT": "fox"}, ("--prompt-file", "p.txt")),
        ({"CHARRNN_PROMPT_FILE": "nothere"}, ("-p", "hens")),
        ({"CHARRNN_STOP": "e"}, ("--regex", "[a-h]+")),
        ({"CHARRNN_REGEX": "[a-h]+"}, ("--stop", "e")),
    ],
)
def test_a_typed_option_beats_the_variable_of_one_that_excludes_it(
    env: dict[str, str], typed: tuple[str, ...], model: Path
) -> None:
    Path("p.txt").write_text("hens")
    assert ok(*SAMPLE, *typed, env=env) == ok(*SAMPLE, *typed)


def test_a_typed_form_of_dropout_beats_the_variable_of_the_other(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 2, "--json", "-q", "--variational-dropout", 0.25)
    start = ok(*line, env={"CHARRNN_DROPOUT": "0.5", "CHARRNN_EPOCHS": "3"}).start
    assert (start["dropout"], start["variational_dropout"], start["steps"]) == (0.0, 0.25, 2)


def test_a_typed_mode_of_eval_beats_the_variable_of_another(model: Path) -> None:
    result = ok("eval", "--next", 1, "-q", "a.txt", env={"CHARRNN_LINES": "1"})
    assert result == ok("eval", "--next", 1, "-q", "a.txt")


@pytest.mark.parametrize(
    ("env", "args"),
    [
        ({"CHARRNN_AGAINST_BASELINES": "1"}, ("--lines",)),
        ({"CHARRNN_AGAINST": "a"}, ("--per-char",)),
        ({"CHARRNN_AGAINST": "a"}, ("--lines", "--threshold", 4)),
        ({"CHARRNN_SUMMARY": "3"}, ("--lines", "--against", "a")),
        ({"CHARRNN_JSON": "1"}, ("--lines", "--threshold", 4, "--context", 2)),
    ],
)
def test_a_typed_option_of_eval_beats_the_variable_of_one_that_excludes_it(
    env: dict[str, str], args: tuple[object, ...], model: Path
) -> None:
    assert ok("eval", "-m", "a", "-q", "a.txt", *args, env=env) == ok("eval", "-m", "a", "-q", "a.txt", *args)


def test_a_resume_keeps_the_network_of_its_file(trained: Run, model: Path) -> None:
    before = model.read_bytes()
    env = {"CHARRNN_HIDDEN_SIZE": "99", "CHARRNN_SEED": "7", "CHARRNN_CELL": "lstm"}
    ok("train", "a.txt", "--steps", 40, "--resume", "-q", env=env)
    assert model.read_bytes() == before
    fresh = ok(
        "train", "a.txt", "--steps", 1, "-m", "new", "--resume", "--json", "-q", env={"CHARRNN_HIDDEN_SIZE": "9"}
    )
    assert fresh.start["hidden_size"] == 9
    typed = charrnn("train", "a.txt", "--steps", 40, "--resume", "-q", "--hidden-size", 99, env=env)
    refused(typed, 1, "--hidden-size was 16, not 99")
    warm = ok("train", "a.txt", "--steps", 1, "-m", "warm", "--init-from", "a", "--json", "-q", env=env)
    assert (warm.start["hidden_size"], warm.start["cell"], warm.start["seed"]) == (16, "gru", 7)


def test_a_variable_with_the_name_of_a_command_acts_on_it_alone_and_comes_first(model: Path) -> None:
    env = {"CHARRNN_EVAL_LINES": "1", "CHARRNN_TRAIN_SEED": "7", "CHARRNN_SEED": "8"}
    start = ok("train", "a.txt", *NETWORK, "--steps", 1, "-m", "b", "--json", "-q", env=env).start
    assert (start["seed"], start["holdout"]) == (7, "tail")
    assert ok("eval", "-m", "a", "a.txt", "-q", env=env) == ok("eval", "-m", "a", "a.txt", "-q", "--lines")
    line = ("sample", "-m", "a", "-n", 9, "-q")
    assert ok(*line, env=env) == ok(*line, "--seed", 8)
    failed = charrnn("train", "a.txt", "-q", env={"CHARRNN_TRAIN_HIDDEN_SIZE": "big", "CHARRNN_HIDDEN_SIZE": "8"})
    refused(failed, 2, "(CHARRNN_TRAIN_HIDDEN_SIZE in the environment)")


def test_a_named_model_beats_the_variable_of_the_model(model: Path) -> None:
    env = {"CHARRNN_MODEL": "nothere"}
    assert ok("sample", "a", "-n", 9, "--seed", 1, "-q", env=env) == ok("sample", "a", "-n", 9, "--seed", 1, "-q")
    assert ok("info", "a", "--toml", env=env) == ok("info", "a", "--toml")
    assert ok("info", "--all", env=env).text.startswith("a\t")


def test_a_resume_keeps_what_variables_of_other_runs_would_change(trained: Run, model: Path) -> None:
    before = model.read_bytes()
    Path("s.toml").write_text('hidden-size = 99\nseed = 7\nignore = ["[0-9]"]\n')
    for env in ({"CHARRNN_PRESET": "fast"}, {"CHARRNN_CONFIG": "s.toml"}, {"CHARRNN_IGNORE": "[0-9]"}):
        ok("train", "a.txt", "--steps", 40, "--resume", "-q", env=env)
        assert model.read_bytes() == before
    refused(charrnn("train", "a.txt", "--steps", 40, "--resume", "-q", "--preset", "fast"), 1, "--optimizer was adamw")


def test_a_value_with_blanks_is_one_value(model: Path) -> None:
    Path("checkpoints/a b.npz").write_bytes(model.read_bytes())
    result = ok("eval", "-m", "a", "-q", "a.txt", env={"CHARRNN_AGAINST": "a b"})
    assert result == ok("eval", "-m", "a", "-q", "a.txt", "--against", "a b")
    assert ok(*SAMPLE, env={"CHARRNN_STOP": "s h"}) == ok(*SAMPLE, "--stop", "s h")


@pytest.mark.parametrize(
    ("env", "args"),
    [
        ({"CHARRNN_HIDDEN_SIZE": "big"}, ("train", "a.txt")),
        ({"CHARRNN_TEMPERATURE": "-1"}, ("sample",)),
        ({"CHARRNN_THRESHOLD": "4"}, ("eval", "a.txt")),
    ],
)
def test_an_error_names_the_variable(env: dict[str, str], args: tuple[str, ...], model: Path) -> None:
    (name,) = env
    result = charrnn(*args, "-q", env=env)
    refused(result, 2, f"({name} in the environment)")
    option = "--" + name.removeprefix("CHARRNN_").lower().replace("_", "-")
    typed = charrnn(*args, "-q", option, env[name])
    assert typed.err == result.err.replace(f" ({name} in the environment)", "")
