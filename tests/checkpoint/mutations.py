"""Model files with one thing wrong, and the check that each is refused with a clear message."""

import json
import os
import re
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charrnn.checkpoint.format import from_file
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from tests.helpers.files import (
    array_of,
    manifest_of,
    members,
    npy,
    with_array,
    with_directory_field,
    with_entry,
    with_manifest,
    with_member,
    zipped,
)

Mutation = Callable[[bytes], bytes]


def assert_refused(mutate: Mutation, message: str, good: bytes, path: Path) -> None:
    """Assert that a changed model file is refused by `load`, and by `load_model` if that reads what is wrong."""
    bad = mutate(good)
    assert bad != good
    path.write_bytes(bad)
    found = refusal(path)
    assert "not a whole model file" in found
    assert re.search(message, found)
    weights = from_file(BytesIO(good)).best_model.vector
    with suppress(CheckpointError):
        np.testing.assert_array_equal(CheckpointStore(path).load_model()[0].vector, weights)


def refusal(path: Path) -> str:
    """Return the message of the error that loading a bad file raises: a printable line, with bounded memory."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings(record=True, action="always") as warned, pytest.raises(CheckpointError) as refused:
            CheckpointStore(path).load()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    assert peak < 4 * size + (4 << 20)
    assert [str(warning.message) for warning in warned] == []  # each would be another line on stderr
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    assert "pickle" not in message  # numpy's hint how to load it anyway
    return message


def entry(path: str, value: object) -> Mutation:
    """Another value in the manifest."""
    return lambda data: with_entry(data, path, value)


def array(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Mutation:
    """A changed array, with its digest."""
    return lambda data: with_array(data, name, change(array_of(data, name)))


def member(name: str, change: Callable[[bytes], bytes]) -> Mutation:
    """A member with changed bytes."""
    return lambda data: with_member(data, name, change(members(data)[f"{name}.npy"]))


def header(name: str, descr: str, shape: str, padding: int = 0) -> Mutation:
    """An array with another header."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}" + " " * padding
    return lambda data: with_member(data, name, npy(array_of(data, name), text))


def manifest(text: str) -> Mutation:
    """Another text as the manifest."""
    return lambda data: with_manifest(data, text)


def of_any_text(change: Callable[[str], bytes]) -> Mutation:
    """A manifest with the same values as other bytes."""
    return lambda data: with_member(
        data, "manifest", npy(np.frombuffer(change(json.dumps(manifest_of(data))), np.uint8))
    )


def spelt(key: str, value: str) -> Mutation:
    """A manifest in which a key's value is written in an unusual way."""
    return lambda data: with_manifest(
        data, re.sub(f'"{key}": [^,}}]+', f'"{key}": {value}', json.dumps(manifest_of(data)))
    )


def archive(change: Callable[[dict[str, bytes]], dict[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Mutation:
    """Other members, or another compression."""
    return lambda data: zipped(change(members(data)), compression)


def without(name: str) -> Mutation:
    """No member of this name."""
    return archive(lambda files: {other: content for other, content in files.items() if other != name})


def directory(member: str, offset: int, *values: int) -> Mutation:
    """Other values in the central directory, from an offset into the record of a member."""
    return lambda data: with_directory_field(data, member, offset, *values)


def renamed(old: bytes, new: bytes) -> Mutation:
    """Another name of a member, of the same length, in both places where the archive has it."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def first(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Another first number in an array."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        array.flat[0] = value
        return array

    return change


def last(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Another last number in an array."""
    return lambda array: np.append(array.flat[:-1], value).reshape(array.shape)


def symbols(*codes: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Other code points as the vocabulary."""
    return lambda _: np.array(codes, "<u4")
