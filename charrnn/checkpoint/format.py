"""What a model file holds: the manifest and arrays of a whole training run, as docs/checkpoint-format.md specifies.

Nothing in a file is trusted before it is checked: the manifest against its schema, the members against what follows
from the configuration, the parts against each other.
"""

import hashlib
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from dataclasses import asdict, fields
from types import UnionType
from typing import IO, Any, get_args

import numpy as np

from charrnn.checkpoint.archive import Arrays, Layout, check, member_sizes, pack, read_array, read_arrays
from charrnn.core.cells import CELLS
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.errors import CharRNNError
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.optim import OPTIMIZERS
from charrnn.core.state import Best, Origin, TrainState
from charrnn.core.vocab import CODE_POINTS, Vocab

ModelParts = tuple[CharRNN, Vocab, TrainConfig, Origin]  # what sampling and scoring need of a model

FORMAT, VERSION = "charrnn", 1
MAX_MANIFEST = 1 << 20  # bytes
RUN_MEMBERS = ("last", "slots.", "state", "history")  # beginnings of the names of what only training needs
READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, EOFError, ValueError, TypeError, KeyError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, OverflowError, SyntaxError, Warning, CharRNNError,
)  # fmt: skip  # everything that zipfile, numpy and json are known to raise for damaged files

MANIFEST = {
    "format": str,
    "version": int,
    "model": {field.name: field.type for field in fields(ModelConfig)},
    "train": {field.name: field.type for field in fields(TrainConfig)},
    "vocab": {"unknown": bool, "normalize": str},
    "origin": {"sources": [str], "sha256": str, "chars": int},
    "step": int,
    "loss_sum": float,
    "best": (type(None), {"step": int, "nats": float}),
    "environment": {str: str},
    "init_from": (type(None), str),
    "sha256": {str: str},
}


def layout(model: ModelConfig, train: TrainConfig, symbols: int) -> Layout:
    """Return the dtype and shape of every array except the manifest, as they follow from the configuration.

    The history has one row per validation; only its own header says how many.
    """
    shapes, cell = parameter_shapes(model), CELLS[model.recurrence]
    P = size_of(shapes)
    state = (model.ensemble * model.num_layers, len(cell.state), model.hidden_size, train.batch_size)
    return {
        **{name: ("<f4", shape) for name, shape in shapes.items()},  # the best weights, or the only ones
        "last": ("<f4", (P,)),
        **{f"slots.{name}": ("<f4", shape) for name, shape in OPTIMIZERS[train.optimizer].slots(shapes).items()},
        "state": ("<f4", state),
        "vocabulary": ("<u4", (symbols,)),
        "history": ("<f8", (None, 3)),
    }


def to_bytes(state: TrainState) -> bytes:
    """Return the bytes of a model file; the same run gives the same bytes."""
    arrays = {
        **state.best_model.params,
        "last": state.model.vector,
        **{f"slots.{name}": slot for name, slot in state.slots.items()},
        "state": np.array(state.carried),
        "vocabulary": state.vocab.symbols,
        "history": np.array(state.history, np.float64).reshape(-1, 3),
    }
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "model": asdict(state.model.config),
        "train": asdict(state.config),
        "vocab": {"unknown": state.vocab.unknown, "normalize": state.vocab.normalize},
        "origin": asdict(state.origin),
        "step": state.step,
        "loss_sum": state.loss_sum,
        "best": {"step": state.best.step, "nats": state.best.nats} if state.best else None,
        "environment": state.environment,
        "init_from": state.init_from,
        "sha256": {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()},
    }
    text = json.dumps(manifest, allow_nan=False, indent=1).encode()
    return pack({"manifest": np.frombuffer(text, np.uint8), **arrays})


def from_file(file: IO[bytes]) -> TrainState:
    """Return the run of a model file; raises one of READ_ERRORS if it is not a whole one."""
    manifest, arrays = read_members(file)
    model, vocab, config, origin = to_model(manifest, arrays)
    step, best, history = manifest["step"], manifest["best"], arrays["history"]
    steps = np.array([0, *history[:, 0], step])
    check(bool(np.all(steps == np.floor(steps)) and np.all(np.diff(steps) >= 0)), "its steps are not in order")
    check(step < 2**53, "its step is too large")
    check(best is None or best["step"] <= step, "its best step is after its last one")
    weights = model.vector
    same = weights.tobytes() == arrays["last"].tobytes()  # as bytes, since -0.0 equals 0.0
    check(best is not None or same, "its weights are neither the best nor the last")
    return TrainState(
        CharRNN(model.config, arrays["last"].copy()),
        config,
        vocab,
        origin,
        {name.removeprefix("slots."): array.copy() for name, array in arrays.items() if name.startswith("slots.")},
        [tuple(np.array(part) for part in parts) for parts in arrays["state"]],
        step,
        manifest["loss_sum"],
        Best(best["step"], best["nats"], weights) if best else None,
        [(int(at), float(train_loss), float(loss)) for at, train_loss, loss in history],
        manifest["environment"],
        manifest["init_from"],
    )


