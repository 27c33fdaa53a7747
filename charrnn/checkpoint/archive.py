"""The archive that a model file is: a ZIP of uncompressed .npy members.

Writing is deterministic. Reading trusts nothing: the archive's directory is checked before any member is read, the
shapes are known beforehand, headers are parsed without evaluating code, and every array has its SHA-256. So a damaged
or malicious file is refused, and the memory that this takes is bounded by the file's size.
"""

import hashlib
import io
import math
import warnings
import zipfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_MEMBERS, MAX_HEADER = 64, 10_000
CHUNK_BYTES = 1 << 16  # bytes read at a time of a member that is only verified

Arrays = dict[str, NDArray[Any]]
Layout = dict[str, tuple[str, tuple[int | None, ...]]]  # array -> dtype, shape; None is any length


def pack(arrays: Arrays) -> bytes:
    """Return an archive of named arrays; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            large = array.nbytes + MAX_HEADER > zipfile.ZIP64_LIMIT  # zipfile needs to know this in advance
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=large) as member:  # always dated 1980
                np.lib.format.write_array(member, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def member_sizes(archive: zipfile.ZipFile, file_size: int) -> dict[str, int]:
    """Check the archive's directory before any member is read; return array name -> size of its member in bytes."""
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    check(len(members) <= MAX_MEMBERS and len(set(names)) == len(names), "it has too many members, or duplicate names")
    stored = all(m.compress_type == zipfile.ZIP_STORED and m.compress_size == m.file_size for m in members)
    check(stored and not any(member.flag_bits & 1 for member in members), "its members are compressed or encrypted")
    check(sum(member.file_size for member in members) <= file_size, "its members are larger than the file")
    return {name: member.file_size for name, member in zip(names, members, strict=True)}


def read_array(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return the array of a member, read-only. The member is read to its end, where zipfile compares its checksum."""
    with archive.open(f"{name}.npy") as member:
        found = read_header(archive, member, name, dtype, shape)
        return np.frombuffer(member.read(), dtype).reshape(found)


def read_header(
    archive: zipfile.ZipFile, member: IO[bytes], name: str, dtype: str, shape: tuple[int | None, ...]
) -> tuple[int, ...]:
    """Read a member's header, compare it with what is expected and with the member's size; return the shape."""
    check(np.lib.format.read_magic(member) == (1, 0), f"{name} is not an array of version 1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of headers that it would not write itself
        found, fortran, kind = np.lib.format.read_array_header_1_0(member, max_header_size=MAX_HEADER)
    same_shape = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
    check(same_shape and kind.str == dtype and not fortran, f"{name} has the wrong shape or type")
    size = archive.getinfo(f"{name}.npy").file_size - member.tell()
    check(size == math.prod(found) * kind.itemsize, f"the size of {name} does not match its header")
    return found


def read_arrays(archive: zipfile.ZipFile, members: Layout, digests: dict[str, str], skip: tuple[str, ...]) -> Arrays:
    """Return the arrays of members, after comparing the SHA-256 of each.

    Members with a name that begins with one of `skip` are only read to their end, and not kept in memory.
    """
    arrays = {}
    for name, (dtype, shape) in members.items():
        if not name.startswith(skip):
            arrays[name] = read_array(archive, name, dtype, shape)
            check(hashlib.sha256(arrays[name].data).hexdigest() == digests[name], f"{name} is damaged")
            continue
        with archive.open(f"{name}.npy") as member:
            read_header(archive, member, name, dtype, shape)
            while member.read(CHUNK_BYTES):
                pass
    return arrays


def check(holds: bool, problem: str) -> None:
    """Raise ValueError with the problem as its message unless the condition holds."""
    if not holds:
        raise ValueError(problem)
