"""What a model file holds: a manifest and arrays for a training run whole. docs/checkpoint-format.md specifies it.

Nothing in a file is believed before it is checked: the manifest against its schema, the members against what follows
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

from charrnn.cells import CELLS
from charrnn.checkpoint.archive import Arrays, Layout, check, member_sizes, pack, pass_over, read_array, read_arrays
from charrnn.checkpoint.checkpoint import Best, Checkpoint, Origin, Trained
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import CharRNNError
from charrnn.model import CharRNN, parameter_shapes, size_of
from charrnn.optim import OPTIMIZERS
from charrnn.vocab import CODE_POINTS, Vocab

FORMAT, VERSION = "charrnn", 1
MAX_MANIFEST = 1 << 20
READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, EOFError, ValueError, TypeError, KeyError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, OverflowError, SyntaxError, Warning, CharRNNError,
)  # fmt: skip  # all that zipfile, numpy and json are known to raise on damaged files

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


# ---- a checkpoint as arrays, and back ----


def layout(model: ModelConfig, train: TrainConfig, symbols: int) -> Layout:
    """Return dtype and shape of every array beside the manifest: they follow from the configuration.

    The history has a row a validation: how many, its own header says.
    """
    shapes, cell = parameter_shapes(model), CELLS[model.recurrence]
    P = size_of(shapes)
    state = (model.ensemble * model.num_layers, len(cell.state), model.hidden_size, train.batch_size)
    return {
        **{name: ("<f4", shape) for name, shape in shapes.items()},  # the best weights, or the only ones
        "last": ("<f4", (P,)),
        **{f"slots.{name}": ("<f4", (P,)) for name in OPTIMIZERS[train.optimizer].slots},
        "state": ("<f4", state),
        "vocabulary": ("<u4", (symbols,)),
        "history": ("<f8", (None, 3)),
    }


def to_arrays(checkpoint: Checkpoint) -> Arrays:
    """Return the arrays of a file by name."""
    return {
        **checkpoint.trained.model.params,
        "last": checkpoint.model.vector,
        **{f"slots.{name}": slot for name, slot in checkpoint.slots.items()},
        "state": np.array(checkpoint.state),
        "vocabulary": checkpoint.vocab.symbols,
        "history": np.array(checkpoint.history, np.float64).reshape(-1, 3),
    }


def to_manifest(checkpoint: Checkpoint, arrays: Arrays) -> dict[str, Any]:
    """Return what is not an array, and the SHA-256 of each array's bytes."""
    best = checkpoint.best
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": asdict(checkpoint.model.config),
        "train": asdict(checkpoint.train),
        "vocab": {"unknown": checkpoint.vocab.unknown, "normalize": checkpoint.vocab.normalize},
        "origin": asdict(checkpoint.origin),
        "step": checkpoint.step,
        "loss_sum": checkpoint.loss_sum,
        "best": {"step": best.step, "nats": best.nats} if best else None,
        "environment": checkpoint.environment,
        "init_from": checkpoint.init_from,
        "sha256": {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()},
    }


def from_manifest(manifest: dict[str, Any], arrays: Arrays) -> Checkpoint:
    """Rebuild the checkpoint of a manifest that fits MANIFEST; raises one of READ_ERRORS where the parts disagree."""
    trained = to_trained(manifest, arrays)
    step, best, history = manifest["step"], manifest["best"], arrays["history"]
    steps = np.array([0, *history[:, 0], step])
    check(bool(np.all(steps == np.floor(steps)) and np.all(np.diff(steps) >= 0)), "its steps are not in order")
    check(step < 2**53, "its step is beyond counting")
    check(best is None or best["step"] <= step, "its best step is still to come")
    weights = trained.model.vector
    same = weights.tobytes() == arrays["last"].tobytes()  # a zero has two signs
    check(best is not None or same, "its weights are neither the best nor the last")
    return Checkpoint(
        CharRNN(trained.model.config, arrays["last"].copy()),
        trained.train,
        trained.vocab,
        trained.origin,
        {name.removeprefix("slots."): array.copy() for name, array in arrays.items() if name.startswith("slots.")},
        [tuple(np.array(part) for part in parts) for parts in arrays["state"]],
        step,
        manifest["loss_sum"],
        Best(best["step"], best["nats"], weights) if best else None,
        [(int(at), float(train_loss), float(loss)) for at, train_loss, loss in history],
        manifest["environment"],
        manifest["init_from"],
    )