def model_from_file(file: IO[bytes]) -> ModelParts:
    """Return the trained model of a file, and only verify its other members; raises like from_file."""
    return to_model(*read_members(file, skip=RUN_MEMBERS))


def to_model(manifest: dict[str, Any], arrays: Arrays) -> ModelParts:
    """Return the model with the best weights; raises one of READ_ERRORS if the parts disagree."""
    config, vocab = ModelConfig(**manifest["model"]), Vocab(arrays["vocabulary"], **manifest["vocab"])
    symbols, origin = vocab.symbols.astype(np.int64), manifest["origin"]
    check(len(vocab) == config.vocab_size and bool(np.all(np.diff(symbols) > 0)), "the vocabulary is not in order")
    surrogates = (symbols >= 0xD800) & (symbols < 0xE000)
    check(not np.any(surrogates | (symbols >= CODE_POINTS)), "the vocabulary is not text")
    check(config.line_end in (None, vocab.newline_id), "its lines do not end at the newline")
    floats = [array for array in arrays.values() if array.dtype.kind == "f"]
    check(all(np.isfinite(array).all() for array in floats), "not all of its numbers are finite")
    weights = np.concatenate([arrays[name].ravel() for name in parameter_shapes(config)])
    text = Origin(tuple(origin["sources"]), origin["sha256"], origin["chars"])
    return CharRNN(config, weights), vocab, TrainConfig(**manifest["train"]), text


def read_members(file: IO[bytes], skip: tuple[str, ...] = ()) -> tuple[dict[str, Any], Arrays]:
    """Return the manifest of a file and its arrays, except those with a name that begins with one of `skip`."""
    with zipfile.ZipFile(file) as archive:
        manifest, expected = read_manifest(archive, file.seek(0, os.SEEK_END))
        return manifest, read_arrays(archive, expected, manifest["sha256"], skip)


def read_manifest(archive: zipfile.ZipFile, file_size: int) -> tuple[dict[str, Any], Layout]:
    """Return the manifest of a file of `file_size` bytes, and the layout that its other members must have."""
    sizes = member_sizes(archive, file_size)
    check(0 < sizes.get("manifest", 0) <= MAX_MANIFEST, "not a charrnn model")
    text = read_array(archive, "manifest", "|u1", (None,)).tobytes()
    manifest = json.loads(text, parse_constant=lambda name: check(False, f"{name} in the manifest"))
    check(isinstance(manifest, dict) and manifest.get("format") == FORMAT, "not a charrnn model")
    version = manifest.get("version")
    advice = "install a newer charrnn" if type(version) is int and version > VERSION else "there is no such version"
    check(version == VERSION, f"format version {version}, this program reads {VERSION}: {advice}")
    check(matches(manifest, MANIFEST), "its manifest does not follow format version 1")
    config, train = ModelConfig(**manifest["model"]), TrainConfig(**manifest["train"])
    expected = layout(config, train, config.vocab_size - manifest["vocab"]["unknown"])
    named = {"manifest", *manifest["sha256"]}
    check(sizes.keys() == {"manifest", *expected} == named, "it has missing or unexpected members")
    return manifest, expected


def matches(value: object, schema: Any) -> bool:
    """Return whether a JSON value matches a schema: a type, a union or tuple of schemas, a list, or an object.

    Numbers must be finite, and integers neither negative nor beyond int64. An object {str: X} may have any keys.
    """
    if isinstance(schema, UnionType):
        schema = get_args(schema)
    if isinstance(schema, tuple):
        return any(matches(value, choice) for choice in schema)
    if isinstance(schema, list):
        return type(value) is list and all(matches(item, schema[0]) for item in value)
    if isinstance(schema, dict):
        if type(value) is not dict or (str not in schema and value.keys() != schema.keys()):
            return False
        return all(matches(item, schema.get(name, schema.get(str))) for name, item in value.items())
    in_range = 0 <= value < 2**63 if type(value) is int else math.isfinite(value) if type(value) is float else True
    return type(value) is schema and in_range
