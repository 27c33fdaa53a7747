"""Reports on a run: JSON events, notes and warnings."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from charrnn.cli.reporter import Milestones
from tests.conftest import Run
from tests.helpers.command import SHORT, TEXT, ok

EVENTS = {
    "step": {"event", "step", "train_nats_per_char", "lr", "grad_norm"},
    "eval": {"event", "step", "train_nats_per_char", "val_nats_per_char", "best"},
    "save": {"event", "step", "model"},
    "done": {
        "event", "model", "step", "val_nats_per_char", "val_bits_per_char", "seconds", "chars_per_second"
    },
}  # fmt: skip


def test_previews_are_due_at_shares_of_the_run_and_the_first_one_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    state = SimpleNamespace(step=0, config=SimpleNamespace(steps=1000))
    milestones, due = Milestones(state), []  # type: ignore[arg-type]
    for state.step in range(1, 1001):
        now[0] = 100.0 + state.step  # the first is due after three seconds, before a hundredth of the run
        if milestones.due(state.step):
            due.append(state.step)
            milestones.restart()
    assert due == [3, 50, 150, 400, 1000]
    state.step = 200  # resumed
    resumed = Milestones(state)  # type: ignore[arg-type]
    now[0] += 100.0
    assert [step for step in (201, 399, 400) if resumed.due(step)] == [400]


def test_json_is_one_event_per_line_from_start_to_done(trained: Run) -> None:
    records = trained.result.records
    assert [r["event"] for r in (records[0], records[-1])] == ["start", "done"]
    for kind, fields in EVENTS.items():
        assert {frozenset(event) for event in trained.result.events(kind)} == {frozenset(fields)}
    assert [event["step"] for event in trained.result.events("step")] == [*range(1, 41)]
    assert all(math.isfinite(v) for r in records for v in r.values() if isinstance(v, float))
    first = trained.result.start
    assert first.items() >= {"model": "checkpoints/a.npz", "corpus": ["a.txt"], "chars": len(TEXT), "steps": 40}.items()
    assert first.items() >= {"hidden_size": 16, "num_layers": 1, "embed_size": 64, "lr": 4e-3, "seed": 0}.items()


def test_the_done_event_has_the_best_validation(trained: Run) -> None:
    evals, (done,) = trained.result.events("eval"), trained.result.events("done")
    every = trained.result.start["eval_every"]
    assert [event["step"] for event in evals] == [*range(every, 40, every), 40]
    losses = [event["val_nats_per_char"] for event in evals]
    assert [event["best"] for event in evals] == [loss < min(losses[:i], default=9) for i, loss in enumerate(losses)]
    assert losses[-1] < losses[0]
    assert done["val_nats_per_char"] == min(losses)
    assert done["val_bits_per_char"] == pytest.approx(min(losses) / math.log(2))
    assert (done["model"], done["step"]) == ("checkpoints/a.npz", 40)
    assert done["seconds"] > 0 < done["chars_per_second"]


def test_losses_are_null_without_held_out_text(work: Path) -> None:
    result = ok("train", "a.txt", *SHORT, "--val-fraction", 0, "--json")
    assert result.events("eval") == []
    assert [result.records[-1][name] for name in ("val_nats_per_char", "val_bits_per_char")] == [None, None]


def test_a_changed_environment_is_a_warning(work: Path) -> None:
    ok("train", "a.txt", *SHORT, "--threads", 1, "-q")
    more = ("train", "-m", "a", "--resume", "--steps", 41)
    assert "warning" not in ok(*more, "--threads", 1).err
    assert "warning: threads was 1 and is 2: " in ok(*more, "--threads", 2).err
