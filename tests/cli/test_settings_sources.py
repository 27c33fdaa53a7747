import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.settings_sources import toml_text, typed, use_file, use_preset
from charrnn.cli.train_settings import SETTINGS
from charrnn.core.errors import UsageError
from charrnn.training.presets import PRESETS
from tests.conftest import Run
from tests.helpers.command import NETWORK, charrnn, ok, refused


def context(*names: str) -> Any:
    """Return a stand-in for typer's context of a command with these options and an argument `corpus`."""
    options = [
        SimpleNamespace(name=name, opts=[f"--{name.replace('_', '-')}"], nargs=1, multiple=name == "ignore")
        for name in names
    ]
    corpus = SimpleNamespace(name="corpus", opts=["corpus"], nargs=-1, multiple=False)
    return SimpleNamespace(default_map=None, command=SimpleNamespace(params=[*options, corpus]))


# ---- what becomes a default ----


@pytest.mark.parametrize("file_first", [False, True])
def test_a_file_overrides_a_preset_in_either_order(tmp_path: Path, file_first: bool) -> None:
    path, given = tmp_path / "a.toml", context("dropout", "lr", "lines")
    path.write_text('dropout = 0.5\nlines = true\ncorpus = ["a.txt", "b c.txt"]\n')
    both = [partial(use_preset, given, "best"), partial(use_file, given, str(path))]
    for use in reversed(both) if file_first else both:
        use()
    best = {name: str(value) for name, value in PRESETS["best"].items()}
    expected = best | {"dropout": "0.5", "lines": "1", "corpus": ["a.txt", "b c.txt"]}
    assert given.default_map == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hidden-sizes = 3", "hidden-sizes is not an option that a file can set"),
        ('preset = "best"', "preset is not an option"),
        ("lr = [1]", "lr must be one value"),
        ("lr = 1979-05-27", "lr must be one value"),
        ('corpus = "a.txt"', "corpus must be a list"),
        ('ignore = "[0-9]+"', "ignore must be a list"),
        ("lr = ", "not a TOML file"),
        ("lr = 1\nlr = 2", "not a TOML file"),
    ],
)
def test_an_entry_that_is_no_option_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"--config {path}: {words}"):
        use_file(context("lr", "preset", "ignore"), str(path))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_settings_of_train_and_is_shown_as_options(name: str) -> None:
    assert {"optimizer"} <= PRESETS[name].keys() <= SETTINGS.keys()  # by default it depends on the text
    assert typed({"hidden_size": 3, "lines": True}) == "--hidden-size 3 --lines 1"


# ---- the command ----


def test_the_command_line_overrides_variables_and_these_the_file(work: Path) -> None:
    Path("s.toml").write_text("hidden-size = 11\nembed_size = 12\nseed = 3\nsteps = 2\nnum-layers = 1\nlr = 0.5\n")
    line = ("train", "a.txt", "--config", "s.toml", "--seed", 4, "-q")
    ok(*line, env={"CHARRNN_EMBED_SIZE": "13", "CHARRNN_LR": "0.25"})
    state = CheckpointStore(Path("checkpoints/a.npz")).load()
    network, run = state.model.config, state.config
    assert (network.hidden_size, network.embed_size, network.num_layers) == (11, 13, 1)
    assert (run.seed, run.lr, run.steps) == (4, 0.25, 2)
    ok(*line, "--epochs", 1, "--force")
    assert CheckpointStore(Path("checkpoints/a.npz")).load().config.budget == "1 epochs"


def test_a_preset_is_noted_and_overridden(work: Path) -> None:
    small = ("--hidden-size", 8, "--embed-size", 8, "--steps", 1, "--batch-size", 2, "--seq-len", 8)
    result = ok("train", "a.txt", "--preset", "fast", *small, "--json")
    assert f"preset fast: {typed(PRESETS['fast'])}\n" in result.err
    (start,) = result.events("start")
    assert {name: start[name] for name in PRESETS["fast"]} == PRESETS["fast"]
    assert start["hidden_size"] == 8
    refused(charrnn("train", "--preset", "slow"), 2, "--preset slow: must be fast or best")


