"""Small runs to save, and functions that take a model file apart and build damaged ones."""

import hashlib
import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import charrnn
from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.core.cells import CELLS
from charrnn.core.config import TrainConfig
from charrnn.core.state import TrainState
from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of
from charrnn.data.corpus import Corpus
from charrnn.training.configure import start_run
from tests.helpers.models import B, T, tiny_config

MISSING = object()  # as the value of an entry: leave the entry out
IMPORTABLE = os.environ | {"PYTHONPATH": str(Path(charrnn.__file__).parents[1])}  # for a second process


def cell_settings(name: str) -> dict[str, Any]:
    """Return the settings of a network with the recurrence of that name in the table CELLS."""
    cell, _, activation = name.partition("_")
    settings: dict[str, Any] = {"cell": cell} | ({"activation": activation} if activation else {})
    assert tiny_config(**settings).recurrence == name in CELLS
    return settings


def corpus_of(text: str, min_count: int = 1, known: Vocab | None = None) -> Corpus:
    counts = np.bincount(codes_of(text), minlength=CODE_POINTS)
    vocab = Vocab.build(counts, min_count, known=known)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Corpus(vocab.encode(text).astype(vocab.id_dtype), vocab, ("a.txt",), digest, ())


def random_text(chars: int, alphabet: str = "abcdef\n", seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(alphabet), chars))


def tiny_run(corpus: Corpus, model: dict[str, Any] | None = None, **train: Any) -> TrainState:
    """Return a run at step 0 with windows of T steps and B streams."""
    settings: dict[str, Any] = {"steps": 16, "budget": "16 steps", "eval_every": 4, "warmup": 2}
    settings |= {"batch_size": B, "seq_len": T} | train
    return start_run(tiny_config(len(corpus.vocab), **(model or {})), TrainConfig(**settings), corpus)


def copy_of(state: TrainState) -> TrainState:
    """Return a copy of a run, through a model file."""
    return from_file(io.BytesIO(to_bytes(state)))


def plain(state: TrainState) -> dict[str, Any]:
    """Return a run as nested dictionaries, lists and arrays, which numpy's assert_equal compares."""
    best, model = state.best and vars(state.best), state.model
    return vars(state) | {"model": {"config": model.config, "vector": model.vector}, "best": best}


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def npy(array: NDArray[Any], header: str | None = None) -> bytes:
    """Return the bytes of an array file, pickled for objects, with another header if one is given."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, (1, 0), allow_pickle=True)
    if header is None:
        return buffer.getvalue()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + array.tobytes()


def manifest_of(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data)) as arrays:
        manifest: dict[str, Any] = json.loads(arrays["manifest"].tobytes())
    return manifest


def array_of(data: bytes, name: str) -> NDArray[Any]:
    with np.load(io.BytesIO(data)) as arrays:
        array: NDArray[Any] = arrays[name]
    return array


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    return zipped(members(data) | {f"{name}.npy": content})


def with_manifest(data: bytes, text: str) -> bytes:
    return with_member(data, "manifest", npy(np.frombuffer(text.encode(), np.uint8)))


def with_entry(data: bytes, path: str, value: object) -> bytes:
    """Return a model file with another value in its manifest, at a path of keys separated by slashes."""
    manifest = node = manifest_of(data)
    *parents, last = path.split("/")
    for key in parents:
        node = node[key]
    node[last] = value
    if value is MISSING:
        del node[last]
    return with_manifest(data, json.dumps(manifest))


def with_array(data: bytes, name: str, array: NDArray[Any]) -> bytes:
    """Return a model file with another array and its digest, and otherwise valid."""
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return with_member(with_entry(data, f"sha256/{name}", digest), name, npy(array))


def with_directory_field(data: bytes, member: str, offset: int, *values: int) -> bytes:
    """Return a model file with other values in the central directory, from an offset into the record of a member.

    The offsets are 8 flags and 10 method (of two bytes), 20 compressed size, 24 size and 42 start (of four bytes).
    """
    changed = bytearray(data)
    record = data.rindex(f"{member}.npy".encode()) - 46  # the name follows 46 bytes of other fields
    assert data[record : record + 4] == b"PK\1\2"
    struct.pack_into(f"<{len(values)}{'H' if offset < 20 else 'I'}", changed, record + offset, *values)
    return bytes(changed)
