import errno
import fcntl
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from charrnn import threads
from charrnn.cells import CELLS
from charrnn.checkpoint import Best, Checkpoint, CheckpointStore, Origin, environment
from charrnn.checkpoint.archive import MAX_MEMBERS
from charrnn.checkpoint.format import READ_ERRORS, from_file, layout, to_bytes
from charrnn.config import MAX_LAYERS, TrainConfig
from charrnn.errors import CheckpointError, LockedError
from charrnn.model import CharRNN, parameter_shapes, size_of
from charrnn.train import train
from charrnn.vocab import NORMALIZATIONS, Vocab
from tests.helpers.files import (
    IMPORTABLE,
    MISSING,
    array_of,
    cell_settings,
    copy_of,
    corpus_of,
    manifest_of,
    members,
    npy,
    plain,
    random_text,
    tiny_run,
    with_array,
    with_directory_field,
    with_entry,
    with_manifest,
    with_member,
    zipped,
)
from tests.helpers.models import tiny_config

SPECIFICATION = Path(__file__).parents[1] / "docs" / "checkpoint-format.md"
Mutation = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """A run after 9 of 16 steps, validated after 4 and 8, with an unknown symbol: nothing in it is empty."""
    corpus = corpus_of(random_text(300) + "é", min_count=2)
    checkpoint = tiny_run(corpus, val_fraction=0.25)
    next(report for report in train(checkpoint, corpus.ids) if report.step == 9)
    return checkpoint


@pytest.fixture(scope="module")
def good(trained: Checkpoint) -> bytes:
    return to_bytes(trained)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m[1].npz"  # a name that a careless glob would misread


# ---- what the file holds ----


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    text, amount = st.text(max_size=9), st.floats(0, 1e9)
    step, unknown = draw(st.integers(1, 2**53 - 1)), draw(st.booleans())
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
    train = TrainConfig(
        steps=draw(st.integers(1, 2**53 - 1)),
        budget=draw(text),
        batch_size=draw(st.integers(1, 3)),
        lr=draw(st.floats(1e-300, 1e300)),
        val_fraction=draw(st.floats(0, 0.99)),
        seed=draw(st.integers(0, 2**63 - 1)),
        encoding=draw(text),
    )
    rng = np.random.default_rng(train.seed)
    vectors = [rng.normal(size=size_of(parameter_shapes(config))).astype(np.float32) for _ in range(4)]
    vectors[0][0] = -0.0  # equal to 0, but not the same bytes
    parts = [(config.hidden_size, train.batch_size) for _ in CELLS[config.recurrence].state]
    return Checkpoint(
        CharRNN(config, vectors[0]),
        train,
        Vocab(np.array(sorted(map(ord, symbols)), np.uint32), unknown, draw(st.sampled_from(NORMALIZATIONS))),
        Origin(tuple(draw(st.lists(text | st.just("\udcff.txt")))), draw(text), draw(st.integers(0, 2**53 - 1))),
        {"m": vectors[1], "v": vectors[2]},
        [tuple(rng.normal(size=part).astype(np.float32) for part in parts) for _ in range(config.num_layers)],
        step,
        draw(amount),
        draw(st.none() | st.builds(Best, steps, amount, st.just(vectors[3]))),
        [(at, draw(amount), draw(amount)) for at in sorted(draw(st.sets(steps, max_size=3)))],
        draw(st.dictionaries(text, text, max_size=3)),
        draw(st.none() | text),
    )


@settings(deadline=None, max_examples=50, derandomize=True)
@given(checkpoints())
def test_every_field_survives_the_file_and_gives_the_same_bytes_again(checkpoint: Checkpoint) -> None:
    again = copy_of(checkpoint)
    np.testing.assert_equal(plain(again), plain(checkpoint))
    assert again.vocab == checkpoint.vocab
    assert to_bytes(again) == to_bytes(checkpoint)


def test_numbers_may_be_given_as_integers() -> None:
    whole = tiny_run(corpus_of("ab\n" * 9), val_fraction=0, lr=1, weight_decay=0, grad_clip=2)
    assert to_bytes(copy_of(whole)) == to_bytes(whole)


