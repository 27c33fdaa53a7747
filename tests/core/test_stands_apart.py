"""The core stands apart: it is small, imports nothing else of charrnn, and does all that it does by itself."""

import ast
import hashlib
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn import core
from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.cells import CELLS
from charrnn.core.cells.activations import ACTIVATIONS
from charrnn.core.config import (
    ACTIVATION_NAMES,
    CELL_NAMES,
    OPTIMIZER_NAMES,
    SCHEDULE_NAMES,
    ModelConfig,
    TrainConfig,
)
from charrnn.core.optim import OPTIMIZERS, SCHEDULES
from charrnn.core.state import Origin, new_run
from charrnn.core.train import train
from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of
from tests.core import core_alone
from tests.helpers.command import ENVIRONMENT, TEXT, ok
from tests.helpers.imports import imported

MAX_LINES = 2400
CORE = Path(core.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))

# ---- size and imports ----


def test_the_core_has_fewer_than_2400_lines() -> None:
    assert len(SOURCES) > 15
    assert sum(len(path.read_text("utf-8").splitlines()) for path in SOURCES) < MAX_LINES


def is_allowed(name: str) -> bool:
    return name.split(".")[0] in {"numpy", *sys.stdlib_module_names} or name.startswith("charrnn.core.")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_of_the_core_imports_numpy_the_standard_library_and_the_core(path: Path) -> None:
    assert [name for name in imported(ast.parse(path.read_text("utf-8"))) if not is_allowed(name)] == []


@pytest.mark.parametrize(
    "source", ["import tqdm", "from charrnn import load", "from charrnn.data.corpus import Corpus", "from . import ops"]
)
def test_other_imports_are_found(source: str) -> None:
    assert not all(map(is_allowed, imported(ast.parse(f"def f():\n    {source}"))))


# ---- tables ----


def test_the_names_of_options_are_those_of_the_tables() -> None:
    recurrences = {
        ModelConfig(2, cell, activation).recurrence for cell in CELL_NAMES for activation in ACTIVATION_NAMES
    }
    assert recurrences == set(CELLS)
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES
    assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES
    assert tuple(SCHEDULES) == SCHEDULE_NAMES


# ---- in a process without the rest of charrnn ----


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of core_alone.py with a copy of the core."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(CORE, folder / "charrnn" / "core", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "charrnn" / "__init__.py").touch()
    command = [sys.executable, "-I", core_alone.__file__, str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["from"] == str(folder / "charrnn" / "__init__.py")
    return answer


def test_nothing_else_can_be_imported(alone: dict[str, Any]) -> None:
    assert alone["refused"] == list(core_alone.FOREIGN)


def test_every_cell_was_trained(alone: dict[str, Any]) -> None:
    assert alone["cells"].keys() == CELLS.keys()


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("cells", name) for name in CELLS), *(("cells with all options", name) for name in ("rnn_tanh", "lstm", "gru"))],
)
class TestCoreAlone:
    def test_it_learns(self, kind: str, name: str, alone: dict[str, Any]) -> None:
        result = alone[kind][name]
        uniform = math.log(len(result["vocabulary"]))
        assert len(result["losses"]) == core_alone.STEPS
        assert np.mean(result["losses"][-5:]) < 0.8 * uniform
        assert len(result["validations"]) == 3
        assert min(result["validations"]) < 0.8 * uniform
        assert result["score"] == result["validations"][-1]

    def test_it_resumes_to_the_bit(self, kind: str, name: str, alone: dict[str, Any]) -> None:
        result = alone[kind][name]
        assert result["resumed at"] == core_alone.STEPS // 2
        assert result["steps after resume"] == core_alone.STEPS // 2
        assert result["resumed equals"]
        assert result["halfway differs"]

    def test_it_writes_text_of_its_vocabulary(self, kind: str, name: str, alone: dict[str, Any]) -> None:
        result = alone[kind][name]
        assert result["vocabulary"] == "".join(sorted(set(core_alone.TEXT)))
        assert len(result["sample"]) == 200
        assert set(result["sample"]) <= set(result["vocabulary"])
        assert len(set(result["sample"])) > 5


# ---- against the command ----


@pytest.mark.parametrize("lines", [False, True], ids=["continuous", "lines"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_model_trained_by_the_core_equals_that_of_the_command_to_the_byte(
    cell: str, dropout: float, lines: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(TEXT, "utf-8")
    network = (
        "--cell",
        cell,
        "--hidden-size",
        16,
        "--num-layers",
        1,
        *(["--lines", "--holdout", "tail"] if lines else []),
    )
    training = (
        "--steps",
        30,
        "--batch-size",
        4,
        "--seq-len",
        20,
        "--dropout",
        dropout,
        "--eval-every",
        10,
        "--seed",
        3,
    )
    ok("train", "a.txt", *network, *training, "--threads", 1, cwd=tmp_path)
    path = tmp_path / "checkpoints" / "a.npz"

    vocab = Vocab.build(np.bincount(codes_of(TEXT), minlength=CODE_POINTS))
    ids = vocab.encode(TEXT)
    config = ModelConfig(
        len(vocab), cell=cell, hidden_size=16, num_layers=1, line_end=vocab.newline_id if lines else None
    )
    run = TrainConfig(30, "30 steps", batch_size=4, seq_len=20, dropout=dropout, eval_every=10, seed=3)
    origin = Origin(("a.txt",), hashlib.sha256(TEXT.encode()).hexdigest(), len(ids))
    state = new_run(config, run, vocab, origin)
    for _ in train(state, ids):
        pass
    state.environment = CheckpointStore(path).load().environment
    assert to_bytes(state) == path.read_bytes()
    assert len(state.history) == 3
