"""charrnn train --init-from, run as a command."""

import shutil
import signal
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import TEXT, charrnn, contents, finish, ok, read_until, refused, start

NEW = "Élan, " + TEXT.replace("fox", "wolf") + "Ω\n"
LINE = ("train", "b.txt", "--init-from", "a", "--steps", 30)


@pytest.fixture(autouse=True)
def second_text(model: Path) -> None:
    Path("b.txt").write_text(NEW)


def test_it_starts_from_the_best_weights_on_a_text_with_more_symbols() -> None:
    result = ok(*LINE, "--json")
    first, done = result.records[0], result.records[-1]
    assert (
        first.items()
        >= {
            "model": "checkpoints/b.npz",
            "init_from": "checkpoints/a.npz",
            "step": 0,
            "hidden_size": 16,
            "num_layers": 1,
            "vocabulary_size": len({*TEXT, *NEW}),
        }.items()
    )
    new = len({*NEW} - {*TEXT})
    assert f"checkpoints/a.npz: starting from its best weights; symbols new to it: {new}\n" in result.err
    assert 0.001 < CheckpointStore(Path("checkpoints/b.npz")).load().config.lr < 0.004  # it predicts the text in part
    (held_out,) = ok("eval", "-m", "b", "--json", "-q").records  # its text is read with the symbols that it adds
    assert held_out["nats_per_char"] == done["val_nats_per_char"]
    (info,) = ok("info", "-m", "b", "--json").records
    assert (info["init_from"], info["vocabulary_size"]) == ("checkpoints/a.npz", first["vocabulary_size"])
    assert "started from      checkpoints/a.npz\n" in ok("info", "-m", "b").text
    assert "started from" not in ok("info", "-m", "a").text


def test_before_it_has_learnt_anything_it_has_the_scores_of_the_source() -> None:
    ok("train", "a.txt", "--init-from", "./checkpoints/a.npz", "-m", "same", "--steps", 1, "--lr", 1e-30, "-q")
    scores = [ok("eval", "b.txt", "-m", model, "--json", "-q").records[0] for model in ("a", "same")]
    assert scores[0] | {"model": ""} == scores[1] | {"model": ""}


def test_it_is_far_ahead_of_a_run_with_random_weights() -> None:
    losses = [
        ok("train", "b.txt", "--hidden-size", 16, "--num-layers", 1, "--steps", 5, "-m", name, "--json", "-q", *more)
        for name, more in (("fresh", ()), ("warm", ("--init-from", "a")))
    ]
    fresh, warm = (result.records[-1]["val_nats_per_char"] for result in losses)
    assert warm < fresh - 0.3


def test_it_resumes_to_the_same_bytes_without_the_source(model: Path) -> None:
    ok(*LINE, "-m", "whole", "-q")
    process = start(*LINE, "--resume", "--json", "-m", "parts", "--save-every", 1)
    read_until(process, "step", 12)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    model.unlink()
    ok(*LINE, "--resume", "-m", "parts", "-q")
    assert Path("checkpoints/parts.npz").read_bytes() == Path("checkpoints/whole.npz").read_bytes()


def test_a_model_can_start_from_itself_only_with_force(model: Path) -> None:
    before = contents(Path())
    again = ("train", "b.txt", "-m", "a", "--init-from", "a", "--steps", 1, "-q")
    refused(charrnn(*again), 1, "checkpoints/a.npz", "already exists", "--force")
    assert contents(Path()) == before
    ok(*again, "--force")
    state = CheckpointStore(model).load()
    assert (state.step, state.origin.sources, state.init_from) == (1, ("b.txt",), "checkpoints/a.npz")


def test_dry_run_shows_it_and_changes_nothing() -> None:
    before = contents(Path())
    (plan,) = ok(*LINE, "--dry-run", "--json", "-q").records
    assert (plan["init_from"], plan["step"], plan["steps"]) == ("checkpoints/a.npz", 0, 30)
    assert contents(Path()) == before


def test_an_unusable_source_is_refused(model: Path) -> None:
    shutil.copy(model, "damaged.npz")
    Path("damaged.npz").write_bytes(model.read_bytes()[:-99])
    before = contents(Path())
    for name, words in {
        "missing": ["checkpoints/missing.npz", "no such model", "--init-from"],
        "damaged.npz": ["damaged.npz", "not a whole model file"],
        "./b.txt": ["b.txt", "not a whole model file"],
        "./checkpoints": ["checkpoints: "],
    }.items():
        refused(charrnn("train", "b.txt", "--init-from", name, "-q"), 1, *words)
    refused(charrnn("train", "b.txt", "--init-from", "", "-q"), 2, "--init-from", "empty")
    refused(charrnn(*LINE, "--hidden-size", 17, "-q"), 1, "--init-from", "--hidden-size was 16, not 17")
    refused(charrnn(*LINE, "--normalize", "nfc", "-q"), 1, "--init-from", "--normalize was none, not nfc")
    assert contents(Path()) == before
