import io
import re
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.checkpoint.archive import MAX_MEMBERS
from charrnn.checkpoint.format import from_file, layout, mean_losses, to_bytes
from charrnn.checkpoint.manifest import OPTIONAL, OPTIONAL_SETTINGS
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.cells import CELLS
from charrnn.core.config import HOLDOUT_NAMES, MAX_LAYERS, TrainConfig
from charrnn.core.errors import CheckpointError
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.state import Best, Origin, TrainState, add_loss, loss_stride
from charrnn.core.train import train
from charrnn.core.vocab import NORMALIZATIONS, Vocab
from tests.helpers.before import as_version_1
from tests.helpers.files import (
    cell_settings,
    copy_of,
    corpus_of,
    manifest_of,
    members,
    plain,
    random_text,
    tiny_run,
    with_member,
)
from tests.helpers.models import tiny_config

SPECIFICATION = Path(__file__).parents[2] / "docs" / "checkpoint-format.md"


@st.composite
def checkpoints(draw: st.DrawFn) -> TrainState:
    text, amount = st.text(max_size=9), st.floats(0, 1e9)
    name, word = text.filter(lambda name: "\0" not in name), text.filter(str.isprintable)
    step, unknown = draw(st.integers(1, 2**53 - 1)), draw(st.booleans())
    rates = st.sets(st.floats(1e-9, 1), min_size=2, max_size=3)
    falling = rates.map(lambda found: [[rate, 9 * rate] for rate in sorted(found, reverse=True)])
    thresholds = falling | st.just(list[list[float]]())
    steps = st.integers(1, step)
    symbols = draw(st.sets(st.characters(codec="utf-8") | st.sampled_from("\0\n\U0010ffff"), min_size=1, max_size=5))
    newline = sorted(symbols).index("\n") if "\n" in symbols else None
    network = {"hidden_size": st.integers(1, 4), "num_layers": st.integers(1, 3), "embed_size": st.integers(1, 4)}
    config = tiny_config(
        len(symbols) + unknown,
        **cell_settings(draw(st.sampled_from(list(CELLS)))),
        **{name: draw(sizes) for name, sizes in network.items()},
        line_end=draw(st.sampled_from([None, newline])),
    )
    chars = draw(st.integers(0, 2**53 - 1))
    holdout = draw(st.sampled_from(HOLDOUT_NAMES)) if chars > 1 else "tail"
    train = TrainConfig(
        steps=draw(st.integers(1, 2**53 - 1)),
        budget=draw(word),
        batch_size=draw(st.integers(1, 3)),
        lr=draw(st.floats(1e-300, 1e300)),
        val_fraction=draw(st.floats(0, 0.99)),
        seed=draw(st.integers(0, 2**63 - 1)),
        encoding=draw(word),
        holdout=holdout,
        held_out=None if holdout == "tail" else draw(st.integers(1, chars - 1)),
    )
    rng = np.random.default_rng(train.seed)
    vectors = [rng.normal(size=size_of(parameter_shapes(config))).astype(np.float32) for _ in range(4)]
    vectors[0][0] = -0.0  # equal to 0.0, but with other bytes
    parts = [(config.hidden_size, train.batch_size) for _ in CELLS[config.recurrence].state]
    sums = -(-step // loss_stride(step))
    return TrainState(
        CharRNN(config, vectors[0]),
        train,
        Vocab(np.array(sorted(map(ord, symbols)), np.uint32), unknown, draw(st.sampled_from(NORMALIZATIONS))),
        Origin(
            tuple(draw(st.lists(name | st.just("\udcff.txt")))),
            draw(word),
            chars,
            tuple(draw(st.lists(text, max_size=3))),
        ),
        {"m": vectors[1], "v": vectors[2]},
        [tuple(rng.normal(size=part).astype(np.float32) for part in parts) for _ in range(config.num_layers)],
        step,
        draw(amount),
        draw(st.none() | st.builds(Best, steps, amount, st.just(vectors[3]))),
        [(at, draw(amount), draw(amount)) for at in sorted(draw(st.sets(steps, max_size=3)))],
        draw(st.dictionaries(word, word, max_size=3)),
        draw(st.none() | name),
        rng.uniform(0, 9, sums).tolist(),
        draw(st.none() | amount),
        draw(st.dictionaries(text, thresholds, max_size=2)),
        draw(st.booleans()),
    )


@settings(deadline=None, max_examples=50, derandomize=True)
@given(checkpoints())
def test_every_field_survives_a_round_trip_with_the_same_bytes(state: TrainState) -> None:
    again = copy_of(state)
    np.testing.assert_equal(plain(again), plain(state))
    assert again.vocab == state.vocab
    assert to_bytes(again) == to_bytes(state)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(checkpoints(), st.sampled_from(["<f2", "<f4"]))
def test_weights_alone_survive_a_round_trip_with_the_same_bytes(state: TrainState, dtype: str) -> None:
    alone = replace(state, model=state.best_model, slots={}, carried=[], weights=dtype)
    names = [*parameter_shapes(state.model.config), "vocabulary", "history", "losses"]
    data = to_bytes(alone)
    assert [*members(data)] == [f"{name}.npy" for name in ["manifest", *names]]
    again = copy_of(alone)
    assert to_bytes(again) == data
    rounded = state.best_model.vector.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(again.best_model.vector, rounded, strict=True)
    np.testing.assert_array_equal(again.model.vector, rounded, strict=True)
    same = ("config", "vocab", "origin", "step", "loss_sum", "history", "losses", "init_from", "thresholds")
    assert [getattr(again, name) for name in same] == [getattr(state, name) for name in same]


def test_keys_with_their_usual_values_are_left_out(state: TrainState) -> None:
    def keys(state: TrainState) -> set[str]:
        manifest = manifest_of(to_bytes(state))
        return {*manifest, *manifest["train"]} & {*OPTIONAL, *OPTIONAL_SETTINGS}

    assert keys(state) == set()
    lines = replace(state.config, holdout="lines", held_out=9, encoding_errors="replace")
    ignoring = replace(state.origin, ignore=(r"\d+",))
    full = replace(
        state, config=lines, origin=ignoring, seconds=0.0, thresholds={"sum": [[0.5, 7.0], [0.01, 9.5]]}, unlike=True
    )
    assert keys(full) == {*OPTIONAL, *OPTIONAL_SETTINGS} - {"weights"}
    np.testing.assert_equal(plain(copy_of(full)), plain(full))


def test_a_file_of_version_1_has_the_means_between_validations_as_losses(state: TrainState) -> None:
    state = copy_of(state)
    (first, one, _), (second, two, _) = state.history
    assert (first, second, state.step) == (4, 8, 9)
    loaded = from_file(io.BytesIO(as_version_1(to_bytes(state))))
    np.testing.assert_allclose(loaded.losses, [one] * 4 + [two] * 4 + [state.loss_sum], rtol=1e-12)
    state.losses, state.environment = loaded.losses, loaded.environment  # as_version_1 drops what was added to both
    assert to_bytes(loaded) == to_bytes(state)


@pytest.mark.parametrize("step", [1, 511, 512, 513, 1026, 4099])
def test_the_losses_of_version_1_are_as_many_as_belong_to_the_steps(step: int) -> None:
    history = np.array([[step // 2, 2.0, 1.0]] if step > 1 else []).reshape(-1, 3)
    last = step - step // 2
    found = mean_losses(history, step, 3.0 * last)
    expected: list[float] = []
    for at in range(1, step + 1):
        add_loss(expected, at, 2.0 if at <= step // 2 else 3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_floats_may_be_given_as_integers() -> None:
    whole = tiny_run(corpus_of("ab\n" * 9), val_fraction=0, lr=1, weight_decay=0, grad_clip=2)
    assert to_bytes(copy_of(whole)) == to_bytes(whole)


@pytest.mark.parametrize("cell", CELLS)
def test_numpy_alone_can_read_the_best_weights_by_their_names(cell: str, path: Path) -> None:
    corpus = corpus_of(random_text(300))
    state = tiny_run(corpus, {"num_layers": 2, **cell_settings(cell)}, steps=4, val_fraction=0.25)
    best = [state.model.vector.copy() for _ in train(state, corpus.ids)][-1]
    state.model.vector += 1  # the last weights differ from the best
    path.write_bytes(to_bytes(state))
    with np.load(path, allow_pickle=False) as arrays:
        contents = dict(arrays)
    shapes = parameter_shapes(state.model.config)
    assert {name: contents[name].shape for name in shapes} == shapes
    np.testing.assert_array_equal(np.concatenate([contents[name].ravel() for name in shapes]), best)
    np.testing.assert_array_equal(contents["last"], state.model.vector)
    described = layout(state.model.config, state.config, len(corpus.vocab))
    assert contents.keys() - {"manifest"} == described.keys()
    assert {name: contents[name].dtype.str for name in described} == {
        name: kind for name, (kind, _) in described.items()
    }


@pytest.mark.parametrize("cell", CELLS)
def test_the_deepest_network_does_not_exceed_the_members(cell: str) -> None:
    state = tiny_run(corpus_of("abc\n" * 30), {"num_layers": MAX_LAYERS, "hidden_size": 2, **cell_settings(cell)})
    assert len(members(to_bytes(state))) <= MAX_MEMBERS
    assert to_bytes(copy_of(state)) == to_bytes(state)


def test_the_file_contains_no_time(state: TrainState, monkeypatch: pytest.MonkeyPatch) -> None:
    before = to_bytes(state)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert to_bytes(state) == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_specification_names_every_member_and_every_key(good: bytes) -> None:
    specification, manifest = SPECIFICATION.read_text(encoding="utf-8"), manifest_of(good)
    inner = {key for value in manifest.values() if isinstance(value, dict) for key in value} - manifest["sha256"].keys()
    named = {name.removesuffix(".npy").replace("layers.0", "layers.l") for name in members(good)}
    assert [name for name in {*manifest, *inner, *named} if f"`{name}`" not in specification] == []


@pytest.mark.parametrize("cell", CELLS)
def test_the_members_have_the_order_of_the_specification(cell: str) -> None:
    data = to_bytes(tiny_run(corpus_of("ab\n" * 20), {"num_layers": 2, **cell_settings(cell)}))
    found = [re.sub(r"layers\.\d", "layers.l", name.removesuffix(".npy")) for name in members(data)]
    rows = re.findall(r"^\| (`.+?`) \|", SPECIFICATION.read_text("utf-8").split("## Manifest")[0], re.MULTILINE)
    order = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert [name for name in order if name in found] == list(dict.fromkeys(found))


def test_the_example_in_the_specification_runs(
    state: TrainState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = SPECIFICATION.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "plays.npz").write_bytes(to_bytes(state))
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert "head.W_hy (8, 4) float32" in capsys.readouterr().out


# ---- what sampling and scoring read ----


def test_the_model_can_be_read_without_the_run(state: TrainState, good: bytes, path: Path) -> None:
    path.write_bytes(good)
    assert state.best
    assert not np.array_equal(state.best.vector, state.model.vector)
    whole = CheckpointStore(path).load()
    for network, *others in (
        CheckpointStore(path).load_model(),
        (whole.best_model, whole.vocab, whole.config, whole.origin),
    ):
        np.testing.assert_array_equal(network.vector, state.best.vector, strict=True)
        assert network.config == state.model.config
        assert others == [state.vocab, state.config, state.origin]


def test_only_the_weights_of_a_file_are_held_in_memory(path: Path) -> None:
    run = tiny_run(corpus_of("ab\n" * 20), {"hidden_size": 300}, optimizer="adam", batch_size=1)
    store = CheckpointStore(path)
    store.save(run)
    tracemalloc.start()
    try:
        store.load_model()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert run.model.vector.nbytes > 300_000
    assert peak < 3.5 * run.model.vector.nbytes  # its matrices, and one vector of them; neither slots nor last


@pytest.mark.parametrize("name", ["last", "slots.m", "slots.v", "state", "history"])
def test_members_that_sampling_does_not_need_must_be_whole_too(name: str, good: bytes, path: Path) -> None:
    content = members(good)[f"{name}.npy"]
    begin = good.index(content)
    for at in (0, len(content) // 2, len(content) - 1):
        damaged = bytearray(good)
        damaged[begin + at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a whole model file"):
            CheckpointStore(path).load_model()
    for longer_or_shorter in (content + b"\0", content[:-1]):  # with correct checksums
        path.write_bytes(with_member(good, name, longer_or_shorter))
        with pytest.raises(CheckpointError, match=f"the size of {name} does not match its header"):
            CheckpointStore(path).load_model()


def test_the_best_model_is_the_last_one_until_a_validation(state: TrainState) -> None:
    assert state.best
    assert state.best_model.vector is state.best.vector
    fresh = tiny_run(corpus_of("ab\n" * 9))
    assert fresh.best_model is fresh.model
