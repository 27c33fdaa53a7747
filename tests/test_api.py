import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn import api
from charrnn.core.errors import CheckpointError, UnknownCharacterError, UsageError
from tests.helpers.command import ENVIRONMENT, NETWORK, ok

NAMES = ["Model", "load", "to_torch_state_dict"]


def test_importing_the_package_does_not_import_numpy_until_it_is_needed() -> None:
    program = "import sys, charrnn; print('numpy' in sys.modules); charrnn.load; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")


def test_the_package_exports_exactly_these_names() -> None:
    assert charrnn.__all__ == NAMES
    assert [getattr(charrnn, name) for name in NAMES] == [api.Model, api.load, api.to_torch_state_dict]
    with pytest.raises(AttributeError, match="nothere"):
        _ = charrnn.nothere


@pytest.mark.parametrize("args", [[], ["-t", 0], ["-p", "fox", "-t", 1.5]], ids=str)
def test_a_sample_equals_that_of_the_command(model: Path, args: list[object]) -> None:
    command = dict(zip(args[::2], args[1::2], strict=True))
    text = ok("sample", "-m", "a", "-n", 60, "--seed", 5, "-q", *args).text
    loaded = charrnn.load("a")
    settings = {"temperature": command["-t"]} if "-t" in command else {}
    assert loaded.sample(str(command.get("-p", "")), 60, seed=5, **settings) + "\n" == text  # type: ignore[arg-type]
    assert charrnn.load(model).sample("", 0) == ""


def test_without_a_seed_samples_differ(model: Path) -> None:
    loaded = charrnn.load("checkpoints/a.npz")
    assert loaded.sample("", 60) != loaded.sample("", 60)


def test_a_score_equals_that_of_the_command(model: Path) -> None:
    text = "3 größere foxes 猫 than hens.\n"
    Path("t.txt").write_text(text)
    (record,) = ok("eval", "-m", "a", "--json", "-q", "t.txt").records
    score = charrnn.load("a").score(text)
    assert (score.chars, score.unknown) == (record["chars"], record["unknown"]) == (len(text) - 1, 1)
    assert score.bits_per_char == pytest.approx(record["bits_per_char"], rel=1e-6)
    assert charrnn.load("a").score("").chars == 0


def test_texts_are_normalized_and_the_unknown_symbol_is_never_sampled(work: Path) -> None:
    settings = ("--normalize", "nfd", "--min-count", 200, "--steps", 2, "-m", "d")
    ok("train", "a.txt", *NETWORK, *settings)
    model = charrnn.load("d")
    assert model.vocab.unknown
    assert model.sample("größ", 0) == "gro\u0308ß"
    assert "\ufffd" not in model.sample("", 400, seed=1, temperature=5.0)
    assert model.score("größ").chars == 5


def test_invalid_arguments_are_refused_with_a_message(model: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoints/nothere\.npz: No such file"):
        charrnn.load("nothere")
    loaded = charrnn.load("a")
    with pytest.raises(UnknownCharacterError, match=r"U\+732B 猫"):
        loaded.sample("猫")
    for settings, words in [
        ({"length": -1}, "length -1"),
        ({"seed": -2}, "seed -2"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"temperature": math.nan}, "temperature nan"),
    ]:
        with pytest.raises(UsageError, match=words):
            loaded.sample("fox", **settings)  # type: ignore[arg-type]


def test_the_examples_run(work: Path) -> None:
    ok("train", *NETWORK, "--steps", 2, "-q", "-m", "plays")
    result = doctest.testmod(api)
    assert (result.failed, result.attempted > 9) == (0, True)


def test_the_examples_of_the_page_run(work: Path) -> None:
    ok("train", *NETWORK, "--steps", 2, "-q", "-m", "plays")
    page = Path(__file__).parents[1] / "docs" / "library.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert (result.failed, result.attempted > 4) == (0, True)


def test_characters_of_a_continuation_come_one_by_one(model: Path) -> None:
    loaded = charrnn.load("a")
    endless = loaded.continuation("fox", np.random.default_rng(3), temperature=1.0)
    again = loaded.continuation("fox", np.random.default_rng(3), temperature=1.0)
    assert [next(endless) for _ in range(70)] == [next(again) for _ in range(70)]
