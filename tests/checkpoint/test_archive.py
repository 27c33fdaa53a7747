import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.archive import MAX_ROWS
from charrnn.checkpoint.format import READ_ERRORS, from_file, to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from tests.checkpoint.mutations import (
    Mutation,
    archive,
    array,
    assert_refused,
    directory,
    header,
    member,
    refusal,
    renamed,
    without,
)
from tests.helpers.files import copy_of, corpus_of, npy, tiny_run, with_member

REFUSED: dict[str, tuple[Mutation, str]] = {  # an archive with one thing wrong, and words of the message
    "history of two columns": (array("history", lambda a: a[:, :2].copy()), "history has the wrong shape or type"),
    "a transposed shape": (array("embed.W", lambda a: a.T.copy()), "embed.W has the wrong shape or type"),
    "an additional row": (array("embed.W", lambda a: np.vstack([a, a[:1]])), "embed.W has the wrong shape or type"),
    "a vector as a column": (array("head.b_y", lambda a: a[:, None]), "head.b_y has the wrong shape or type"),
    "a scalar": (array("head.b_y", lambda a: a[0]), "head.b_y has the wrong shape or type"),
    "float64": (array("last", lambda a: a.astype("<f8")), "last has the wrong shape or type"),
    "integers of one size": (array("last", lambda a: a.view("<i4")), "last has the wrong shape or type"),
    "the other byte order": (array("last", lambda a: a.astype(">f4")), "last has the wrong shape or type"),
    "an array of text": (array("last", lambda a: a.astype("U9")), "last has the wrong shape or type"),
    "Fortran order": (array("embed.W", np.asfortranarray), "embed.W has the wrong shape or type"),
    "a missing number": (
        member("head.b_y", lambda content: content[:-4]),
        "size of head.b_y does not match",
    ),
    "an additional number": (
        member("head.b_y", lambda content: content + b"0000"),
        "size of head.b_y does not match",
    ),
    "different numbers": (member("last", lambda content: content[:-1] + b"0"), "last is damaged"),
    "npy version 2": (
        member("last", lambda content: content[:6] + b"\2" + content[7:]),
        "last is not an array of version 1.0",
    ),
    "not an npy file": (member("last", lambda _: b"last"), ""),
    "an empty member": (member("last", lambda _: b""), ""),
    "a header of 60 kB": (header("last", "'<f4'", "(8,)", 60_000), "its size is not what"),
    "a header without a type": (header("head.b_y", "()", "(8,)"), "head.b_y has the wrong shape or type"),
    "a header with a type of fields": (header("head.b_y", "[('a', '<f4')]", "(8,)"), "wrong shape or type"),
    "a header with a comment": (header("head.b_y", "'<f4'", "(8,) # 8"), "wrong shape or type"),
    "a header of nested brackets": (header("head.b_y", "'<f4'", "(" * 3000), ""),
    "a header of Python 2": (header("head.b_y", "'<f4'", "(8L,)"), ""),
    "a header that warns": (header("head.b_y", r"'\<f4'", "(8,)"), ""),
    "a type that warns": (header("head.b_y", "'a4'", "(8,)"), ""),
    "a header with a call": (header("head.b_y", "'<f4'", "(print(8),)"), ""),
    "a negative shape": (header("history", "'<f8'", "(-1, 3)"), "history has the wrong shape or type"),
    "a history beyond its limit": (
        array("history", lambda a: np.zeros((MAX_ROWS + 500, 3))),
        "history has the wrong shape or type",
    ),
    "a member larger than its configuration needs": (
        member("last", lambda content: content + bytes(20_000)),
        "its size is not what the configuration needs",
    ),
    "a directory of 200 kB": (
        archive(lambda files: files | {f"{i:0100}.npy": b"" for i in range(1500)}),
        "its directory is too large",
    ),
    "a shape beyond memory": (
        header("history", "'<f8'", f"({2**62}, 3)"),
        "size of history does not match",
    ),
    "a type with many fields": (
        header("history", repr("f8," * 999 + "f8"), "(1, 3)"),
        "history has the wrong shape or type",
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
    "two different sizes": (directory("last", 24, 10**9), "compressed or encrypted"),
    "an offset beyond the file": (directory("last", 42, 10**9), ""),
    "overlapping members": (directory("last", 42, 0), "differ"),
    "too many members": (archive(lambda files: files | {f"{i}.npy": b"" for i in range(65)}), "too many members"),
    "an additional member": (
        archive(lambda files: files | {"more.npy": npy(np.zeros(3))}),
        "missing or unexpected",
    ),
    "a missing member": (without("last.npy"), "missing or unexpected"),
    "no manifest": (without("manifest.npy"), "not a charrnn model"),
    "no members": (archive(lambda _: {}), "not a charrnn model"),
    "a duplicate member": (renamed(b"slots.m.npy", b"slots.v.npy"), "duplicate names"),
    "another name": (renamed(b"slots.m.npy", b"slots.n.npy"), "missing or unexpected"),
    "another ending": (renamed(b"slots.m.npy", b"slots.m.npz"), "missing or unexpected"),
    "a name in a parent folder": (renamed(b"slots.m.npy", b"../../m.npy"), "missing or unexpected"),
    "an absolute name": (renamed(b"slots.m.npy", b"/root/m.npy"), "missing or unexpected"),
    "two names": (lambda data: data.replace(b"slots.m.npy", b"slots.n.npy", 1), "differ"),
}


@pytest.mark.parametrize(("mutate", "message"), REFUSED.values(), ids=REFUSED)
def test_an_archive_with_one_thing_wrong_is_refused(mutate: Mutation, message: str, good: bytes, path: Path) -> None:
    assert_refused(mutate, message, good, path)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK", b"PK\5\6" + bytes(18), np.random.default_rng(0).bytes(5000)])
def test_a_file_that_is_not_an_archive_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert "not a whole model file" in refusal(path)


def test_a_foreign_npz_is_refused(path: Path) -> None:
    np.savez(path, weights=np.zeros((5, 3)), step=7)
    assert "not a charrnn model" in refusal(path)


class Payload:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_file_is_not_run(good: bytes, path: Path) -> None:
    harmed = path.parent / "harmed"
    path.write_bytes(with_member(good, "last", npy(np.array([Payload(harmed)]))))
    assert "last has the wrong shape or type" in refusal(path)
    assert not harmed.exists()
    with np.load(path, allow_pickle=True) as arrays:
        arrays["last"]
    assert harmed.exists()  # so the payload works


def test_every_truncation_is_refused(good: bytes, path: Path) -> None:
    for length in range(0, len(good), 37):
        path.write_bytes(good[:length])
        for load in (CheckpointStore(path).load, CheckpointStore(path).load_model):
            with pytest.raises(CheckpointError):
                load()


def test_a_flipped_bit_is_refused_or_changes_nothing(good: bytes) -> None:
    accepted = {}
    for bit in range(0, 8 * len(good), 8 * len(good) // 1500 | 1):  # an odd stride reaches every bit of a byte
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            accepted[bit] = from_file(io.BytesIO(flipped))
        except READ_ERRORS:
            continue
    assert len(accepted) < 200
    assert [bit for bit, state in accepted.items() if to_bytes(state) != good] == []


def test_arrays_beyond_two_gigabytes_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    state = tiny_run(corpus_of("ab\n" * 9), {"hidden_size": 40})  # 9 kB in total
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 7000)  # as if this were two gigabytes
    assert to_bytes(copy_of(state)) == to_bytes(state)
