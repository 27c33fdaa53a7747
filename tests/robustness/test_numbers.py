"""Extreme sizes and numbers: a clear error or a valid result, and only finite numbers in files."""

import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError, DivergedError
from charrnn.core.optim import OPTIMIZERS
from charrnn.evaluation.text import score_ids
from tests.helpers.command import NETWORK, charrnn, ok, refused
from tests.helpers.files import array_of, corpus_of, random_text, tiny_run, with_array
from tests.helpers.models import tiny_model
from tests.robustness.experiment import completed, reports
from tests.robustness.resumes import any_run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_learning_rate_of_100_leaves_a_valid_file(cell: str, optimizer: str, tmp_path: Path) -> None:
    corpus, store = corpus_of(random_text(300)), CheckpointStore(tmp_path / "m.npz")
    model = {"cell": cell, "activation": "relu"}
    run = tiny_run(corpus, model, optimizer=optimizer, lr=100.0, steps=80, val_fraction=0.3, grad_clip=1e9)
    store.save(run)
    with suppress(DivergedError):
        for _ in reports(run, corpus):
            with suppress(CheckpointError):  # numbers that are not finite
                store.save(run)
    saved = store.load()
    assert all(np.isfinite(nats) for row in saved.history for nats in row)
    assert np.isfinite(saved.best_model.vector).all()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("size", [1e20, 1e30, 3e38])
def test_huge_weights_give_a_score_or_a_clear_error(cell: str, size: float) -> None:
    model = tiny_model(7, dtype=np.float32, cell=cell, num_layers=2)
    model.vector[:] = np.sign(model.vector) * np.float32(size)
    ids = np.arange(300) % 7
    with suppress(DivergedError):
        assert 0 <= score_ids(model, [ids], 0).nats < np.inf


def test_every_command_reports_huge_weights_in_one_line(model: Path) -> None:
    data = model.read_bytes()
    for name in ("embed.W", "head.W_hy"):
        data = with_array(data, name, np.full_like(array_of(data, name), 1e30))
    model.write_bytes(data)
    for args in (
        ("sample", "-n", 50, "-q"),
        ("eval", "a.txt", "-q"),
        ("train", "a.txt", "--resume", "--steps", 41, "-q"),
    ):
        result = charrnn(*args)
        assert (result.code, result.err.count("\n")) in ((0, 0), (1, 1)), result.err
        assert "Warning" not in result.err


@pytest.mark.parametrize("seq_len", [1, 10_000])
def test_windows_of_1_and_of_10000_can_be_trained_on(seq_len: int) -> None:
    corpus = corpus_of("ab\n" * 4000)
    run = tiny_run(corpus, {"cell": "gru"}, batch_size=1, seq_len=seq_len, steps=2, val_fraction=0.01)
    assert [report.step for report in reports(run, corpus)][-1] == 2
    assert np.isfinite(run.model.vector).all()


def test_a_run_that_diverges_names_the_step_and_its_file_is_valid(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--cell", "rnn", "--activation", "relu", "--lr", 100, "--grad-clip", 1e9)
    result = charrnn(*line, "--steps", 300, "--save-every", 1, "-q")
    *warnings, error = result.err.splitlines()
    assert result.code == 1
    assert all("not all of its numbers are finite" in warning for warning in warnings)
    saved = CheckpointStore(work / "checkpoints" / "a.npz").load()
    assert error.startswith("charrnn: step ")
    assert error.endswith(f"keeps the model of step {saved.step}")
    assert np.isfinite(saved.model.vector).all()
    ok("eval", "a.txt", "-q")


def test_a_loss_that_explodes_ends_the_run_and_is_told_with_what_to_try(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 300, "--warmup", 0, "--save-every", 500, "-q")
    for given, advice in {
        ("--lr", 100): "try --lr 0.004, or start from a trained model with --init-from; ",
        ("--lr", 100, "--optimizer", "sgd", "--weight-decay", 0): "try --lr 0.1, or ",
        ("--lr", 0.01, "--weight-decay", 1e9): "--weight-decay 1e+09 is too large: try 0.2; ",
        ("--lr", 100, "--weight-decay", 0, "--grad-clip", 1e9): "try --lr 0.004 with --grad-clip 1, or ",
    }.items():
        result = charrnn(*line, *given, "--force")
        assert (result.code, result.err.count("\n")) == (1, 1), result.err
        assert re.match(r"charrnn: step \d+: the loss (or its|has exploded, to [\d,]+ bits)", result.err)
        assert advice in result.err
        assert result.err.endswith("checkpoints/a.npz keeps the model of step 0\n")
        ok("eval", "a.txt", "-q")


def test_a_run_that_explodes_keeps_a_model_from_before_however_often_it_saves(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 300, "--warmup", 0, "--save-every", 1, "--eval-every", 1, "-q")
    result = charrnn(*line, "--lr", 100, "--weight-decay", 0, "--grad-clip", 1)
    exploded = re.fullmatch(r"charrnn: step (\d+): the loss has exploded.* keeps the model of step (\d+)\n", result.err)
    assert exploded
    assert int(exploded[2]) <= int(exploded[1]) - 5
    state = CheckpointStore(Path("checkpoints/a.npz")).load()
    assert max(state.losses) < 4 * math.log(len(state.vocab))


def test_a_run_that_diverges_while_its_speed_is_measured_says_what_to_try(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--warmup", 0, "--lr", 1e30, "-q")
    for given in (("--time", "30s"), ("--steps", 300, "--dry-run")):
        refused(charrnn(*line, *given), 1, "is not finite: try --lr 0.004, or start")


def test_an_exploded_model_can_be_wanted_and_is_scored_or_refused_in_one_line(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 12, "--warmup", 0, "--weight-decay", 0, "--lr", 100, "-q")
    assert "the loss has exploded, to " in charrnn(*line).err
    ok(*line, "--force", "--keep-going")
    for args in (
        ("eval", "a.txt", "-q"),
        ("sample", "-n", 50, "-q"),
        ("eval", "-q"),
        ("eval", "a.txt", "--lines", "-q"),
    ):
        result = charrnn(*args)
        assert (result.code, result.err.count("\n")) in ((0, 0), (1, 1)), result.err
        assert "Warning" not in result.err


@pytest.mark.parametrize("held", [np.nan, 1e30])
def test_nothing_depends_on_uninitialised_memory(held: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def results() -> list[bytes]:
        return [completed(run, corpus) for corpus, run in (any_run(np.random.default_rng([n, 7])) for n in range(12))]

    def filled(array: Any) -> Any:
        if array.dtype.kind == "f":
            array.fill(held)
        return array

    before, empty, empty_like = results(), np.empty, np.empty_like
    monkeypatch.setattr(np, "empty", lambda *args, **options: filled(empty(*args, **options)))
    monkeypatch.setattr(np, "empty_like", lambda *args, **options: filled(empty_like(*args, **options)))
    assert results() == before
