import errno
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from charrnn.checkpoint.lock import MAX_BYTES, held
from charrnn.core.errors import CheckpointError, LockedError
from tests.helpers.command import SHORT, charrnn, ok, refused

LOCK = "m.npz.lock"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / LOCK


def taken(lock: Path) -> str:
    """Take a lock and release it; return what its file contained meanwhile."""
    with held(lock, "m"):
        return lock.read_text()


def message(lock: Path) -> str:
    with pytest.raises(CheckpointError) as raised, held(lock, "m"):
        pass
    return str(raised.value)


def test_a_lock_holds_the_process_id_and_is_removed(lock: Path) -> None:
    lock.write_text("123456\n")  # of a process that was killed
    assert taken(lock) == f"{os.getpid()}\n"
    assert not lock.exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_the_lock_is_not_followed(there: bool, lock: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    if there:
        precious.write_text("keep")
    lock.symlink_to(precious)
    assert message(lock) == f"{lock}: is a link, and a lock must not be one: remove it"
    assert (lock.is_symlink(), precious.exists()) == (True, there)
    assert not there or precious.read_text() == "keep"


def test_a_file_with_a_second_name_is_not_written_to(lock: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    os.link(precious, lock)
    assert message(lock).startswith(f"{lock}: is not a lock of charrnn: move it away")
    assert (precious.read_text(), lock.read_text()) == ("keep", "keep")


@pytest.mark.parametrize("kind", ["pipe", "folder", "large file"])
def test_what_is_no_lock_is_left_alone(kind: str, lock: Path) -> None:
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.write_bytes(b"1" * (MAX_BYTES + 1))
    expected = "cannot be saved there: Is a directory" if kind == "folder" else "is not a lock of charrnn"
    assert expected in message(lock)
    assert lock.exists()


def test_the_lock_can_be_read_by_other_users_whatever_the_umask(lock: Path) -> None:
    before = os.umask(0o077)
    try:
        with held(lock, "m"):
            assert lock.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


# ---- other users ----


def not_writable(monkeypatch: pytest.MonkeyPatch, readable: bool = True, owner: int = 4242) -> None:
    """Let locks that exist be those of another user, who lets others read them or not."""
    real_open, real_fstat = os.open, os.fstat

    def opened(path: Any, flags: int, *mode: int) -> int:
        exists = os.path.exists(path) and str(path).endswith(LOCK)
        if exists and (flags & os.O_RDWR or not readable):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "geteuid", lambda: real_fstat(0).st_uid + owner)


def test_a_stale_lock_of_another_user_is_replaced(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.write_text("123456\n")
    not_writable(monkeypatch)
    assert taken(lock) == f"{os.getpid()}\n"
    assert not lock.exists()


def test_where_it_cannot_be_removed_it_is_used_all_the_same(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.write_text("123456\n")
    not_writable(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda path: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no")))
        with held(lock, "m"):
            assert lock.read_text() == "123456\n"
            with pytest.raises(LockedError, match="is training this model"), held(lock, "m"):
                pass
    assert taken(lock) == f"{os.getpid()}\n"


def test_a_live_lock_of_another_user_names_him(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    with held(lock, "m"):
        not_writable(monkeypatch)
        wait = "is training this model: wait for it to finish, or stop it"
        assert message(lock) == f"m: process {os.getpid()} of user {name} {wait}"


def test_a_lock_that_cannot_be_read_says_whose_it_is(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.touch()
    name = pwd.getpwuid(lock.stat().st_uid).pw_name
    not_writable(monkeypatch, readable=False)
    assert f"belongs to user {name} and cannot be read: if no process of user {name} trains" in message(lock)


def test_a_folder_that_is_not_writable_is_the_cause(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def opened(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)
    assert message(lock) == "m: cannot be saved there: Permission denied"


# ---- through the command ----


def test_training_writes_nothing_through_links_that_somebody_put_beside_the_model(work: Path) -> None:
    precious = work / "precious.txt"
    precious.write_text("keep")
    (work / "checkpoints").mkdir()
    lock = work / "checkpoints" / "a.npz.lock"
    lock.symlink_to("../precious.txt")
    refused(charrnn("train", "a.txt", *SHORT), 1, "checkpoints/a.npz.lock: is a link")
    assert precious.read_text() == "keep"
    lock.unlink()
    (work / "checkpoints" / "a.npz").symlink_to("../precious.txt")
    for how in ("--force", "--resume"):
        refused(charrnn("train", "a.txt", *SHORT, how), 1, "checkpoints/a.npz: is a link to", "not a .npz file")
    assert precious.read_text() == "keep"


def test_a_read_only_model_is_replaced_by_force_alone(model: Path) -> None:
    model.chmod(0o444)
    before = model.read_bytes()
    line = ("train", "a.txt", "--steps", 41, "--resume", "-q")
    refused(charrnn(*line), 1, "checkpoints/a.npz: is read-only: use --force")
    assert model.read_bytes() == before
    ok(*line, "--force")
    assert (model.read_bytes() != before, model.stat().st_mode & 0o777) == (True, 0o444)
