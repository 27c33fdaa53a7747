"""The archive that a model file is: a ZIP of uncompressed .npy members.

Writing is deterministic. Reading trusts nothing: the directory of the archive is bounded and checked before any member
is read, sizes and shapes are known beforehand, a header must be one that `pack` writes, and every array has its
SHA-256. So a damaged or malicious file is refused, in the time and memory that its configuration can need.
"""

import hashlib
import io
import math
import re
import zipfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_MEMBERS, MAX_HEADER = 64, 10_000
MAX_DIRECTORY = 1 << 17  # bytes of the directory; 64 members need a twentieth
MAX_ROWS = 1 << 20  # of an array of any length
CHUNK_BYTES = 1 << 16  # bytes read at a time of a member that is only verified
HEADER = re.compile(rb"\{'descr': '([<|][fu][1248])', 'fortran_order': False, 'shape': \(([0-9, ]{1,200})\), \} *\n")

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


class LimitedReads:
    """A file that zipfile reads at most `most` bytes of at a time, so that it cannot read a directory of any size."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.most = file, MAX_DIRECTORY
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or to the end; raises ValueError for more than `most`."""
        data = self.file.read(size if 0 <= size <= self.most else self.most + 1)
        check(len(data) <= self.most, "its directory is too large")
        return data


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Return the archive in a file, after reading its directory in bounded memory."""
    limited = LimitedReads(file)
    archive = zipfile.ZipFile(limited)
    limited.most = file.seek(0, io.SEEK_END)  # members may be as large as the file
    return archive


def check_sizes(sizes: dict[str, int], members: Layout) -> None:
    """Raise ValueError unless the size of each member is what its dtype and shape need, before any of them is read."""
    for name, (dtype, shape) in members.items():
        least, most = (math.prod(n if n is not None else rows for n in shape) for rows in (0, MAX_ROWS))
        itemsize = np.dtype(dtype).itemsize
        fits = itemsize * least <= sizes[name] <= itemsize * most + MAX_HEADER
        check(fits, f"{name} has the wrong shape or type: its size is not what the configuration needs")


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
    """Read a member's header, which must be of the form that numpy writes; return the shape.

    The header is compared with what is expected and with the member's size, and never evaluated.
    """
    check(member.read(8) == b"\x93NUMPY\1\0", f"{name} is not an array of version 1.0")
    length = int.from_bytes(member.read(2), "little")
    check(length <= MAX_HEADER, f"the header of {name} is too large")
    header = HEADER.fullmatch(member.read(length))
    numbers = header[2].decode().replace(",", " ").split() if header else []
    found = tuple(int(number) for number in numbers)
    same_shape = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
    check(header is not None and header[1].decode() == dtype and same_shape, f"{name} has the wrong shape or type")
    size = archive.getinfo(f"{name}.npy").file_size - member.tell()
    check(size == math.prod(found) * np.dtype(dtype).itemsize, f"the size of {name} does not match its header")
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
