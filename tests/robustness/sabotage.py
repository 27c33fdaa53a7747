"""The program without one of its protections, which shows that the experiments find the resulting loss."""

import fcntl
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from charrnn.checkpoint import archive as archives
from charrnn.checkpoint import format as bytes_of_a_file
from charrnn.checkpoint import lock, store
from charrnn.cli import streams
from charrnn.core import state, train
from charrnn.terminal import streams as terminal
from tests.robustness import disks, guided, night, starts


def replace(owner: object, **replaced: object) -> None:
    """Replace attributes of a module or a class."""
    for name, value in replaced.items():
        setattr(owner, name, value)


def no_fsync() -> None:
    """Files are not synced."""
    replace(store, os=Proxy(os, fsync=lambda file: os.fsync(file) if is_folder(file) else None))


def no_folder_fsync() -> None:
    """Folders are not synced."""
    replace(store, os=Proxy(os, fsync=lambda file: None if is_folder(file) else os.fsync(file)))


def is_folder(file: int) -> bool:
    """Return whether a descriptor is of a folder."""
    return os.path.isdir(f"/proc/self/fd/{file}")


def no_rename() -> None:
    """The file is overwritten in place, in pieces."""

    def overwrite(path: Path, data: bytes) -> Path:
        with path.open("wb") as file:
            for begin in range(0, len(data), 512):
                file.write(data[begin : begin + 512])
                file.flush()
                os.fsync(file.fileno())
        return path

    replace(store, write_beside=overwrite, replace_by=lambda beside, path, verify: None)
    replace(disks, WITHOUT="rename")


def no_verification() -> None:
    """Saved files are not read back."""
    real = store.replace_by
    replace(store, replace_by=lambda beside, path, verify: real(beside, path, lambda _: None))


def no_lock() -> None:
    """The lock has no effect."""
    replace(lock, fcntl=Proxy(fcntl, flock=lambda *_: None))


def pickle_allowed() -> None:
    """Objects in a file are unpickled."""

    def read_array(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> Any:
        with archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=True)

    for module in (archives, bytes_of_a_file):
        replace(module, read_array=read_array)


def no_checksums() -> None:
    """Neither CRCs nor digests are compared."""
    replace(zipfile.ZipExtFile, _update_crc=lambda self, data: None)
    real = archives.check
    replace(archives, check=lambda holds, problem: real(holds or problem.endswith("is damaged"), problem))


def links_followed() -> None:
    """Locks and replaced files are opened through links, as Python's open does."""
    replace(lock, SAFELY=os.O_NONBLOCK)
    replace(store, why_not_replaced=lambda name, target: "")


def any_file() -> None:
    """Whatever has the name of a model is opened and read."""
    replace(store, open_regular=lambda path: path.open("rb"))


def no_owners() -> None:
    """A saved file belongs to the process that saves it."""
    replace(store, keep_owner_and_mode=lambda path, file: None)


def names_as_they_are() -> None:
    """What a file names is written to stderr as it is."""
    replace(terminal, one_line=lambda text: text)


def any_header() -> None:
    """NumPy parses the headers of members, and only the errors that it documents are expected."""

    def read_header(archive: zipfile.ZipFile, member: IO[bytes], *expected: object) -> tuple[int, ...]:
        np.lib.format.read_magic(member)
        found, _, _ = np.lib.format.read_array_header_1_0(member)
        return tuple(found)

    replace(archives, read_header=read_header)
    replace(store, READ_ERRORS=(ValueError, zipfile.BadZipFile))


def one_stream() -> None:
    """All random numbers are drawn from one shared generator."""
    shared = np.random.default_rng(0)
    for module in (state, train):
        replace(module, np=Proxy(np, random=Proxy(np.random, default_rng=lambda *_: shared)))


def no_bound_on_errors() -> None:
    """Errors of zipfile and numpy are not turned into CheckpointError."""
    replace(store, READ_ERRORS=(ValueError,))
    replace(guided, WITHOUT="errors")


def no_order() -> None:
    """Signals are handled as in any Python program."""
    replace(streams, handle_signals=lambda handler: signal.signal(signal.SIGINT, signal.default_int_handler))


def no_entry() -> None:
    """Signals are not prepared for before the imports."""
    replace(starts, ENTRY="from charrnn.cli import main; main()")


def no_line_for_failures() -> None:
    """Expected failures are not printed as one line but raised."""
    replace(streams, exit_code=lambda command: command())


def no_end_of_memory() -> None:
    """Everything written is kept in memory ten times, and a process counts as warm immediately."""
    kept, real = [], bytes_of_a_file.to_bytes

    def keep(state: Any) -> bytes:
        data = real(state)
        kept.append(10 * data)
        return data

    replace(store, to_bytes=keep)
    replace(night.Night, warm=2)
    replace(night, BEFORE=KEEPING)


KEEPING = """
from charrnn.cli.streams import Output
kept, real = [], Output.write
def write(self, text):
    kept.append(10 * text)
    real(self, text)
Output.write = write
"""


class Proxy:
    """A module with some of its functions replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


SABOTAGE: dict[str, Callable[[], None]] = {
    "fsync": no_fsync,
    "folder-fsync": no_folder_fsync,
    "rename": no_rename,
    "verification": no_verification,
    "lock": no_lock,
    "pickle-ban": pickle_allowed,
    "checksums": no_checksums,
    "streams": one_stream,
    "errors": no_bound_on_errors,
    "order": no_order,
    "entry": no_entry,
    "one-line": no_line_for_failures,
    "memory": no_end_of_memory,
    "links": links_followed,
    "regular": any_file,
    "owners": no_owners,
    "one-line-names": names_as_they_are,
    "header-form": any_header,
}
