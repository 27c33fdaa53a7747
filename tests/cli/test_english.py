"""The English model that comes with the program: without a model of one's own, and as the start of training."""

from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.paths import english_model
from charrnn.checkpoint.store import CheckpointStore
from charrnn.data.sources import bundled_corpus
from tests.helpers.command import ok

VERSE = bundled_corpus().read_text()[5000:12000]
QUICK = ("--steps", 1, "--batch-size", 2, "--seq-len", 8, "--threads", 1)


@pytest.mark.parametrize("name", ["sample", "info", "eval"])
def test_without_a_model_the_english_one_is_used_and_a_note_says_so(work: Path, name: str) -> None:
    result = ok(name, *{"sample": ("-n", "20"), "info": (), "eval": ("a.txt",)}[name])
    assert result.err.startswith("checkpoints: no models yet: using the English model that comes with the program; ")
    assert result.out
    assert not Path("checkpoints").exists()


def test_it_has_a_name_that_a_model_in_the_folder_takes_over(work: Path) -> None:
    line = ("-n", 60, "-p", "It was a", "--seed", 1, "-q")
    text = ok("sample", "english", *line).text
    assert text.startswith("It was a")
    assert ok("sample", "-m", "english", *line).text == text
    Path("a.txt").write_text(VERSE)
    ok("train", "a.txt", "-m", "english", "--hidden-size", 4, "--num-layers", 1, *QUICK, "-q")
    assert ok("sample", "english", *line).text != text


def test_a_small_text_starts_from_it_and_a_note_says_so(work: Path) -> None:
    Path("small.txt").write_text(VERSE)
    note = "starting from the English model that comes with the program; --init-from none for random weights\n"
    first = ok("train", "small.txt", *QUICK, "--lr", 1e-9, "--json")
    assert note in first.err
    assert first.start["init_from"] == "english"
    random = ok("train", "small.txt", *QUICK, "--lr", 1e-9, "--init-from", "none", "-m", "b", "--json")
    assert note not in random.err
    assert random.start["init_from"] is None
    best = [result.records[-1]["val_bits_per_char"] for result in (first, random)]
    assert best[0] < 3 < 5 < best[1]
    ok("train", "small.txt", *QUICK, "--lr", 1e-9, "--init-from", "english", "-m", "c", "-q")
    chosen, named = (CheckpointStore(Path(f"checkpoints/{name}.npz")).load() for name in ("small", "c"))
    assert chosen.init_from == named.init_from == "english"
    assert chosen.model.vector.tobytes() == named.model.vector.tobytes()


@pytest.mark.parametrize("given", [(), ("--init-from", "english")])
def test_several_networks_all_start_from_it(work: Path, given: tuple[str, ...]) -> None:
    Path("a.txt").write_text(VERSE)
    known = CheckpointStore(english_model()).load_model()[0].params["layers.1.W_hh"]
    ok("train", "a.txt", *QUICK, "--lr", 1e-9, "-m", "a", *given, "--ensemble", 3)
    networks = CheckpointStore(Path("checkpoints/a.npz")).load().model.networks
    assert len(networks) == 3
    for network in networks:
        np.testing.assert_allclose(network.params["layers.1.W_hh"], known, atol=1e-6)


def test_it_resumes_like_any_run(work: Path) -> None:
    Path("a.txt").write_text(VERSE)
    line = (
        "train",
        "a.txt",
        "--batch-size",
        2,
        "--seq-len",
        8,
        "--threads",
        1,
        "-q",
        "--warmup",
        0,
        "--schedule",
        "constant",
    )
    ok(*line, "--steps", 4, "--eval-every", 4, "-m", "whole")
    ok(*line, "--steps", 2, "--eval-every", 4, "-m", "parts", "--resume")
    ok(*line, "--steps", 4, "--eval-every", 4, "-m", "parts", "--resume")
    whole, parts = (CheckpointStore(Path(f"checkpoints/{name}.npz")).load() for name in ("whole", "parts"))
    assert whole.init_from == parts.init_from == "english"
    assert whole.model.vector.tobytes() == parts.model.vector.tobytes()


def test_a_text_from_a_pipe_starts_from_it_too(work: Path) -> None:
    Path("a.txt").write_text(VERSE)
    piped = ok("train", "-", *QUICK, "-m", "piped", "--json", input=VERSE.encode())
    assert piped.start["init_from"] == "english"
    ok("train", "a.txt", *QUICK, "-m", "named", "-q")
    ok("train", "-", *QUICK[2:], "--steps", 2, "-m", "piped", "--resume", "-q", input=VERSE.encode())
    ok("train", *QUICK[2:], "--steps", 2, "-m", "named", "--resume", "-q")
    one, other = (CheckpointStore(Path(f"checkpoints/{name}.npz")).load() for name in ("piped", "named"))
    assert one.step == other.step == 2
    assert one.model.vector.tobytes() == other.model.vector.tobytes()


@pytest.mark.parametrize("args", [("--hidden-size", 8), ("--cell", "lstm", "--num-layers", 1), ("--lines",)], ids=str)
def test_another_network_starts_from_random_weights(work: Path, args: tuple[object, ...]) -> None:
    Path("a.txt").write_text(VERSE)
    assert ok("train", "a.txt", *args, *QUICK, "--json").start["init_from"] is None
