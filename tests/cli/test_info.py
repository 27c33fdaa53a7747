import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.summary import visible_symbols
from charrnn.training.estimate import training_memory
from tests.conftest import Run
from tests.helpers.command import NETWORK, TEXT, ok
from tests.helpers.files import corpus_of

PROMISED = {
    "path", "cell", "hidden_size", "num_layers", "parameters", "vocabulary_size", "step", "val_bits_per_char",
    "corpus", "history",
}  # fmt: skip


def test_json_agrees_with_the_events_of_training(trained: Run, model: Path) -> None:
    (record,), state = ok("info", "--json", "-m", "a").records, CheckpointStore(model).load()
    start, done = trained.result.records[0], trained.result.records[-1]
    assert record.keys() >= PROMISED
    same = ("cell", "activation", "hidden_size", "num_layers", "embed_size", "parameters", "vocabulary_size")
    assert {name: record[name] for name in same} == {name: start[name] for name in same}
    assert (record["path"], record["step"], record["best_step"]) == ("checkpoints/a.npz", 40, state.best.step)  # type: ignore[union-attr]
    assert record["val_bits_per_char"] == done["val_bits_per_char"]
    assert record["val_nats_per_char"] == done["val_nats_per_char"]
    assert record["corpus"] == {"sources": ["a.txt"], "sha256": state.origin.sha256, "chars": state.origin.chars}
    assert record["train"] == asdict(state.config)
    events = [{k: v for k, v in e.items() if k not in ("event", "best")} for e in trained.result.events("eval")]
    assert record["history"] == events
    assert (record["file_bytes"], record["memory_bytes"]) == (model.stat().st_size, training_memory(state))


def test_a_model_that_was_never_scored_has_null_for_a_loss(work: Path) -> None:
    ok("train", "a.txt", *NETWORK, "--steps", 1, "--val-fraction", 0, "-q")
    (record,) = ok("info", "--json").records
    assert [record[name] for name in ("val_bits_per_char", "val_nats_per_char", "best_step")] == [None] * 3
    assert record["history"] == []
    assert "held out          not scored\n" in ok("info").text


def test_the_card(trained: Run, model: Path) -> None:
    result = ok("info")
    assert result.err == "model: checkpoints/a.npz\n"
    assert ok("info", "-q").err == ""
    lines = result.text.splitlines()
    assert lines[0] == "checkpoints/a.npz"
    assert "network           gru, 1 x 16, embedding 64" in lines
    assert any(line.startswith(f"corpus            a.txt, {len(TEXT):,} characters, SHA-256 ") for line in lines)
    assert any(
        line.startswith("training          step 40 of 40 (40 steps), windows of 10 x 64, adamw") for line in lines
    )
    assert f"file              {model.stat().st_size / 1e6:,.1f} MB" in lines
    assert "vocabulary        28 symbols: .0123456789aefghnorstxßö" in lines
    assert any(re.fullmatch(r"memory +\S+ MB of weights, \S+ MB in training", line) for line in lines)
    assert lines[-1].split() == ["a", "training", "b", "held", "out", "(bits", "per", "character)"]
    assert max(len(line) for line in lines if "|" in line) <= 80
    lines = lines[: next(i for i, line in enumerate(lines) if "|" in line)]  # without the chart
    last = trained.result.events("eval")[-1]
    bits = [last[name] / math.log(2) for name in ("train_nats_per_char", "val_nats_per_char")]
    assert lines[-1].strip() == f"40: {bits[0]:.3f} / {bits[1]:.3f}"


def test_the_card_is_utf8_in_every_locale(model: Path) -> None:
    plain = ok("info", "-q").out
    assert [ok("info", "-q", env=env).out for env in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"})] == [plain, plain]


@pytest.mark.parametrize(("first", "shown"), [("A", 59), ("一", 29)], ids=["narrow", "wide"])
def test_a_large_vocabulary_fits_on_one_line(first: str, shown: int) -> None:
    symbols = "".join(c for c in map(chr, range(ord(first), ord(first) + 100)) if c.isprintable())
    assert visible_symbols(corpus_of(symbols + "\n").vocab) == symbols[:shown] + "…"
    assert visible_symbols(corpus_of(symbols[:5] + " \n").vocab) == symbols[:5]
