import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.api import model as module
from charrnn.core.errors import CharRNNError, CheckpointError, UnknownCharacterError, UsageError
from charrnn.data.sources import bundled_corpus
from tests.helpers.command import ENVIRONMENT, NETWORK, ok

NAMES = ["CharRNNError", "EvalReport", "Model", "SaveReport", "StepReport", "load", "to_torch_state_dict"]
NAMES += ["train", "training_reports"]


def test_importing_the_package_does_not_import_numpy_until_it_is_needed() -> None:
    program = "import sys, charrnn; print('numpy' in sys.modules); charrnn.load; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")


def test_the_package_exports_exactly_these_names() -> None:
    assert charrnn.__all__ == NAMES
    assert [getattr(charrnn, name).__name__ for name in NAMES] == NAMES
    assert {*NAMES, "__version__"} <= {*dir(charrnn)}
    assert (Path(charrnn.__file__).parent / "py.typed").is_file()
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
        ({"temperature": "hot"}, "temperature 'hot': must be a number"),
        ({"length": 5.0}, "length 5.0: must be a whole number"),
        ({"length": "5"}, "length '5': must be a whole number"),
        ({"seed": 1.5}, "seed 1.5: must be a whole number"),
    ]:
        with pytest.raises(UsageError, match=words):
            loaded.sample("fox", **settings)  # type: ignore[arg-type]


def test_the_examples_run(work: Path) -> None:
    ok("train", *NETWORK, "--steps", 2, "-q", "-m", "plays")
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 25) == (0, True)


def test_the_examples_of_the_page_run(work: Path) -> None:
    Path("novel.txt").write_text(bundled_corpus().read_text("utf-8")[:20_000], "utf-8")
    page = Path(__file__).parents[2] / "docs" / "library.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert (result.failed, result.attempted > 25) == (0, True)


def test_characters_of_a_continuation_come_one_by_one(model: Path) -> None:
    loaded = charrnn.load("a")
    endless = loaded.continuation("fox", np.random.default_rng(3), temperature=1.0)
    again = loaded.continuation("fox", np.random.default_rng(3), temperature=1.0)
    assert [next(endless) for _ in range(70)] == [next(again) for _ in range(70)]


def test_values_of_another_type_are_refused_and_whole_numbers_of_numpy_are_not(model: Path) -> None:
    loaded = charrnn.load("a")
    assert loaded.sample("fox", np.int64(5), seed=np.uint8(3)) == loaded.sample("fox", 5, seed=3)  # type: ignore[arg-type]
    for call in (lambda: loaded.sample(b"fox"), lambda: loaded.score(None), lambda: charrnn.load(5)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="must be a"):
            call()
    for name in ("", "a\0b", "./a\0b.npz"):
        with pytest.raises(CharRNNError):
            charrnn.load(name)


@pytest.mark.parametrize(("text", "unknown"), [("", 0), ("猫猫", 2), ("\ufeff", 0), ("\ud800", 1)])
def test_a_text_without_a_known_character_has_no_mean(text: str, unknown: int, model: Path) -> None:
    score = charrnn.load("a").score(text)
    assert (score.chars, score.unknown) == (0, unknown)
    assert (score.nats_per_char, score.bits_per_char, score.perplexity, score.accuracy) == (None, None, None, None)


def test_the_text_of_a_form_is_read_like_a_file(model: Path) -> None:
    """Browsers send CR LF, and files of Windows begin with a byte-order mark."""
    loaded = charrnn.load("a")
    assert loaded.sample("\ufefffox\r\nhens", 9, seed=1) == loaded.sample("fox\nhens", 9, seed=1)
    assert loaded.score("\ufefffox\r\nhens\r\n") == loaded.score("fox\nhens\n")
    command = ("sample", "-n", 9, "--seed", 1, "-q", "-p")
    assert ok(*command, "\ufefffox\r\nhens").out == ok(*command, "fox\nhens").out


# ---- servers: processes and threads ----

SERVER = """
import multiprocessing, os, sys, threading
import charrnn
from charrnn.parallel import cores
cores.limit = 2
TEXT = "7 foxes than 3 hens. " * 1000
model = charrnn.load("a")
def scored(_=None):
    return charrnn.load("a").score(TEXT).nats
def forked():
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, repr(model.score(TEXT).nats).encode())
        os._exit(0)
    return float(os.read(reader, 100))
if __name__ == "__main__":
    expected = model.score(TEXT).nats  # starts threads
    found = []
    threads = [threading.Thread(target=lambda: found.append(scored())) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(60)
    found.append(forked())
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            found += pool.map_async(scored, [0]).get(60)
    print(len(found), all(abs(nats / expected - 1) < 1e-5 for nats in found))
"""


def test_forks_spawned_processes_and_threads_score_after_the_parent_has(model: Path) -> None:
    """As the workers of gunicorn --preload and ProcessPoolExecutor do."""
    Path("server.py").write_text(SERVER)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "server.py"]  # of 3.12, for a fork with threads
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("7 True\n", 0), done.stderr