@pytest.mark.parametrize("cell", CELLS)
def test_numpy_alone_reads_the_best_weights_under_their_names(cell: str, path: Path) -> None:
    corpus = corpus_of(random_text(300))
    checkpoint = tiny_run(corpus, {"num_layers": 2, **cell_settings(cell)}, steps=4, val_fraction=0.25)
    best = [checkpoint.model.vector.copy() for _ in train(checkpoint, corpus.ids)][-1]
    checkpoint.model.vector += 1  # the last weights are others
    path.write_bytes(to_bytes(checkpoint))
    with np.load(path, allow_pickle=False) as arrays:
        contents = dict(arrays)
    shapes = parameter_shapes(checkpoint.model.config)
    assert {name: contents[name].shape for name in shapes} == shapes
    np.testing.assert_array_equal(np.concatenate([contents[name].ravel() for name in shapes]), best)
    np.testing.assert_array_equal(contents["last"], checkpoint.model.vector)
    described = layout(checkpoint.model.config, checkpoint.train, len(corpus.vocab))
    assert contents.keys() - {"manifest"} == described.keys()
    assert {name: contents[name].dtype.str for name in described} == {
        name: kind for name, (kind, _) in described.items()
    }


@pytest.mark.parametrize("cell", CELLS)
def test_the_deepest_network_fits_the_members(cell: str) -> None:
    checkpoint = tiny_run(corpus_of("abc\n" * 30), {"num_layers": MAX_LAYERS, "hidden_size": 2, **cell_settings(cell)})
    assert len(members(to_bytes(checkpoint))) <= MAX_MEMBERS
    assert to_bytes(copy_of(checkpoint)) == to_bytes(checkpoint)


