"""The archive that a model file is: a ZIP of uncompressed .npy members, written alike each time, and read with care.

A damaged or malicious one is refused in memory bounded by its size: it is looked at before a member is read, the
shapes are known beforehand, a header is never code, and every array has its SHA-256.
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
BLOCK = 1 << 16  # bytes that are read at a time of what is passed over

Arrays = dict[str, NDArray[Any]]
Layout = dict[str, tuple[str, tuple[int | None, ...]]]  # array -> dtype, shape; None is any length


def pack(arrays: Arrays) -> bytes:
    """Return an archive of arrays by name: the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            large = array.nbytes + MAX_HEADER > zipfile.ZIP64_LIMIT  # zip wants to know that beforehand
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=large) as member:  # dated 1980: no time
                np.lib.format.write_array(member, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return buffer.getvalue()


def member_sizes(archive: zipfile.ZipFile, file_size: int) -> dict[str, int]:
    """Look at the archive before any of it is loaded; return the size of each member by its array's name."""
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    check(len(members) <= MAX_MEMBERS and len(set(names)) == len(names), "it has too many members, or one twice")
    stored = all(m.compress_type == zipfile.ZIP_STORED and m.compress_size == m.file_size for m in members)
    check(stored and not any(member.flag_bits & 1 for member in members), "its members are compressed or encrypted")
    check(sum(member.file_size for member in members) <= file_size, "its members are larger than the file")
    return {name: member.file_size for name, member in zip(names, members, strict=True)}


def read_array(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Read one member, not to be written to, to its end, since only there its checksum is compared."""
    with archive.open(f"{name}.npy") as member:
        found = read_header(member, name, dtype, shape)
        data = member.read()
    check(len(data) == size_in_bytes(dtype, found), f"{name} has another size than it says")
    return np.frombuffer(data, dtype).reshape(found)


def pass_over(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> None:
    """Read one member to its end, compare its checksum, and keep nothing of it."""
    with archive.open(f"{name}.npy") as member:
        found = read_header(member, name, dtype, shape)
        size = sum(map(len, iter(lambda: member.read(BLOCK), b"")))
    check(size == size_in_bytes(dtype, found), f"{name} has another size than it says")


def read_header(member: IO[bytes], name: str, dtype: str, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Read the header of a member, whose dtype and shape are known but for lengths of None; return the shape."""
    check(np.lib.format.read_magic(member) == (1, 0), f"{name} is not an array of version 1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of headers that it never wrote itself
        found, fortran, kind = np.lib.format.read_array_header_1_0(member, max_header_size=MAX_HEADER)
    same_shape = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
    check(same_shape and kind.str == dtype and not fortran, f"{name} has another shape or type")
    return found


def size_in_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return how many bytes the numbers of an array take."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def read_arrays(archive: zipfile.ZipFile, members: Layout, digests: dict[str, str]) -> Arrays:
    """Read members, and compare the SHA-256 of each."""
    arrays = {name: read_array(archive, name, dtype, shape) for name, (dtype, shape) in members.items()}
    for name, array in arrays.items():
        check(hashlib.sha256(array.data).hexdigest() == digests[name], f"{name} is damaged")
    return arrays


def check(holds: bool, problem: str) -> None:
    """Raise ValueError with the problem unless the condition holds."""
    if not holds:
        raise ValueError(problem)
