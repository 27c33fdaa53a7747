"""The benchmark of whole runs; its PyTorch script is run by hand, since the tests install no PyTorch."""

import ast
from pathlib import Path

import pytest

from benchmarks import whole
from charrnn.core.config import ModelConfig, TrainConfig

SCRIPT = Path(whole.__file__).with_name("torch_script.py")


def test_both_take_the_same_text_and_steps(tmp_path: Path) -> None:
    whole.write_text(tmp_path / "text.txt", 700_000)
    assert len((tmp_path / "text.txt").read_bytes()) == pytest.approx(700_000, rel=0.01)
    ours, theirs = whole.commands(tmp_path, 30).values()
    assert str(tmp_path / "text.txt") in ours
    assert str(tmp_path / "text.txt") in theirs
    assert "30" in ours
    assert "30" in theirs


def test_the_command_of_charrnn_trains(tmp_path: Path) -> None:
    whole.write_text(tmp_path / "text.txt", 20_000)
    command = whole.commands(tmp_path, 2)["charrnn train"]
    assert whole.timed([*command, "--hidden-size", "8"]) > 0
    assert (tmp_path / "model.npz").exists()


def test_the_script_has_the_defaults_of_charrnn() -> None:
    names, values = next(
        (node.targets[0], node.value)
        for node in ast.parse(SCRIPT.read_text("utf-8")).body
        if isinstance(node, ast.Assign)
    )
    assert isinstance(names, ast.Tuple)
    assert isinstance(values, ast.Tuple)
    found = {name.id: ast.literal_eval(value) for name, value in zip(names.elts, values.elts, strict=True)}  # type: ignore[attr-defined]
    model, run = ModelConfig(65), TrainConfig(1, "")
    assert (found["H"], found["D"], found["L"]) == (model.hidden_size, model.embed_size, model.num_layers)
    assert (found["B"], found["T"]) == (run.batch_size, run.seq_len)
    assert (found["LR"], found["WARMUP"]) == (run.lr, run.warmup)
