"""What a model file holds: the manifest and arrays of a whole training run, as docs/checkpoint-format.md specifies.

Nothing in a file is trusted before it is checked: the manifest against its schema, the members against what follows
from the configuration, the parts against each other.
"""

import hashlib
import os
import zipfile
from dataclasses import asdict
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.archive import (
    MAX_ROWS,
    Arrays,
    Layout,
    check,
    check_sizes,
    member_sizes,
    open_archive,
    pack,
    read_array,
    read_arrays,
)
from charrnn.checkpoint.manifest import MAX_LOSS, MAX_MANIFEST, checked_manifest, manifest_text
from charrnn.core.cells import CELLS
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.optim import OPTIMIZERS
from charrnn.core.state import Best, Origin, TrainState, loss_stride
from charrnn.core.vocab import CODE_POINTS, Vocab

ModelParts = tuple[CharRNN, Vocab, TrainConfig, Origin]  # what sampling and scoring need of a model

RUN_MEMBERS = ("last", "slots.", "state", "history", "losses")  # beginnings of the names of what only training needs
READ_ERRORS = (Exception,)  # whatever zipfile, numpy and json may raise for a damaged or malicious file


def layout(model: ModelConfig, train: TrainConfig, symbols: int, weights: str | None = None) -> Layout:
    """Return the dtype and shape of every array except the manifest, as they follow from the configuration.

    `weights` is the dtype of a file of weights alone, None for a whole run. The history has one row per validation, and
    only its own header says how many.
    """
    shapes, cell = parameter_shapes(model), CELLS[model.recurrence]
    P = size_of(shapes)
    state = (model.ensemble * model.num_layers, len(cell.state), model.hidden_size, train.batch_size)
    run: Layout = {
        "last": ("<f4", (P,)),
        **{f"slots.{name}": ("<f4", shape) for name, shape in OPTIMIZERS[train.optimizer].slots(shapes).items()},
        "state": ("<f4", state),
    }
    return {
        **{name: (weights or "<f4", shape) for name, shape in shapes.items()},  # the best weights, or the only ones
        **({} if weights else run),
        "vocabulary": ("<u4", (symbols,)),
        "history": ("<f8", (None, 3)),
        "losses": ("<f8", (None,)),
    }


def to_bytes(state: TrainState) -> bytes:
    """Return the bytes of a model file; the same run gives the same bytes."""
    run = {
        "last": state.model.vector,
        **{f"slots.{name}": slot for name, slot in state.slots.items()},
        "state": np.array(state.carried),
    }
    arrays = {
        **{name: W.astype(state.weights or W.dtype, copy=False) for name, W in state.best_model.params.items()},
        **({} if state.weights else run),
        "vocabulary": state.vocab.symbols,
        "history": np.array(state.history[-MAX_ROWS:], np.float64).reshape(-1, 3),
        "losses": np.array(state.losses, np.float64),
    }
    manifest = {
        "model": asdict(state.model.config),
        "train": asdict(state.config),
        "vocab": {"unknown": state.vocab.unknown, "normalize": state.vocab.normalize},
        "origin": {name: value for name, value in asdict(state.origin).items() if name != "ignore"},
        "step": state.step,
        "loss_sum": state.loss_sum,
        "best": {"step": state.best.step, "nats": state.best.nats} if state.best else None,
        "environment": state.environment,
        "init_from": state.init_from,
        "sha256": {
            name: hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for name, array in arrays.items()
        },
        "seconds": state.seconds,
        "thresholds": state.thresholds,
        "unlike": state.unlike,
        "ignore": list(state.origin.ignore),
        "weights": state.weights,
    }
    return pack({"manifest": np.frombuffer(manifest_text(manifest), np.uint8), **arrays})


