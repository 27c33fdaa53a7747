"""A model file on disk: saved so that a crash at any moment leaves the old one or the new one, whole."""

import glob
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charrnn.checkpoint.checkpoint import Checkpoint, Trained
from charrnn.checkpoint.format import READ_ERRORS, from_file, to_bytes, trained_from_file
from charrnn.errors import CharRNNError, CheckpointError, LockedError

try:
    import fcntl
except ImportError:  # Windows: there two trainers of one model are not kept apart
    fcntl = None  # type: ignore[assignment]


class CheckpointStore:
    """A model file: loads it, saves it whole or not at all, keeps a second writer away."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)  # as the user knows it
        self.path = Path(os.path.realpath(path))  # a symbolic link stays, and what it points to is replaced

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return os.path.exists(self.path)

    def load(self) -> Checkpoint:
        """Read the file; raises CheckpointError, and nothing else, if it is missing, damaged or foreign."""
        with self.opened() as file:
            return from_file(file)

    def load_trained(self) -> Trained:
        """Read what writing and scoring need, and hold no more of the file; raises CheckpointError like load."""
        with self.opened() as file:
            return trained_from_file(file)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open the file to be read, and make whatever is wrong with it a CheckpointError."""
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise CheckpointError(f"{self.name}: {error.strerror or error}") from error
        except READ_ERRORS as error:
            raise CheckpointError(f"{self.name}: not a whole model file ({reason(error)})") from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the file; raises CheckpointError if that fails or it would not load again.

        A failure leaves the old file; one at the last moment, the sync of the folder, the new one: always one, whole.
        """
        try:
            replace_file(self.path, to_bytes(checkpoint), verify=read)
        except OSError as error:
            raise CheckpointError(f"{self.name}: cannot be saved: {error.strerror or error}") from error
        except READ_ERRORS as error:
            raise CheckpointError(f"{self.name}: cannot be saved: {reason(error)}") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer while the context lasts; raises LockedError, naming the other process, if one is there.

        What is there already must be a file: a device or a folder is refused by a CheckpointError, and never replaced.
        """
        if self.exists() and not os.path.isfile(self.path):
            raise CheckpointError(f"{self.name}: is there, and is not a file: name another one")
        lock, other = self.path.with_name(f"{self.path.name}.lock"), "?"
        try:
            file = take_lock(lock)
        except BlockingIOError as error:
            with suppress(OSError):  # it may be going just now
                other = lock.read_text(errors="replace").strip() or other
            raise LockedError(
                f"{self.name}: process {other} is training this model: wait for it, or stop it"
            ) from error
        except OSError as error:
            raise CheckpointError(f"{self.name}: cannot be saved there: {error.strerror or error}") from error
        try:
            self.clear()
            yield
        finally:  # a lock file that stays is nobody's: it blocks no one
            with suppress(OSError):
                lock.unlink()
            with suppress(OSError):
                file.close()

    def clear(self) -> None:
        """Remove what writers that were killed have left beside the file, as far as that succeeds."""
        with suppress(OSError):
            for stale in self.path.parent.glob(f".{glob.escape(self.path.name)}.[0-9]*.tmp"):
                with suppress(OSError):
                    stale.unlink()


def save_text(path: Path, text: str) -> None:
    """Put a text, as UTF-8, in the place of a file, whole or not at all; raises CharRNNError if that cannot be.

    What is there already must be a file: a device or a folder is never replaced.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays
    if target.exists() and not target.is_file():
        raise CharRNNError(f"{path}: is there, and is not a file: name another one")
    try:
        replace_file(target, text.encode("utf-8", "replace"), verify=lambda beside: None)
    except OSError as error:
        raise CharRNNError(f"{path}: cannot be saved: {error.strerror or error}") from error


def read(path: Path) -> Checkpoint:
    """Read a checkpoint; raises OSError or one of READ_ERRORS."""
    with path.open("rb") as file:
        return from_file(file)


def reason(error: Exception) -> str:
    """Return what a reading error says, as far as its words are meant for people; some of them are the file's own."""
    told = isinstance(error, ValueError | zipfile.BadZipFile | CharRNNError)
    words = "".join(c if c.isprintable() else "\ufffd" for c in str(error).split("\n")[0][:200])
    return words if told and words else "unreadable"


def take_lock(path: Path) -> IO[str]:
    """Open and lock a file, and write our process number in; raises BlockingIOError while another process holds it."""
    while True:
        file = path.open("a+")
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last owner has just removed it: try again with the new one


def replace_file(path: Path, data: bytes, verify: Callable[[Path], object]) -> None:
    """Put data in the place of a file so that a crash leaves the old or the new: write beside, sync, verify, rename.

    After a failed fsync the pages of a file cannot be trusted: it is removed, and the next try begins with a new one.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("xb") as file:
            if path.exists():
                os.chmod(beside, path.stat().st_mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        verify(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name != "nt":  # Windows cannot sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
