"""A model file on disk, saved so that a crash at any moment leaves either the old file or the new one, whole."""

import fcntl
import glob
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charrnn.checkpoint.format import READ_ERRORS, ModelParts, from_file, model_from_file, to_bytes
from charrnn.core.errors import CharRNNError, CheckpointError, LockedError
from charrnn.core.state import TrainState


class CheckpointStore:
    """A model file: loads it, saves it completely or not at all, and keeps other writers away."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)  # as the user gave it
        self.path = Path(os.path.realpath(path))  # a symbolic link is kept, and its target replaced

    def exists(self) -> bool:
        """Return whether there is a file."""
        return os.path.exists(self.path)

    def load(self) -> TrainState:
        """Return the run in the file; raises only CheckpointError, if the file is missing, damaged or foreign."""
        with self.opened() as file:
            return from_file(file)

    def load_model(self) -> ModelParts:
        """Return what sampling and scoring need, without loading the rest; raises CheckpointError like load."""
        with self.opened() as file:
            return model_from_file(file)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open the file for reading, and turn every error in doing so into a CheckpointError."""
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise CheckpointError(f"{self.name}: {reason(error)}") from error
        except READ_ERRORS as error:
            raise CheckpointError(f"{self.name}: not a whole model file ({reason(error)})") from error

    def save(self, state: TrainState) -> None:
        """Replace the file; raises CheckpointError if that fails or the new file would not load again.

        After a failure the old file is still there, unless only the last step failed, the sync of the folder: then it
        is the new file. In either case the file is whole.
        """
        try:
            replace_file(self.path, to_bytes(state), verify=from_file)
        except (OSError, *READ_ERRORS) as error:
            raise CheckpointError(f"{self.name}: cannot be saved: {reason(error)}") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the model's lock within the context; raises LockedError, naming its holder, if another process has it.

        A path that is a device or a folder is refused with a CheckpointError, and never replaced.
        """
        if self.exists() and not os.path.isfile(self.path):
            raise CheckpointError(f"{self.name}: exists and is not a file: choose another name")
        lock, other = self.path.with_name(f"{self.path.name}.lock"), "?"
        try:
            file = open_locked(lock)
        except BlockingIOError as error:
            with suppress(OSError):  # the other process may be removing it just now
                other = lock.read_text(errors="replace").strip() or other
            raise LockedError(
                f"{self.name}: process {other} is training this model: wait for it to finish, or stop it"
            ) from error
        except OSError as error:
            raise CheckpointError(f"{self.name}: cannot be saved there: {reason(error)}") from error
        try:
            self.remove_leftovers()
            yield
        finally:  # if the removal fails, the lock is still released: a file without its process blocks nobody
            with suppress(OSError):
                lock.unlink()
            with suppress(OSError):
                file.close()

    def remove_leftovers(self) -> None:
        """Remove the temporary files of writers that were killed, as far as possible."""
        with suppress(OSError):
            for stale in self.path.parent.glob(f".{glob.escape(self.path.name)}.[0-9]*.tmp"):
                with suppress(OSError):
                    stale.unlink()


def save_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, replacing the file completely or not at all; raises CharRNNError if that fails.

    A path that is a device or a folder is refused, and never replaced.
    """
    target = Path(os.path.realpath(path))  # a symbolic link is kept, and its target replaced
    if target.exists() and not target.is_file():
        raise CharRNNError(f"{path}: exists and is not a file: choose another name")
    try:
        replace_file(target, text.encode("utf-8", "replace"), verify=lambda file: None)
    except OSError as error:
        raise CharRNNError(f"{path}: cannot be saved: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return an error's message if it was written for people, without unprintable characters, which a file may hold."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    readable = isinstance(error, ValueError | zipfile.BadZipFile | CharRNNError)
    message = "".join(c if c.isprintable() else "\ufffd" for c in str(error).split("\n")[0][:200])
    return message if readable and message else "unreadable"


def open_locked(path: Path) -> IO[str]:
    """Return a locked file that holds our process id; raises BlockingIOError if another process has locked it."""
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last holder has just removed it: try again with a new file


def replace_file(path: Path, data: bytes, verify: Callable[[IO[bytes]], object]) -> None:
    """Replace a file so that a crash leaves either the old one or the new one.

    The data goes to a temporary file in the same folder, which is synced, verified and renamed. After a failed fsync
    the contents of a file are undefined, so the temporary file is removed and the next attempt starts with a new one.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("xb") as file:
            if path.exists():
                os.chmod(beside, path.stat().st_mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with beside.open("rb") as file:
            verify(file)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
