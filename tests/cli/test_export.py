"""charrnn export: weights alone, safetensors, a page."""

import json
from pathlib import Path

import numpy as np
import pytest

from charrnn.api.model import load, to_torch_state_dict
from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import charrnn, ok, refused


@pytest.mark.parametrize("dtype", [None, "f4"])
def test_weights_alone_are_small_and_can_be_used_but_not_resumed(model: Path, dtype: str | None) -> None:
    given = ["--dtype", dtype] if dtype else []
    assert ok("export", "small.npz", "-m", "a", *given).text == "small.npz\n"
    whole = CheckpointStore(model).load()
    small = CheckpointStore(Path("small.npz")).load()
    exact = whole.best_model.vector.astype("<f4" if dtype else "<f2").astype(np.float32)
    assert (small.best_model.vector == exact).all()
    assert (small.history, small.losses, small.vocab) == (whole.history, whole.losses, whole.vocab)
    assert Path("small.npz").stat().st_size < model.stat().st_size / (3 if dtype else 5)
    (row,), (before,) = (ok("eval", "a.txt", "-m", name, "--json", "-q").records for name in ("./small.npz", "a"))
    assert row["bits_per_char"] == pytest.approx(before["bits_per_char"], abs=0.001)
    assert len(ok("sample", "-m", "./small.npz", "-n", 20, "-q").text) == 21
    assert "network  " in ok("info", "-m", "./small.npz").text
    ok("train", "a.txt", "-m", "b", "--init-from", "./small.npz", "--steps", 1, "-q")
    refused(charrnn("train", "a.txt", "-m", "./small.npz", "--resume"), 1, "weights alone", "--init-from")


def test_safetensors_have_the_names_of_pytorch(model: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    ok("export", "a.safetensors", "-m", "a")
    found, expected = load_file("a.safetensors"), to_torch_state_dict(load("a"))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    with safe_open("a.safetensors", "np") as file:
        facts = json.loads(file.metadata()["charrnn"])
    assert facts["characters"] == load("a").vocab.characters
    assert facts["model"]["cell"] == "gru"
    (record,) = ok("export", "half.safetensors", "-m", "a", "--dtype", "f2", "--json").records
    size = Path("half.safetensors").stat().st_size
    assert record == {
        "path": "half.safetensors",
        "model": "checkpoints/a.npz",
        "dtype": "f2",
        "file_bytes": size,
    }
    assert {array.dtype for array in load_file("half.safetensors").values()} == {np.dtype(np.float16)}


def test_a_page_is_named_after_the_model(model: Path) -> None:
    ok("export", "a.html", "-m", "a")
    page = Path("a.html").read_text("utf-8")
    assert "<title>a</title>" in page
    assert page.startswith("<!DOCTYPE html>")


def test_nothing_is_replaced_without_force_and_other_endings_are_refused(model: Path) -> None:
    before = model.read_bytes()
    for name in ("a.npz", "a.html", "a.safetensors"):
        Path(name).write_text("mine")
        refused(charrnn("export", name, "-m", "a"), 1, f"{name}: already exists", "--force")
        assert Path(name).read_text() == "mine"
        ok("export", name, "-m", "a", "--force")
        assert Path(name).stat().st_size > 1000
    refused(charrnn("export", "a.pt", "-m", "a"), 2, "a.pt: must end in .npz, .safetensors or .html")
    refused(charrnn("export", str(model), "-m", "a", "--force"), 2, "is the model itself")
    assert model.read_bytes() == before


def test_weights_beyond_16_bits_are_refused(model: Path) -> None:
    store = CheckpointStore(model)
    state = store.load()
    state.best_model.vector[0] = 7e4
    store.save(state)
    refused(charrnn("export", "b.npz", "-m", "a"), 1, "too large for 16 bits", "--dtype f4")
    assert not Path("b.npz").exists()
    ok("export", "b.npz", "-m", "a", "--dtype", "f4")


def test_without_safetensors_the_error_names_the_extra(model: Path) -> None:
    Path("safetensors.py").write_text("raise ImportError")
    result = charrnn("export", "b.safetensors", "-m", "a", env={"PYTHONPATH": str(Path.cwd())})
    refused(result, 1, "pip install 'charrnn-numpy[export]'")