def test_there_is_no_time_in_the_file(trained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    before = to_bytes(trained)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert to_bytes(trained) == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_best_model_is_the_last_one_until_a_validation(trained: Checkpoint) -> None:
    assert trained.best
    assert trained.trained.model.vector is trained.best.vector
    fresh = tiny_run(corpus_of("ab\n" * 9))
    assert fresh.trained.model is fresh.model


def test_the_environment_is_what_the_last_bits_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr(threads, "limit", 5)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    found = environment()
    assert found["blas"].endswith(" Sandybridge")
    assert found.items() >= {"numpy": np.__version__, "threads": "5", "product_threads": "3"}.items()
    assert found["machine"].split()[0] == os.uname().machine
    assert found.keys() == {"numpy", "blas", "machine", "threads", "product_threads"}
    assert all(found.values())


def test_the_specification_names_every_member_and_every_key(good: bytes) -> None:
    specification, manifest = SPECIFICATION.read_text(encoding="utf-8"), manifest_of(good)
    inner = {key for value in manifest.values() if isinstance(value, dict) for key in value} - manifest["sha256"].keys()
    named = {name.removesuffix(".npy").replace("layers.0", "layers.l") for name in members(good)}
    assert [name for name in {*manifest, *inner, *named} if f"`{name}`" not in specification] == []


@pytest.mark.parametrize("cell", CELLS)
def test_the_members_stand_in_the_order_of_the_specification(cell: str) -> None:
    data = to_bytes(tiny_run(corpus_of("ab\n" * 20), {"num_layers": 2, **cell_settings(cell)}))
    found = [re.sub(r"layers\.\d", "layers.l", name.removesuffix(".npy")) for name in members(data)]
    rows = re.findall(r"^\| (`.+?`) \|", SPECIFICATION.read_text("utf-8").split("## Manifest")[0], re.MULTILINE)
    order = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert [name for name in order if name in found] == list(dict.fromkeys(found))


def test_the_example_in_the_specification_runs(
    trained: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = SPECIFICATION.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "plays.npz").write_bytes(to_bytes(trained))
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert "head.W_hy (8, 4) float32" in capsys.readouterr().out


# ---- what writing and scoring read of it ----


def test_the_trained_model_is_read_without_the_run(trained: Checkpoint, good: bytes, path: Path) -> None:
    path.write_bytes(good)
    assert trained.best
    assert not np.array_equal(trained.best.vector, trained.model.vector)
    found, whole = CheckpointStore(path).load_trained(), CheckpointStore(path).load().trained
    for each in (found, whole):
        np.testing.assert_array_equal(each.model.vector, trained.best.vector, strict=True)
        assert each.model.config == trained.model.config
        assert (each.train, each.vocab, each.origin) == (trained.train, trained.vocab, trained.origin)


def test_no_more_of_a_file_is_held_than_the_weights(path: Path) -> None:
    run = tiny_run(corpus_of("ab\n" * 20), {"hidden_size": 300}, optimizer="adam", batch_size=1)
    store = CheckpointStore(path)
    store.save(run)
    tracemalloc.start()
    try:
        store.load_trained()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert run.model.vector.nbytes > 300_000
    assert peak < 3.5 * run.model.vector.nbytes  # the bytes of its matrices, and they as one vector; not slots and last


@pytest.mark.parametrize("name", ["last", "slots.m", "slots.v", "state", "history"])
def test_what_writing_does_not_need_must_be_whole_all_the_same(name: str, good: bytes, path: Path) -> None:
    content = members(good)[f"{name}.npy"]
    begin = good.index(content)
    for at in (0, len(content) // 2, len(content) - 1):
        damaged = bytearray(good)
        damaged[begin + at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a whole model file"):
            CheckpointStore(path).load_trained()
    for longer_or_shorter in (content + b"\0", content[:-1]):  # of right checksums
        path.write_bytes(with_member(good, name, longer_or_shorter))
        with pytest.raises(CheckpointError, match=f"{name} has another size than it says"):
            CheckpointStore(path).load_trained()


# ---- what is refused ----


def refusal(path: Path) -> str:
    """The one error with one printable line that loading a bad file ends with, in memory bounded by its size."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings(record=True, action="always") as warned, pytest.raises(CheckpointError) as refused:
            CheckpointStore(path).load()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    assert peak < 4 * size + (4 << 20)
    assert [str(warning.message) for warning in warned] == []  # each would be a line more on stderr
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    assert "pickle" not in message  # numpy's hint how to load it all the same
    return message


def entry(path: str, value: object) -> Mutation:
    return lambda data: with_entry(data, path, value)


def array(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Mutation:
    return lambda data: with_array(data, name, change(array_of(data, name)))


def member(name: str, change: Callable[[bytes], bytes]) -> Mutation:
    return lambda data: with_member(data, name, change(members(data)[f"{name}.npy"]))


def header(name: str, descr: str, shape: str, padding: int = 0) -> Mutation:
    """Another header on the numbers of an array."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}" + " " * padding
    return lambda data: with_member(data, name, npy(array_of(data, name), text))


def manifest(text: str) -> Mutation:
    return lambda data: with_manifest(data, text)


def spelt(key: str, value: str) -> Mutation:
    """A manifest in which a key's value is spelt as no JSON writer would."""
    return lambda data: with_manifest(
        data, re.sub(f'"{key}": [^,}}]+', f'"{key}": {value}', json.dumps(manifest_of(data)))
    )


def archive(change: Callable[[dict[str, bytes]], dict[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Mutation:
    return lambda data: zipped(change(members(data)), compression)


def without(name: str) -> Mutation:
    return archive(lambda files: {other: content for other, content in files.items() if other != name})


def directory(member: str, offset: int, *values: int) -> Mutation:
    """Other values in the central directory, from an offset into the record of a member."""
    return lambda data: with_directory_field(data, member, offset, *values)


def renamed(old: bytes, new: bytes) -> Mutation:
    """Another name of a member, as long, in both places where the archive has it."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def first(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """An array with another first number."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        array.flat[0] = value
        return array

    return change


def symbols(*codes: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda _: np.array(codes, "<u4")


ENTRIES: dict[str, list[object]] = {  # values that a manifest cannot have
    "format": ["other", 1, MISSING],
    "version": [2, 0, "1", True, 1.0, None, MISSING],
    "model": [[], None, {}, MISSING],
    "model/hidden_size": [10**9, 5, 0, -4, 4.0, "4", True, None, 2**63, 2**64, MISSING],
    "model/num_layers": [2, 13, 10**9],
    "model/embed_size": [16384, 2**63],
    "model/vocab_size": [7, 0, 10**30],
    "model/cell": ["other", 1, "\x1b[31m"],
    "model/activation": ["sigmoid", []],
    "model/line_end": [1, 7, 8, -1, 0.0, "0", True, False, MISSING],
    "model/more": [1],
    "train": ["16 steps", MISSING],
    "train/steps": [0, 2**53, 10**30, 16.0, True, "16"],
    "train/batch_size": [4, 65536, 2**31],
    "train/lr": ["0.1", 0.0, -1.0, True],
    "train/val_fraction": [1.0],
    "train/seed": [-1, 2**63, 0.5],
    "train/encoding": [8, MISSING],
    "train/more": [1],
    "vocab": [[], MISSING],
    "vocab/unknown": [False, 1, 2, "yes", None, MISSING],
    "vocab/normalize": ["nfkc", None, [], "\x1b[31m", MISSING],
    "vocab/symbols": [[]],
    "origin": [None, [], MISSING],
    "origin/sources": ["a.txt", None, [1], {}, MISSING],
    "origin/sha256": [1, MISSING],
    "origin/chars": ["301", 1.5, True, -1, 2**63, None, MISSING],
    "origin/more": [1],
    "step": [-1, 2**53, 10**30, 9.0, True, "9", None, MISSING],
    "loss_sum": ["1.0", True, None, MISSING],
    "best": [0, [], {}, "best", MISSING],
    "best/step": [-1, 10, 2**63, 4.0, "4", True, MISSING],
    "best/nats": ["2.0", True, None, MISSING],
    "best/more": [1],
    "environment": [None, [], MISSING],
    "environment/numpy": [2, None],
    "init_from": [0, [], {}, MISSING],
    "sha256": [None, [], {}, MISSING],
    "sha256/last": ["0" * 64, None, MISSING],
    "sha256/more": ["0" * 64],
    "more": [1],
}
REFUSED: dict[str, tuple[Mutation, str]] = {
    "a newer version, named": (entry("version", 7), "format version 7, .* install a newer charrnn"),
    "a version that talks to the terminal": (entry("version", "\x1b[2J" * 99), ""),
    "NaN in the manifest": (entry("loss_sum", float("nan")), "NaN in the manifest"),
    "infinity in the manifest": (entry("best/nats", float("inf")), "Infinity in the manifest"),
    "infinity in other words": (spelt("loss_sum", "1e999"), ""),
    "infinity as the best loss": (spelt("nats", "1e999"), ""),
    "infinity as a setting": (spelt("lr", "1e999"), ""),
    "a number of many digits": (spelt("step", "9" * 5000), ""),
    "a list within lists": (manifest("[" * 100_000), ""),
    "no object": (manifest("[]"), "not a model of charrnn"),
    "no JSON": (manifest("{"), ""),
    "no UTF-8": (member("manifest", lambda _: npy(np.full(9, 0xFF, np.uint8))), ""),
    "a manifest of two megabytes": (entry("train/budget", "x" * (2 << 20)), "not a model of charrnn"),
    "symbols out of order": (array("vocabulary", lambda a: a[::-1].copy()), "vocabulary is not in order"),
    "a symbol twice": (array("vocabulary", lambda a: a[[0, 0, *range(2, len(a))]]), "vocabulary is not in order"),
    "a surrogate": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 0xD800)), "vocabulary is not text"),
    "a symbol beyond Unicode": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 0x110000)), "is not text"),
    "a symbol beyond int32": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 2**32 - 1)), "is not text"),
    "weights that are NaN": (array("embed.W", first(np.nan)), "not all finite"),
    "last weights that are infinite": (array("last", first(np.inf)), "not all finite"),
    "slots that are NaN": (array("slots.v", first(np.nan)), "not all finite"),
    "a state that is infinite": (array("state", first(-np.inf)), "not all finite"),
    "history that is NaN": (array("history", first(np.nan)), "not all finite"),
    "history of half a step": (array("history", first(3.5)), ""),
    "history of a future step": (array("history", first(1e300)), ""),
    "history of two columns": (array("history", lambda a: a[:, :2].copy()), "history has another shape or type"),
    "a shape turned around": (array("embed.W", lambda a: a.T.copy()), "embed.W has another shape or type"),
    "a row more": (array("embed.W", lambda a: np.vstack([a, a[:1]])), "embed.W has another shape or type"),
    "a vector as a column": (array("head.b_y", lambda a: a[:, None]), "head.b_y has another shape or type"),
    "a scalar": (array("head.b_y", lambda a: a[0]), "head.b_y has another shape or type"),
    "float64": (array("last", lambda a: a.astype("<f8")), "last has another shape or type"),
    "integers of one size": (array("last", lambda a: a.view("<i4")), "last has another shape or type"),
    "the other byte order": (array("last", lambda a: a.astype(">f4")), "last has another shape or type"),
    "text": (array("last", lambda a: a.astype("U9")), "last has another shape or type"),
    "Fortran's order": (array("embed.W", np.asfortranarray), "embed.W has another shape or type"),
    "a number less": (member("head.b_y", lambda content: content[:-4]), "head.b_y has another size than it says"),
    "a number more": (member("head.b_y", lambda content: content + b"0000"), "head.b_y has another size than it says"),
    "other numbers": (member("last", lambda content: content[:-1] + b"0"), "last is damaged"),
    "npy version 2": (member("last", lambda _: b"\x93NUMPY\2\0"), "last is not an array of version 1.0"),
    "no npy": (member("last", lambda _: b"last"), ""),
    "nothing": (member("last", lambda _: b""), ""),
    "an empty manifest": (member("manifest", lambda _: b""), "not a model of charrnn"),
    "a header of 60 kB": (header("head.b_y", "'<f4'", "(8,)", 60_000), "large"),
    "a header within brackets": (header("head.b_y", "'<f4'", "(" * 3000), ""),
    "a header of Python 2": (header("head.b_y", "'<f4'", "(8L,)"), ""),
    "a header that warns": (header("head.b_y", r"'\<f4'", "(8,)"), ""),
    "a type that warns": (header("head.b_y", "'a4'", "(8,)"), ""),
    "a header that calls": (header("head.b_y", "'<f4'", "(print(8),)"), ""),
    "a shape below zero": (header("history", "'<f8'", "(-1, 3)"), "history has another size than it says"),
    "a shape beyond memory": (header("history", "'<f8'", f"({2**62}, 3)"), "history has another size than it says"),
    "a type of many fields": (
        header("history", repr("f8," * 999 + "f8"), "(1, 3)"),
        "history has another shape or type",
    ),
    "compressed": (archive(dict, zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    "compressed by bzip2": (archive(dict, zipfile.ZIP_BZIP2), "compressed or encrypted"),
    "a zip bomb": (
        archive(lambda files: files | {"last.npy": bytes(50_000_000)}, zipfile.ZIP_DEFLATED),
        "compressed or",
    ),
    "a method of compression": (directory("last", 10, 8), "compressed or encrypted"),
    "encrypted": (directory("last", 8, 1), "compressed or encrypted"),
    "a size beyond the file": (directory("last", 20, 10**9, 10**9), "larger than the file"),
    "two sizes": (directory("last", 24, 10**9), "compressed or encrypted"),
    "an offset beyond the file": (directory("last", 42, 10**9), ""),
    "members at one place": (directory("last", 42, 0), "differ"),
    "too many members": (archive(lambda files: files | {f"{i}.npy": b"" for i in range(65)}), "too many members"),
    "a member more": (archive(lambda files: files | {"more.npy": npy(np.zeros(3))}), "missing, or foreign"),
    "a member less": (without("last.npy"), "missing, or foreign"),
    "no manifest": (without("manifest.npy"), "not a model of charrnn"),
    "no members": (archive(lambda _: {}), "not a model of charrnn"),
    "a member twice": (renamed(b"slots.m.npy", b"slots.v.npy"), "one twice"),
    "another name": (renamed(b"slots.m.npy", b"slots.n.npy"), "missing, or foreign"),
    "another ending": (renamed(b"slots.m.npy", b"slots.m.npz"), "missing, or foreign"),
    "a name that climbs": (renamed(b"slots.m.npy", b"../../m.npy"), "missing, or foreign"),
    "a name from the root": (renamed(b"slots.m.npy", b"/root/m.npy"), "missing, or foreign"),
    "two names": (lambda data: data.replace(b"slots.m.npy", b"slots.n.npy", 1), "differ"),
    **{
        f"{path} = {value!r:.20}" if value is not MISSING else f"no {path}": (entry(path, value), "")
        for path, values in ENTRIES.items()
        for value in values
    },
}


def weights_in(data: bytes) -> NDArray[Any]:
    """The best weights in the bytes of a model file."""
    return from_file(io.BytesIO(data)).trained.model.vector


@pytest.mark.parametrize(("mutate", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_file_with_one_thing_wrong_is_refused(mutate: Mutation, reason: str, good: bytes, path: Path) -> None:
    bad = mutate(good)
    assert bad != good
    path.write_bytes(bad)
    message = refusal(path)
    assert "not a whole model file" in message
    assert re.search(reason, message)
    with suppress(CheckpointError):  # if what is wrong is in what writing needs, it is refused there too
        np.testing.assert_array_equal(CheckpointStore(path).load_trained().model.vector, weights_in(good))


@pytest.mark.parametrize("content", [b"", b"\0", b"PK", b"PK\5\6" + bytes(18), np.random.default_rng(0).bytes(5000)])
def test_what_is_no_archive_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert "not a whole model file" in refusal(path)


def test_an_npz_of_someone_else_is_refused(path: Path) -> None:
    np.savez(path, weights=np.zeros((5, 3)), step=7)
    assert "not a model of charrnn" in refusal(path)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.npz") == f"{tmp_path}/none.npz: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    endless = tmp_path / ("x" * 300)
    assert refusal(endless) == f"{endless}: File name too long"
    assert not CheckpointStore(endless).exists()


@pytest.mark.parametrize("change", [1.0, -0.0])
def test_without_a_validation_the_weights_are_the_last_to_the_bit(change: float, path: Path) -> None:
    run = tiny_run(corpus_of("ab\n" * 20))
    assert run.best is None
    last = run.model.vector.copy()
    assert last[-1] == 0  # a bias
    last[-1] = change
    path.write_bytes(with_array(to_bytes(run), "last", last))
    assert "its weights are neither the best nor the last" in refusal(path)


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_no_code_in_a_file_is_run(good: bytes, path: Path) -> None:
    harmed = path.parent / "harmed"
    path.write_bytes(with_member(good, "last", npy(np.array([Payload(harmed)]))))
    assert "last has another shape or type" in refusal(path)
    assert not harmed.exists()
    with np.load(path, allow_pickle=True) as arrays:
        arrays["last"]
    assert harmed.exists()  # so the payload was a live one


def test_every_truncation_is_refused(good: bytes, path: Path) -> None:
    for length in range(0, len(good), 37):
        path.write_bytes(good[:length])
        for load in (CheckpointStore(path).load, CheckpointStore(path).load_trained):
            with pytest.raises(CheckpointError):
                load()


def test_a_flipped_bit_is_refused_or_changes_nothing(good: bytes) -> None:
    accepted = {}
    for bit in range(0, 8 * len(good), 8 * len(good) // 1500 | 1):  # an odd stride meets all places in a byte
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            accepted[bit] = from_file(io.BytesIO(flipped))
        except READ_ERRORS:
            continue
    assert len(accepted) < 200
    assert [bit for bit, checkpoint in accepted.items() if to_bytes(checkpoint) != good] == []


# ---- what is saved ----


def spoilt(checkpoint: Checkpoint, part: str) -> Checkpoint:
    """A copy in which one number is NaN."""
    checkpoint = copy_of(checkpoint)
    assert checkpoint.best
    if part == "loss_sum":
        checkpoint.loss_sum = float("nan")
    elif part == "history":
        checkpoint.history[-1] = (8, 1.0, float("nan"))
    else:
        parts = {"last": checkpoint.model.vector, "best": checkpoint.best.vector, "state": checkpoint.state[0][0]}
        (parts | checkpoint.slots)[part].flat[3] = np.nan
    return checkpoint


@pytest.mark.parametrize("part", ["last", "best", "state", "m", "v", "loss_sum", "history"])
def test_a_run_that_is_not_finite_never_replaces_a_good_file(
    part: str, trained: Checkpoint, good: bytes, path: Path
) -> None:
    path.write_bytes(good)
    with pytest.raises(CheckpointError):
        CheckpointStore(path).save(spoilt(trained, part))
    assert path.read_bytes() == good


def test_what_could_not_be_loaded_again_is_not_saved(trained: Checkpoint, good: bytes, path: Path) -> None:
    path.write_bytes(good)
    checkpoint = copy_of(trained)
    checkpoint.origin = Origin(tuple(f"{i:0100}.txt" for i in range(20_000)), "", 1)  # two megabytes of names
    with pytest.raises(CheckpointError):
        CheckpointStore(path).save(checkpoint)
    assert path.read_bytes() == good


def test_arrays_beyond_two_gigabytes_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tiny_run(corpus_of("ab\n" * 9), {"hidden_size": 40})  # 9 kB in all
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 7000)  # as if this much were two gigabytes
    assert to_bytes(copy_of(checkpoint)) == to_bytes(checkpoint)


def test_saving_leaves_the_file_alone_in_its_folder(trained: Checkpoint, good: bytes, path: Path) -> None:
    store = CheckpointStore(path)
    assert not store.exists()
    for _ in range(2):
        store.save(trained)
        assert store.exists()
        assert path.read_bytes() == good == to_bytes(store.load())
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_mode_of_the_old_file_is_kept(mode: int, trained: Checkpoint, path: Path) -> None:
    path.touch()
    path.chmod(mode)
    CheckpointStore(path).save(trained)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one(there: bool, trained: Checkpoint, good: bytes, path: Path) -> None:
    folder = path.parent / "elsewhere"
    folder.mkdir()
    if there:
        (folder / "target.npz").write_bytes(b"old")
    path.symlink_to(folder / "target.npz")
    CheckpointStore(path).save(trained)
    assert path.is_symlink()
    assert (folder / "target.npz").read_bytes() == good
    assert list(folder.iterdir()) == [folder / "target.npz"]


def is_folder(file: int) -> bool:
    return stat.S_ISDIR(os.fstat(file).st_mode)


def test_the_order_is_write_sync_verify_replace_sync_of_the_folder(
    trained: Checkpoint, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []

    def recorded(owner: object, name: str, event: Callable[..., object]) -> None:
        real = getattr(owner, name)

        def call(*args: Any) -> Any:
            events.append(event(*args))
            return real(*args)

        monkeypatch.setattr(owner, name, call)

    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "open", lambda path, mode: open(path, mode, 1 << 20))  # noqa: SIM115  # waits for a flush
    recorded(os, "fsync", lambda file: ("sync", "folder" if is_folder(file) else os.fstat(file).st_size))
    recorded(Path, "open", lambda file, mode: (mode, file.name))
    recorded(os, "replace", lambda beside, to: ("replace", to, os.stat(beside).st_size))
    CheckpointStore(path).save(trained)
    beside = f".{path.name}.{os.getpid()}.tmp"
    assert events == [
        ("xb", beside),
        ("sync", len(good)),
        ("rb", beside),
        ("replace", path, len(good)),
        ("sync", "folder"),
    ]


def on_open(patch: pytest.MonkeyPatch, wanted: str, change: Callable[[Any], Any]) -> None:
    """Let what is opened in one mode be something else."""
    real = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any) -> Any:
        file = real(path, mode, *rest)
        return change(file) if mode == wanted else file

    patch.setattr(Path, "open", opened)


def fail(error: BaseException) -> NoReturn:
    raise error


def filling_disk(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    def half_writable(file: Any) -> Any:
        write = file.write
        patch.setattr(file, "write", lambda data: write(data[: len(data) // 2]) and fail(error))
        return file

    on_open(patch, "xb", half_writable)


FAILURES: dict[str, Callable[[pytest.MonkeyPatch, BaseException], None]] = {
    "write": filling_disk,
    "fsync": lambda patch, error: patch.setattr(os, "fsync", lambda *_: fail(error)),
    "read back": lambda patch, error: on_open(patch, "rb", lambda file: (file.close(), fail(error))),
    "replace": lambda patch, error: patch.setattr(os, "replace", lambda *_: fail(error)),
}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failing_save_leaves_the_old_file_and_no_other(
    failure: Callable[[pytest.MonkeyPatch, BaseException], None],
    error: BaseException,
    trained: Checkpoint,
    good: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        failure(patch, error)
        with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt) as raised:
            CheckpointStore(path).save(trained)
    if isinstance(error, OSError):
        assert str(raised.value) == f"{path}: cannot be saved: No space left on device"
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    CheckpointStore(path).save(trained)  # and the next save is not disturbed
    assert path.read_bytes() == good


def test_what_the_disk_gives_back_must_be_what_was_written(
    trained: Checkpoint, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(file: Any) -> Any:
        with file:
            return io.BytesIO(file.read().replace(array_of(to_bytes(trained), "slots.m").tobytes()[:9], bytes(9)))

    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        on_open(patch, "rb", forgetful)
        with pytest.raises(CheckpointError, match="cannot be saved"):
            CheckpointStore(path).save(trained)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_told_and_the_new_file_is_whole(
    trained: Checkpoint, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        if is_folder(file):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match="Input/output error"):
        CheckpointStore(path).save(trained)
    assert path.read_bytes() == good


def test_a_folder_that_is_not_there_is_named(trained: Checkpoint, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "none" / "m.npz")
    with pytest.raises(CheckpointError, match=r"none/m\.npz: cannot be saved: No such file or directory"):
        store.save(trained)
    with (
        pytest.raises(CheckpointError, match=r"none/m\.npz: cannot be saved there: No such file or directory"),
        store.lock(),
    ):
        pass


# ---- a writer that dies, and one that is there already ----

DYING_WRITER = """
import os, signal, sys
from pathlib import Path
from charrnn.checkpoint import CheckpointStore

old, new, last = CheckpointStore(Path(sys.argv[1])), CheckpointStore(Path(sys.argv[2])).load(), int(sys.argv[3])
calls = 0

def dying(real):
    def call(*args):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call

with old.lock():
    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    old.save(new)
"""
SECOND_WRITER = """
import sys
from pathlib import Path
from charrnn.checkpoint import CheckpointStore
from charrnn.errors import LockedError

try:
    with CheckpointStore(Path(sys.argv[1])).lock():
        print("locked")
except LockedError as error:
    print(error)
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=IMPORTABLE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("last_call", "survivor"), [(1, "old"), (2, "old"), (3, "new")], ids=["sync", "replace", "done"]
)
def test_a_writer_killed_in_mid_save_leaves_a_whole_file_and_nothing_in_the_way(
    last_call: int,
    survivor: str,
    trained: Checkpoint,
    good: bytes,
    path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    new = tmp_path_factory.mktemp("new") / "new.npz"
    new.write_bytes(with_entry(good, "step", 10))
    files = {"old": good, "new": to_bytes(CheckpointStore(new).load())}
    path.write_bytes(good)
    assert python(DYING_WRITER, path, new, last_call).returncode == -signal.SIGKILL
    assert path.read_bytes() == files[survivor]
    left = {file.name.split(".")[-1] for file in path.parent.iterdir()}
    assert left == {"npz", "lock"} | ({"tmp"} if survivor == "old" else set())
    with CheckpointStore(path).lock():
        assert path.with_name("m[1].npz.lock").read_text() == f"{os.getpid()}\n"
        assert [file for file in path.parent.iterdir() if file.suffix == ".tmp"] == []
    assert list(path.parent.iterdir()) == [path]


def test_only_the_leftovers_of_this_model_are_removed(path: Path) -> None:
    others = {path.with_name(name) for name in (".m1.npz.7.tmp", ".m[1].npz", "m[1].npz.7.tmp", ".m[1].npz.7.txt")}
    for file in others | {path.with_name(".m[1].npz.7.tmp")}:
        file.touch()
    with CheckpointStore(path).lock():
        pass
    assert set(path.parent.iterdir()) == others


def test_a_second_writer_is_told_who_the_first_one_is(path: Path) -> None:
    with CheckpointStore(path).lock():
        assert path.with_name("m[1].npz.lock").read_text() == f"{os.getpid()}\n"
        told = python(SECOND_WRITER, path)
        assert told.stdout == (f"{path}: process {os.getpid()} is training this model: wait for it, or stop it\n"), (
            told.stderr
        )
        with pytest.raises(LockedError), CheckpointStore(path).lock():  # nor may another part of this process
            pass
    assert list(path.parent.iterdir()) == []
    with CheckpointStore(path).lock():
        pass


def test_a_lock_that_its_owner_removes_meanwhile_is_taken_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, real = path.with_name("m[1].npz.lock"), fcntl.flock
    removals = iter([lock.unlink])

    def flock(file: Any, how: int) -> None:
        next(removals, lambda: None)()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with CheckpointStore(path).lock():
        assert lock.read_text() == f"{os.getpid()}\n"
        with pytest.raises(LockedError), CheckpointStore(path).lock():
            pass


def test_a_system_without_such_locks_trains_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.checkpoint.store.fcntl", None)
    with CheckpointStore(path).lock():
        assert path.with_name("m[1].npz.lock").exists()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("mine"), BlockingIOError("mine"), KeyboardInterrupt("mine")], ids=repr)
def test_an_error_of_the_training_passes_the_lock_unchanged(error: BaseException, path: Path) -> None:
    with pytest.raises(type(error), match="mine") as raised, CheckpointStore(path).lock():
        raise error
    assert raised.value is error
    assert list(path.parent.iterdir()) == []
