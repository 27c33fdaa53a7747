import os
import re
import shutil
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.model_table import HEAD, RESULTS, facts, row
from charrnn.core.score import bits
from tests.conftest import Run
from tests.helpers.command import charrnn, ok, on_terminal, refused


@pytest.fixture
def two(model: Path) -> Path:
    """A second, older model beside a.npz, with another seed and another text."""
    other = model.with_name("other.npz")
    text = Path("other.txt")
    text.write_text(Path("a.txt").read_text()[:5000])
    ok("train", text, "--hidden-size", 8, "--num-layers", 1, "--steps", 2, "--seed", 5, "-m", other, "-q")
    os.utime(other, (1e9, 1e9))
    return other


def test_the_list_has_a_row_for_each_model_the_newest_first(two: Path, model: Path) -> None:
    state = CheckpointStore(model).load()
    assert state.best
    result = ok("info", "--all")
    rows = [line.split("\t") for line in result.text.splitlines()]
    assert [cells[0] for cells in rows] == ["a", "other"]
    expected = f"{bits(state.best.nats):.4f}", "gru, 1 x 16", f"a.txt ({state.origin.chars:,})", "40 of 40"
    assert tuple(rows[0][1:5]) == expected
    assert rows[1][2:5] == ["gru, 1 x 8", "other.txt (5,000)", "2 of 2"]
    assert re.fullmatch(r"\d{4,}d(\d+h)?", rows[1][6])  # without hours for one hour a day
    assert row(model, state)[:6] == tuple(rows[0][:6])
    assert [record["path"] for record in ok("info", "--all", "--json").records] == [
        f"{model.parent.name}/a.npz",
        "checkpoints/other.npz",
    ]
    on_screen = on_terminal("info", "--all", streams="stdout").text.splitlines()
    assert on_screen[0].replace("\x1b[1m", "").replace("\x1b[0m", "").split() == [*HEAD]
    assert len({line.index("gru") for line in on_screen[1:]}) == 1


def test_a_file_that_is_no_model_is_left_out_with_a_warning(model: Path) -> None:
    (model.parent / "bad.npz").write_bytes(b"?")
    result = ok("info", "--all")
    assert [line.split("\t")[0] for line in result.text.splitlines()] == ["a"]
    assert result.err.startswith("warning: checkpoints/bad.npz: not a whole model file")


def test_a_folder_without_models_is_refused(work: Path) -> None:
    refused(charrnn("info", "--all"), 1, "checkpoints: no models yet")


def test_models_side_by_side_show_the_results_and_what_differs(two: Path, model: Path) -> None:
    shutil.copy(model, model.with_name("copy.npz"))
    rows = {
        name: cells for name, *cells in (line.split("\t") for line in ok("info", "a", "-m", "other").text.splitlines())
    }
    assert rows[""] == ["a", "other"]
    assert rows["hidden size"] == ["16", "8"]
    assert rows["seed"] == ["0", "5"]
    assert rows["characters"][1] == "5,000"
    assert not {"lr", "cell", "embed size"} & rows.keys()
    same = [line.split("\t")[0] for line in ok("info", "a", "copy").text.splitlines()]
    assert same == ["", *RESULTS]
    assert [record["path"] for record in ok("info", "copy", "other", "--json").records] == [
        "checkpoints/copy.npz", "checkpoints/other.npz"
    ]  # fmt: skip


def test_every_setting_is_compared(trained: Run) -> None:
    state = CheckpointStore(trained.model).load()
    shown = facts(trained.model, state)
    assert {name.replace("_", " ") for name in vars(state.config)} <= {*shown}
    assert shown["lr"] == f"{state.config.lr:g}"


@pytest.mark.parametrize("args", [("--all", "a"), ("--all", "--toml"), ("--toml", "a", "b"), ("--toml", "--json")])
def test_what_excludes_each_other_is_refused(model: Path, args: tuple[str, ...]) -> None:
    refused(charrnn("info", *args), 2, args[0])
