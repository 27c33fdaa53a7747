"""The lock of a model: a file NAME.npz.lock beside it, which the process that trains the model holds with flock.

The file may come from another person, in a downloaded folder for example. So it is opened without
following links, and only written to if it is a small regular file with a single name.
"""

import errno
import fcntl
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charrnn.core.errors import CheckpointError, LockedError

MAX_BYTES = 64  # of a lock, which holds a process id
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # as some network and user-space file systems answer
SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def held(path: Path, model: str) -> Iterator[bool]:
    """Hold a lock within the context, and remove its file at the end; give False if the file system has no locks.

    Raises LockedError, naming the holder, if another process has it, and CheckpointError if there can be no lock.
    `model` is the name for messages.
    """
    try:
        file, locked = acquired(path, model)
    except OSError as error:
        raise CheckpointError(f"{model}: cannot be saved there: {error.strerror or error}") from error
    try:
        yield locked
    finally:  # if the removal fails, the lock is still released: a file without its process blocks nobody
        with suppress(OSError):
            if is_at(path, file):
                os.unlink(path)
        with suppress(OSError):
            os.close(file)


def acquired(path: Path, model: str) -> tuple[int, bool]:
    """Return the descriptor of a lock file that holds our process id, and whether the file system could lock it."""
    while True:
        file = opened(path)
        try:
            locked = flocked(file)
            if is_at(path, file) and signed(path, file):
                return file, locked
        except BlockingIOError as error:
            other = holder(file)
            os.close(file)
            raise LockedError(f"{model}: {other} is training this model: wait for it to finish, or stop it") from error
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its last holder has just removed it, or we have: try again with a new file


def flocked(file: int) -> bool:
    """Lock an open file, and return True; return False if its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return False
    return True


def opened(path: Path) -> int:
    """Open or create a lock file; one that another user owns is opened for reading, which is enough to lock it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o644)
    except PermissionError as error:
        file = opened_of_another_user(path, error)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CheckpointError(f"{path}: is a link, and a lock must not be one: remove it") from error
        raise
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and found.st_size <= MAX_BYTES:
        return file
    os.close(file)
    raise CheckpointError(f"{path}: is not a lock of charrnn: move it away, or choose another name for the model")


def opened_of_another_user(path: Path, refusal: PermissionError) -> int:
    """Open a lock file that may not be written; raises the refusal if there is none, so the folder is the cause."""
    try:
        return os.open(path, os.O_RDONLY | SAFELY)
    except FileNotFoundError:
        raise refusal from None
    except PermissionError as error:
        owner = user(os.stat(path, follow_symlinks=False).st_uid)
        advice = f"if no process of {owner} trains this model, remove it"
        raise CheckpointError(f"{path}: belongs to {owner} and cannot be read: {advice}") from error


def signed(path: Path, file: int) -> bool:
    """Write our process id into a locked file; return whether the lock can be used.

    A stale file of another user is removed, to be created again. Where that is not permitted, it is used without an id.
    """
    if not fcntl.fcntl(file, fcntl.F_GETFL) & os.O_RDWR:
        with suppress(OSError):
            os.unlink(path)
        return is_at(path, file)
    with suppress(OSError):
        os.fchmod(file, 0o644)  # readable whatever the umask, so that other users can see whether it is held
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return True


def is_at(path: Path, file: int) -> bool:
    """Return whether an open file is still the one at a path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    return False


def holder(file: int) -> str:
    """Return who holds a lock, in words."""
    content, owner = os.pread(file, MAX_BYTES, 0).strip(), os.fstat(file).st_uid
    process = f"process {content.decode()}" if content.isdigit() else "another process"
    return process if owner == os.geteuid() else f"{process} of {user(owner)}"


def user(number: int) -> str:
    """Return a user in words: by name, or by number if it has none here."""
    with suppress(KeyError):
        return f"user {pwd.getpwuid(number).pw_name}"
    return f"user {number}"