def to_trained(manifest: dict[str, Any], arrays: Arrays) -> Trained:
    """Rebuild what a run has learnt; raises one of READ_ERRORS where the parts disagree."""
    config, vocab = ModelConfig(**manifest["model"]), Vocab(arrays["vocabulary"], **manifest["vocab"])
    symbols, origin = vocab.symbols.astype(np.int64), manifest["origin"]
    check(len(vocab) == config.vocab_size and bool(np.all(np.diff(symbols) > 0)), "the vocabulary is not in order")
    check(
        not np.any((symbols >= CODE_POINTS) | ((symbols >= 0xD800) & (symbols < 0xE000))), "the vocabulary is not text"
    )
    check(config.line_end in (None, vocab.newline_id), "its lines end elsewhere than at a newline")
    floats = [array for array in arrays.values() if array.dtype.kind == "f"]
    check(all(np.isfinite(array).all() for array in floats), "its numbers are not all finite")
    weights = np.concatenate([arrays[name].ravel() for name in parameter_shapes(config)])
    return Trained(
        CharRNN(config, weights),
        TrainConfig(**manifest["train"]),
        vocab,
        Origin(tuple(origin["sources"]), origin["sha256"], origin["chars"]),
    )


def fits(value: object, schema: Any) -> bool:
    """Tell whether a JSON value is of a schema: a type, a union or tuple of some, a list of one, or an object.

    Numbers are finite, and whole ones neither negative nor beyond int64. An object {str: X} may have any names.
    """
    if isinstance(schema, UnionType):
        schema = get_args(schema)
    if isinstance(schema, tuple):
        return any(fits(value, choice) for choice in schema)
    if isinstance(schema, list):
        return type(value) is list and all(fits(item, schema[0]) for item in value)
    if isinstance(schema, dict):
        if type(value) is not dict or (str not in schema and value.keys() != schema.keys()):
            return False
        return all(fits(item, schema.get(name, schema.get(str))) for name, item in value.items())
    in_range = 0 <= value < 2**63 if type(value) is int else math.isfinite(value) if type(value) is float else True
    return type(value) is schema and in_range


# ---- arrays as the bytes of a file, and back ----


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a model file: the same checkpoint gives the same bytes."""
    arrays = to_arrays(checkpoint)
    manifest = json.dumps(to_manifest(checkpoint, arrays), allow_nan=False, indent=1).encode()
    return pack({"manifest": np.frombuffer(manifest, np.uint8), **arrays})


def from_file(file: IO[bytes]) -> Checkpoint:
    """Read a checkpoint; raises one of READ_ERRORS, of which some have no words, if the file is not one."""
    with zipfile.ZipFile(file) as archive:
        manifest, expected = read_manifest(archive, file.seek(0, os.SEEK_END))
        arrays = read_arrays(archive, expected, manifest["sha256"])
    return from_manifest(manifest, arrays)


def trained_from_file(file: IO[bytes]) -> Trained:
    """Read what a run has learnt, and of the other members only whether they are whole; raises like from_file."""
    with zipfile.ZipFile(file) as archive:
        manifest, expected = read_manifest(archive, file.seek(0, os.SEEK_END))
        needed = {*parameter_shapes(ModelConfig(**manifest["model"])), "vocabulary"}
        arrays = read_arrays(archive, {name: expected[name] for name in needed}, manifest["sha256"])
        for name in expected.keys() - needed:
            pass_over(archive, name, *expected[name])
    return to_trained(manifest, arrays)


def read_manifest(archive: zipfile.ZipFile, file_size: int) -> tuple[dict[str, Any], Layout]:
    """Read the manifest of a file of so many bytes; return it, and the other members as they must be."""
    sizes = member_sizes(archive, file_size)
    check(0 < sizes.get("manifest", 0) <= MAX_MANIFEST, "not a model of charrnn")
    manifest = json.loads(read_array(archive, "manifest", "|u1", (None,)).tobytes(), parse_constant=no_constant)
    check(isinstance(manifest, dict) and manifest.get("format") == FORMAT, "not a model of charrnn")
    version = manifest.get("version")
    what_to_do = "install a newer charrnn" if type(version) is int and version > VERSION else "no version there is"
    check(version == VERSION, f"format version {version}, this program reads {VERSION}: {what_to_do}")
    check(fits(manifest, MANIFEST), "its manifest is not as version 1 has it")
    config, train = ModelConfig(**manifest["model"]), TrainConfig(**manifest["train"])
    expected = layout(config, train, config.vocab_size - manifest["vocab"]["unknown"])
    named = {"manifest", *manifest["sha256"]}
    check(sizes.keys() == {"manifest", *expected} == named, "members are missing, or foreign")
    return manifest, expected


def no_constant(name: str) -> None:
    """Refuse NaN and infinities in the manifest."""
    raise ValueError(f"{name} in the manifest")