def from_file(file: IO[bytes]) -> TrainState:
    """Return the run of a model file; raises one of READ_ERRORS if it is not a whole one.

    A file of weights alone gives a run without slots and without carried state, which can only be used and saved.
    """
    manifest, arrays = read_members(file)
    model, vocab, config, origin = to_model(manifest, arrays)
    step, best, history, weights = manifest["step"], manifest["best"], arrays["history"], model.vector
    check_steps(step, best, history)
    others = [abs(manifest["loss_sum"]), abs(best["nats"]) if best else 0.0]
    check(max(np.abs(history[:, 1:]).max(initial=0.0), *others) <= MAX_LOSS, "its losses are too large")
    last = arrays.get("last", weights)
    same = weights.tobytes() == last.tobytes()  # as bytes, since -0.0 equals 0.0
    check(best is not None or same, "its weights are neither the best nor the last")
    losses = arrays["losses"] if "losses" in arrays else mean_losses(history, step, manifest["loss_sum"])
    check(len(losses) == -(-step // loss_stride(step)), "its losses are not those of its steps")
    check(bool(np.all(np.isfinite(losses))), "not all of its numbers are finite")
    return TrainState(
        CharRNN(model.config, last.copy()),
        config,
        vocab,
        origin,
        {name.removeprefix("slots."): array.copy() for name, array in arrays.items() if name.startswith("slots.")},
        [tuple(np.array(part) for part in parts) for parts in arrays.get("state", ())],
        step,
        manifest["loss_sum"],
        Best(best["step"], best["nats"], weights) if best else None,
        list(zip(history[:, 0].astype(int).tolist(), *history[:, 1:].T.tolist(), strict=True)),
        manifest["environment"],
        manifest["init_from"],
        losses.tolist(),
        manifest["seconds"],
        manifest["thresholds"],
        manifest["unlike"],
        manifest["weights"],
    )


def check_steps(step: int, best: dict[str, Any] | None, history: NDArray[np.float64]) -> None:
    """Raise ValueError unless the steps of the validations are whole, in order, and not after the last step."""
    steps = np.concatenate([[0], history[:, 0], [step]])
    check(bool(np.all(steps == np.floor(steps)) and np.all(np.diff(steps) >= 0)), "its steps are not in order")
    check(step < 2**53, "its step is too large")
    check(best is None or best["step"] <= step, "its best step is after its last one")


@np.errstate(over="ignore", invalid="ignore")
def mean_losses(history: NDArray[np.float64], step: int, loss_sum: float) -> NDArray[np.float64]:
    """Return sums of losses as TrainState.losses has them, from the means between the validations of a run.

    A file of version 1 has no others. The mean between two validations is taken for each step between them.
    """
    steps = np.concatenate([[0.0], history[:, 0], [step]])
    sums = np.cumsum([0, *history[:, 1] * np.diff(steps[:-1]), loss_sum])
    ends = np.minimum(np.arange(-(-step // loss_stride(step)) + 1.0) * loss_stride(step), step)
    return np.diff(np.interp(ends, steps, sums))


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
    text = Origin(tuple(origin["sources"]), origin["sha256"], origin["chars"], tuple(manifest["ignore"]))
    train = TrainConfig(**manifest["train"])
    check((train.held_out or 0) < max(1, text.chars), "all of its text is held out")
    return CharRNN(config, weights.astype(np.float32, copy=False)), vocab, train, text


def read_members(file: IO[bytes], skip: tuple[str, ...] = ()) -> tuple[dict[str, Any], Arrays]:
    """Return the manifest of a file and its arrays, except those with a name that begins with one of `skip`."""
    with open_archive(file) as archive:
        manifest, expected = read_manifest(archive, file.seek(0, os.SEEK_END))
        return manifest, read_arrays(archive, expected, manifest["sha256"], skip)


def read_manifest(archive: zipfile.ZipFile, file_size: int) -> tuple[dict[str, Any], Layout]:
    """Return the manifest of a file of `file_size` bytes, and the layout that its other members must have."""
    sizes = member_sizes(archive, file_size)
    check(0 < sizes.get("manifest", 0) <= MAX_MANIFEST, "not a charrnn model")
    manifest = checked_manifest(read_array(archive, "manifest", "|u1", (None,)).tobytes())
    config, train = ModelConfig(**manifest["model"]), TrainConfig(**manifest["train"])
    expected = layout(config, train, config.vocab_size - manifest["vocab"]["unknown"], manifest["weights"])
    if manifest["version"] == 1:
        del expected["losses"]
    named = {"manifest", *manifest["sha256"]}
    check(sizes.keys() == {"manifest", *expected} == named, "it has missing or unexpected members")
    check_sizes(sizes, expected)
    return manifest, expected