def test_a_given_option_overrides_what_excludes_it_in_a_preset_or_a_file(work: Path) -> None:
    small = ("--hidden-size", 8, "--embed-size", 8, "--steps", 1, "--batch-size", 2, "--seq-len", 8, "--json", "-q")
    line = ("train", "a.txt", "--preset", "best", *small, "--force")
    typed_rate = ok(*line, "--variational-dropout", 0.25).start
    from_variable = ok(*line, env={"CHARRNN_VARIATIONAL_DROPOUT": "0.25"}).start
    for start in (typed_rate, from_variable):
        assert (start["dropout"], start["variational_dropout"], start["ensemble"]) == (0, 0.25, 4)


def test_values_of_a_file_are_checked_like_those_of_the_command_line(work: Path) -> None:
    Path("s.toml").write_text('lr = "x"\n')
    refused(charrnn("train", "a.txt", "--config", "s.toml"), 2, "--lr x: must be a number")
    refused(charrnn("train", "a.txt", "--config", "no.toml"), 1, "--config no.toml: No such file")


def test_the_settings_that_info_writes_give_the_same_model(trained: Run, model: Path) -> None:
    Path("s.toml").write_text(ok("info", "--toml", "a").text)
    ok("train", "a.txt", "--config", "s.toml", "-m", "again", "-q")
    assert Path("checkpoints/again.npz").read_bytes() == model.read_bytes()


def test_they_include_the_start_of_the_run_and_what_it_ignores(model: Path) -> None:
    Path("b.txt").write_text("".join(f"{n} hens and {n % 7} foxes\n" for n in range(400)))
    line = ("train", "b.txt", *NETWORK, "--lines", "--ignore", "[0-9]+", "--ignore", "and .", "--steps", 2, "-q")
    ok(*line, "-m", "b")
    for init_from in ("none", "b"):
        ok(
            "train",
            "b.txt",
            "--init-from",
            init_from,
            "--ignore",
            "f",
            "--lines",
            "--steps",
            2,
            "-q",
            "-m",
            "c",
            "--force",
        )
        Path("s.toml").write_text(ok("info", "--toml", "c").text)
        ok("train", "b.txt", "--config", "s.toml", "-m", "d", "-q", "--force")
        assert Path("checkpoints/d.npz").read_bytes() == Path("checkpoints/c.npz").read_bytes()
    values = tomllib.loads(ok("info", "--toml", "b").text)
    assert (values["init-from"], values["ignore"]) == ("none", ["[0-9]+", "and ."])
    assert tomllib.loads(ok("info", "--toml", "c").text)["init-from"] == "checkpoints/b.npz"


def test_what_is_typed_replaces_the_start_of_a_file_and_an_activation_for_another_cell(model: Path) -> None:
    Path("s.toml").write_text('init-from = "a"\ncell = "rnn"\nactivation = "relu"\nsteps = 1\n')
    start = ok(
        "train", "a.txt", "--config", "s.toml", "--cell", "lstm", "--hidden-size", 9, "-m", "b", "--json", "-q"
    ).start
    assert (start["cell"], start["hidden_size"], start["init_from"]) == ("lstm", 9, None)


def test_names_of_texts_are_one_comment_and_cannot_set_options(trained: Run) -> None:
    state = CheckpointStore(trained.model).load()
    state.origin = replace(state.origin, sources=("a.txt\nforce = true\n#", "b\udcff.txt"))
    assert "force" not in tomllib.loads(toml_text(state))


def test_the_settings_of_a_model_are_toml(trained: Run) -> None:
    state = CheckpointStore(trained.model).load()
    text = toml_text(state)
    values = tomllib.loads(text)
    assert text.startswith("# charrnn train a.txt --config FILE\n")
    assert (values["hidden-size"], values["steps"], values["lines"]) == (16, 40, False)
    assert "activation" not in values  # train refuses it for gated cells
    assert {name.replace("-", "_") for name in values} <= {*SETTINGS, "steps", "init_from"}
    assert str(NETWORK[0]) in {f"--{name}" for name in values}
