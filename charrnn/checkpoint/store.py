"""A model file on disk, saved so that a crash at any moment leaves either the old file or the new one, whole."""

import errno
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charrnn.checkpoint.format import READ_ERRORS, ModelParts, from_file, model_from_file, to_bytes
from charrnn.checkpoint.lock import held
from charrnn.core.errors import CharRNNError, CheckpointError
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
            with self.open_file() as file:
                yield file
        except OSError as error:
            raise CheckpointError(f"{self.name}: {reason(error)}") from error
        except READ_ERRORS as error:
            raise CheckpointError(f"{self.name}: not a whole model file ({reason(error)})") from error

    def open_file(self) -> IO[bytes]:
        """Open the file for reading; raises OSError unless it is a regular file."""
        return open_regular(self.path)

    def is_read_only(self) -> bool:
        """Return whether there is a file that its owner has protected, or that this user may not write to."""
        with suppress(OSError):
            return not (self.path.stat().st_mode & 0o222 and os.access(self.path, os.W_OK))
        return False

    def save(self, state: TrainState) -> None:
        """Replace the file; raises CheckpointError if that fails or the new file would not load again.

        After a failure the old file is still there, unless only the last step failed, the sync of the folder: then it
        is the new file. In either case the file is whole.
        """
        try:
            beside = write_beside(self.path, to_bytes(state))  # its bytes are free again before it is verified
            replace_by(beside, self.path, verify=from_file)
        except (OSError, *READ_ERRORS) as error:
            raise CheckpointError(f"{self.name}: cannot be saved: {reason(error)}") from error

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the model's lock within the context; raises LockedError, naming its holder, if another process has it.

        The context is given whether the file system has locks: without them other processes are not kept away.
        A path that is a device or a folder, or a link to a file of another kind, is refused with a CheckpointError.
        """
        if problem := why_not_replaced(self.name, self.path):
            raise CheckpointError(problem)
        with held(self.path.with_name(f"{self.path.name}.lock"), self.name) as locked:
            self.remove_leftovers()
            yield locked

    def remove_leftovers(self) -> None:
        """Remove the temporary files of writers of this model that were killed, as far as possible."""
        stale = re.compile(rf"\.{re.escape(self.path.name)}\.\d+\.tmp")
        with suppress(OSError):
            for name in filter(stale.fullmatch, os.listdir(self.path.parent)):
                with suppress(OSError):
                    os.unlink(self.path.with_name(name))


def save_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, as save_bytes does."""
    save_bytes(path, text.encode("utf-8", "replace"))


def save_bytes(path: Path, data: bytes) -> None:
    """Write a file, replacing it completely or not at all; raises CharRNNError if that fails.

    A path that is a device or a folder, or a link to a file of another kind, is refused.
    """
    target = Path(os.path.realpath(path))  # a symbolic link is kept, and its target replaced
    if problem := why_not_replaced(str(path), target):
        raise CharRNNError(problem)
    try:
        replace_by(write_beside(target, data), target, verify=lambda file: None)
    except OSError as error:
        raise CharRNNError(f"{path}: cannot be saved: {reason(error)}") from error


def why_not_replaced(name: str, target: Path) -> str:
    """Return why a file must not be replaced, empty if it may; `target` is the path of `name` without links.

    A link may come from another person, in a downloaded folder for example: it may lead to a file of the same kind.
    """
    if os.path.exists(target) and not os.path.isfile(target):
        return f"{name}: exists and is not a file: choose another name"
    if target.suffix != Path(name).suffix:
        return f"{name}: is a link to {target}, which is not a {Path(name).suffix} file: remove the link"
    return ""


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading; raises OSError for a device, a pipe or a folder, and never waits for one."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  # returned
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file: name a model file")


def reason(error: Exception) -> str:
    """Return an error's message if it was written for people, without unprintable characters, which a file may hold."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if is_shortage(error):
        return "not enough memory"
    readable = isinstance(error, ValueError | zipfile.BadZipFile | CharRNNError)
    message = "".join(c if c.isprintable() else "\ufffd" for c in str(error).split("\n")[0][:200])
    return message if readable and message else "unreadable"


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error is a lack of memory, or followed one: zipfile then reports a closed file."""
    while error and not isinstance(error, MemoryError):
        error = error.__context__
    return error is not None


def write_beside(path: Path, data: bytes) -> Path:
    """Write data to a temporary file in the same folder, and sync it; return its path, or remove it after a failure.

    After a failed fsync the contents of a file are undefined, so the next attempt starts with a new one.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("xb") as file:
            keep_owner_and_mode(path, file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def replace_by(beside: Path, path: Path, verify: Callable[[IO[bytes]], object]) -> None:
    """Verify a temporary file and put it in the place of another, so that a crash leaves either of them."""
    try:
        with beside.open("rb") as file:
            verify(file)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync a folder, so that a file renamed into it survives a crash of the machine.

    Some network and user-space file systems have no such operation and answer EINVAL; the file is in place there too.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(folder)


def keep_owner_and_mode(path: Path, file: int) -> None:
    """Give an open file the owner, group and mode of the one at a path, as far as the file system permits."""
    with suppress(OSError):
        old, new = path.stat(), os.fstat(file)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(OSError):
                os.fchown(file, -1, old.st_gid)
            with suppress(OSError):
                os.fchown(file, old.st_uid, -1)
        os.fchmod(file, stat.S_IMODE(old.st_mode) & 0o777)
