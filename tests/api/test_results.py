"""Scores, likely characters, surprisal, history, copies and exports from Python: as the command has them."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError, UsageError
from tests.helpers.command import NETWORK, ok

TEXT = "3 größere foxes 猫 than hens.\n"


@pytest.fixture
def loaded(model: Path) -> charrnn.Model:
    Path("t.txt").write_text(TEXT * 2)
    return charrnn.load("a")


@pytest.mark.parametrize("score", ["mean", "sum", "max", "peak", "peak:3"])
def test_lines_are_scored_as_by_the_command(loaded: charrnn.Model, score: str) -> None:
    text = TEXT + "7 foxes\n\nlast"
    Path("lines.txt").write_text(text)
    records = ok("eval", "-m", "a", "--lines", "--score", score, "--json", "-q", "lines.txt").records
    found = list(loaded.score_lines(text, score=score))
    key = "bits_per_char" if score == "mean" else "score_bits"
    assert [line.text for line in found] == [record["line"] for record in records]
    assert [line.score.chars for line in found] == [record["chars"] for record in records]
    if score != "mean":
        assert [line.bits for line in found] == [record[key] for record in records]
    assert [line.bits for line in loaded.score_lines(text.split("\n"), score=score)][:3] == [
        line.bits for line in found[:3]
    ]


def test_what_is_ignored_costs_nothing(loaded: charrnn.Model) -> None:
    (plain,), (ignored,) = (list(loaded.score_lines(["7 foxes"], ignore=each)) for each in ((), "[0-9]"))
    assert (plain.score.chars, ignored.score.chars) == (8, 7)
    with pytest.raises(UsageError, match="--score median"):
        loaded.score_lines("x", score="median")


def test_the_threshold_is_that_of_the_alarms_of_the_command(work: Path) -> None:
    ok("train", "a.txt", *NETWORK, "--steps", 30, "--lines", "--val-fraction", 0.6, "-q")
    model = charrnn.load("a")
    lines = list(model.score_lines(Path("a.txt").read_text(), score="peak"))
    unusual = [line.text for line in lines if line.bits is not None and line.bits > model.threshold(0.1)]
    assert 0 < len(unusual) < len(lines)
    assert (
        "".join(f"{line}\n" for line in unusual) == ok("eval", "--lines", "--threshold", "auto:0.1", "a.txt", "-q").text
    )
    with pytest.raises(CheckpointError, match="has no calibrated threshold for --score peak:3"):
        model.threshold(score="peak:3")
    for rate in (0, 1, -0.5):
        with pytest.raises(UsageError, match=f"rate {rate}: must be above 0 and below 1"):
            model.threshold(rate)


def test_surprisal_is_that_of_per_char(loaded: charrnn.Model) -> None:
    records = ok("eval", "-m", "a", "--per-char", "--json", "-q", "t.txt").records
    found = loaded.surprisal(TEXT * 2)
    assert [character for character, _ in found] == [record["char"] for record in records]
    assert [None if math.isnan(bits) else bits for bits in found.bits] == [record["bits"] for record in records]
    assert len(found) == 2 * len(TEXT)
    assert repr(found).startswith("<Surprisal of 58 characters, ")
    assert repr(loaded.surprisal("猫")) == "<Surprisal of 1 characters>"
    score = loaded.score(TEXT)
    assert loaded.surprisal(TEXT).bits[[c != "猫" for c in TEXT]].mean() == pytest.approx(score.bits_per_char)


def test_the_next_characters_are_those_of_the_command(loaded: charrnn.Model) -> None:
    records = ok("eval", "-m", "a", "--next", 4, "--json", "-q", "t.txt").records
    found = loaded.next(TEXT * 2, 4)
    assert [tuple(each) for each in found] == [(r["char"], r["probability"], r["bits"]) for r in records]
    assert len(loaded.next()) == 5
    assert loaded.next("fox", 0) == []


def test_the_history_has_the_validations_of_the_file(loaded: charrnn.Model) -> None:
    (record,) = ok("info", "a", "--json").records
    assert [each._asdict() for each in loaded.history] == record["history"]
    assert len(loaded.history) > 5


def test_a_copy_is_a_whole_run(loaded: charrnn.Model) -> None:
    copy = loaded.save("b")
    assert (copy.path, copy.name) == (Path("checkpoints/b.npz"), "b")
    assert copy.path.read_bytes() == Path("checkpoints/a.npz").read_bytes()
    with pytest.raises(CheckpointError, match="already exists"):
        loaded.save("b")
    with pytest.raises(UsageError, match="is the model itself"):
        loaded.save("a", force=True)
    loaded.save(Path("checkpoints/b.npz"), force=True)
    assert CheckpointStore(charrnn.train(model="b", resume=True, more=1).path).load().step == 41


def test_a_copy_of_the_english_model_makes_the_folder_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert charrnn.load("english").save("mine").path == Path("checkpoints/mine.npz")


def test_a_file_that_has_another_network_by_now_is_not_taken_for_the_loaded_one(loaded: charrnn.Model) -> None:
    charrnn.train(model="a", resume=True, more=40, lr=0.01)
    for use in (loaded.threshold, lambda: loaded.save("b"), lambda: loaded.export("m.html")):
        with pytest.raises(CheckpointError, match="a: has been replaced by another network: load it again"):
            use()
    assert not Path("checkpoints/b.npz").exists()
    assert not Path("m.html").exists()


@pytest.mark.parametrize(
    ("name", "options", "command"),
    [
        ("m.npz", {}, []),
        ("m.npz", {"dtype": "f4"}, ["--dtype", "f4"]),
        ("m.html", {}, []),
        ("m.safetensors", {"dtype": "f2"}, ["--dtype", "f2"]),
    ],
    ids=str,
)
def test_an_export_is_that_of_the_command(
    loaded: charrnn.Model, name: str, options: dict[str, Any], command: list[str]
) -> None:
    assert loaded.export(name, **options) == Path(name)
    shutil.move(name, "own")
    ok("export", "-m", "a", name, *command)
    assert sorted(Path("own").read_bytes()) == sorted(Path(name).read_bytes())  # the order of a header may differ
    with pytest.raises(CheckpointError, match="already exists"):
        loaded.export(name)
    with pytest.raises(UsageError, match="dtype f8: must be f2 or f4"):
        loaded.export(name, dtype="f8", force=True)
    with pytest.raises(UsageError, match=r"must end in \.npz"):
        loaded.export("m.pt")


def test_the_english_model_has_its_name(work: Path) -> None:
    assert charrnn.load("english").path.name == "english.npz"
