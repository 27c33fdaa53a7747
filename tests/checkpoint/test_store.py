import errno
import fcntl
import io
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore, save_text
from charrnn.core.errors import CharRNNError, CheckpointError, LockedError
from charrnn.core.state import Origin, TrainState
from tests.checkpoint.mutations import refusal
from tests.helpers.command import contents
from tests.helpers.files import IMPORTABLE, array_of, copy_of, corpus_of, tiny_run, with_entry


def with_nan(state: TrainState, part: str) -> TrainState:
    """Return a copy in which one number is NaN."""
    state = copy_of(state)
    assert state.best
    if part == "loss_sum":
        state.loss_sum = float("nan")
    elif part == "history":
        state.history[-1] = (8, 1.0, float("nan"))
    else:
        parts = {"last": state.model.vector, "best": state.best.vector, "state": state.carried[0][0]}
        (parts | state.slots)[part].flat[3] = np.nan
    return state


@pytest.mark.parametrize("part", ["last", "best", "state", "m", "v", "loss_sum", "history"])
def test_a_run_with_nan_never_replaces_a_good_file(part: str, state: TrainState, good: bytes, path: Path) -> None:
    path.write_bytes(good)
    with pytest.raises(CheckpointError):
        CheckpointStore(path).save(with_nan(state, part))
    assert path.read_bytes() == good


def test_a_run_that_would_not_load_again_is_not_saved(state: TrainState, good: bytes, path: Path) -> None:
    path.write_bytes(good)
    state = copy_of(state)
    state.origin = Origin(tuple(f"{i:0100}.txt" for i in range(20_000)), "", 1)  # two megabytes of names
    with pytest.raises(CheckpointError):
        CheckpointStore(path).save(state)
    assert path.read_bytes() == good


def test_saving_leaves_no_other_file_in_the_folder(state: TrainState, good: bytes, path: Path) -> None:
    store = CheckpointStore(path)
    assert not store.exists()
    for _ in range(2):
        store.save(state)
        assert store.exists()
        assert path.read_bytes() == good == to_bytes(store.load())
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_mode_of_the_old_file_is_kept(mode: int, state: TrainState, path: Path) -> None:
    path.touch()
    path.chmod(mode)
    CheckpointStore(path).save(state)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_owner_of_the_old_file_keeps_it(state: TrainState, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    path.touch()
    old = os.stat(path)
    real = os.fstat

    def of_another_user(file: int) -> os.stat_result:
        found = list(real(file))
        found[stat.ST_UID], found[stat.ST_GID] = old.st_uid + 1, old.st_gid + 2
        return os.stat_result(found)

    monkeypatch.setattr(os, "fchown", lambda file, *ids: given.append(ids))
    monkeypatch.setattr(os, "fstat", of_another_user)
    CheckpointStore(path).save(state)
    assert given == [(-1, old.st_gid), (old.st_uid, -1)]


@pytest.mark.parametrize("call", ["fchmod", "fchown"])
def test_a_file_system_without_owners_or_modes_is_no_obstacle(
    call: str, state: TrainState, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, call, lambda *_: fail(PermissionError(errno.EPERM, os.strerror(errno.EPERM))))
    for _ in range(2):
        CheckpointStore(path).save(state)
    assert path.read_bytes() == good


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_kept(there: bool, state: TrainState, good: bytes, path: Path) -> None:
    folder = path.parent / "elsewhere"
    folder.mkdir()
    if there:
        (folder / "target.npz").write_bytes(b"old")
    path.symlink_to(folder / "target.npz")
    CheckpointStore(path).save(state)
    assert path.is_symlink()
    assert (folder / "target.npz").read_bytes() == good
    assert list(folder.iterdir()) == [folder / "target.npz"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_a_file_of_another_kind_is_not_followed(there: bool, path: Path) -> None:
    target = path.parent / "precious.txt"
    if there:
        target.write_text("keep")
    path.symlink_to(target)
    with pytest.raises(CheckpointError, match=r"is a link to .*precious\.txt, which is not a \.npz file: remove"):
        CheckpointStore(path).lock().__enter__()
    assert target.exists() == there


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "pipe"])
def test_only_a_regular_file_is_read(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / name) == f"{tmp_path / name}: not a regular file: name a model file"


def is_folder(file: int) -> bool:
    return stat.S_ISDIR(os.fstat(file).st_mode)


def test_the_order_is_write_sync_verify_replace_sync_of_the_folder(
    state: TrainState, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []

    def recorded(owner: object, name: str, event: Callable[..., object]) -> None:
        real = getattr(owner, name)

        def call(*args: Any) -> Any:
            events.append(event(*args))
            return real(*args)

        monkeypatch.setattr(owner, name, call)

    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "open", lambda path, mode: open(path, mode, 1 << 20))  # noqa: SIM115  # with a large buffer, so that a flush is needed
    recorded(os, "fsync", lambda file: ("sync", "folder" if is_folder(file) else os.fstat(file).st_size))
    recorded(Path, "open", lambda file, mode: (mode, file.name))
    recorded(os, "replace", lambda beside, to: ("replace", to, os.stat(beside).st_size))
    CheckpointStore(path).save(state)
    beside = f".{path.name}.{os.getpid()}.tmp"
    assert events == [
        ("xb", beside),
        ("sync", len(good)),
        ("rb", beside),
        ("replace", path, len(good)),
        ("sync", "folder"),
    ]


def on_open(patch: pytest.MonkeyPatch, wanted: str, change: Callable[[Any], Any]) -> None:
    """Replace files that are opened in a mode."""
    real = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any) -> Any:
        file = real(path, mode, *rest)
        return change(file) if mode == wanted else file

    patch.setattr(Path, "open", opened)


def fail(error: BaseException) -> NoReturn:
    raise error


def filling_disk(patch: pytest.MonkeyPatch, error: BaseException) -> None:
    def half_writable(file: Any) -> Any:
        write = file.write
        patch.setattr(file, "write", lambda data: write(data[: len(data) // 2]) and fail(error))
        return file

    on_open(patch, "xb", half_writable)


FAILURES: dict[str, Callable[[pytest.MonkeyPatch, BaseException], None]] = {
    "write": filling_disk,
    "fsync": lambda patch, error: patch.setattr(os, "fsync", lambda *_: fail(error)),
    "read back": lambda patch, error: on_open(patch, "rb", lambda file: (file.close(), fail(error))),
    "replace": lambda patch, error: patch.setattr(os, "replace", lambda *_: fail(error)),
}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failed_save_leaves_only_the_old_file(
    failure: Callable[[pytest.MonkeyPatch, BaseException], None],
    error: BaseException,
    state: TrainState,
    good: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        failure(patch, error)
        with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt) as raised:
            CheckpointStore(path).save(state)
    if isinstance(error, OSError):
        assert str(raised.value) == f"{path}: cannot be saved: No space left on device"
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    CheckpointStore(path).save(state)  # the next save works
    assert path.read_bytes() == good


def test_a_file_that_reads_back_differently_is_not_used(
    state: TrainState, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(file: Any) -> Any:
        with file:
            return io.BytesIO(file.read().replace(array_of(to_bytes(state), "slots.m").tobytes()[:9], bytes(9)))

    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        on_open(patch, "rb", forgetful)
        with pytest.raises(CheckpointError, match="cannot be saved"):
            CheckpointStore(path).save(state)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_an_error_and_the_new_file_is_whole(
    state: TrainState, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        if is_folder(file):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match="Input/output error"):
        CheckpointStore(path).save(state)
    assert path.read_bytes() == good


def test_a_missing_folder_is_named(state: TrainState, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "none" / "m.npz")
    with pytest.raises(CheckpointError, match=r"none/m\.npz: cannot be saved: No such file or directory"):
        store.save(state)
    with (
        pytest.raises(CheckpointError, match=r"none/m\.npz: cannot be saved there: No such file or directory"),
        store.lock(),
    ):
        pass


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.npz") == f"{tmp_path}/none.npz: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    long_name = tmp_path / ("x" * 300)
    assert refusal(long_name) == f"{long_name}: File name too long"
    assert not CheckpointStore(long_name).exists()


class ShortOfMemory(io.BytesIO):
    """A buffer that cannot grow beyond 5,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() > 5000:
            raise MemoryError
        return super().write(data)


def test_a_shortage_of_memory_in_a_save_is_named(
    state: TrainState, good: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(good)
    monkeypatch.setattr(io, "BytesIO", ShortOfMemory)
    with pytest.raises(CheckpointError) as raised:
        CheckpointStore(path).save(state)
    assert str(raised.value) == f"{path}: cannot be saved: not enough memory"
    assert path.read_bytes() == good


# ---- several writers, and killed ones ----

DYING_WRITER = """
import os, signal, sys
from pathlib import Path
from charrnn.checkpoint.store import CheckpointStore

old, new, last = CheckpointStore(Path(sys.argv[1])), CheckpointStore(Path(sys.argv[2])).load(), int(sys.argv[3])
calls = 0

def dying(real):
    def call(*args):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call

with old.lock():
    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    old.save(new)
"""
SECOND_WRITER = """
import sys
from pathlib import Path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import LockedError

try:
    with CheckpointStore(Path(sys.argv[1])).lock():
        print("locked")
except LockedError as error:
    print(error)
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=IMPORTABLE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("last_call", "survivor"), [(1, "old"), (2, "old"), (3, "new")], ids=["sync", "replace", "done"]
)
def test_a_writer_killed_during_a_save_leaves_a_whole_file_and_blocks_nobody(
    last_call: int,
    survivor: str,
    state: TrainState,
    good: bytes,
    path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    new = tmp_path_factory.mktemp("new") / "new.npz"
    new.write_bytes(with_entry(good, "loss_sum", 9.5))
    files = {"old": good, "new": to_bytes(CheckpointStore(new).load())}
    path.write_bytes(good)
    assert python(DYING_WRITER, path, new, last_call).returncode == -signal.SIGKILL
    assert path.read_bytes() == files[survivor]
    left = {file.name.split(".")[-1] for file in path.parent.iterdir()}
    assert left == {"npz", "lock"} | ({"tmp"} if survivor == "old" else set())
    with CheckpointStore(path).lock():
        assert path.with_name("m[1].npz.lock").read_text() == f"{os.getpid()}\n"
        assert [file for file in path.parent.iterdir() if file.suffix == ".tmp"] == []
    assert list(path.parent.iterdir()) == [path]


def test_only_the_temporary_files_of_this_model_are_removed(path: Path) -> None:
    names = (".m1.npz.7.tmp", ".m[1].npz", "m[1].npz.7.tmp", ".m[1].npz.7.txt", ".m[1].npz.2024.7.tmp")
    others = {path.with_name(name) for name in names}
    for file in others | {path.with_name(".m[1].npz.7.tmp")}:
        file.touch()
    with CheckpointStore(path).lock():
        pass
    assert set(path.parent.iterdir()) == others


def test_a_second_writer_is_refused_and_the_first_one_named(path: Path) -> None:
    with CheckpointStore(path).lock():
        assert path.with_name("m[1].npz.lock").read_text() == f"{os.getpid()}\n"
        second = python(SECOND_WRITER, path)
        message = f"{path}: process {os.getpid()} is training this model: wait for it to finish, or stop it\n"
        assert second.stdout == message, second.stderr
        with pytest.raises(LockedError), CheckpointStore(path).lock():  # another part of this process is refused too
            pass
    assert list(path.parent.iterdir()) == []
    with CheckpointStore(path).lock():
        pass


def test_a_lock_that_its_holder_removes_meanwhile_is_created_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, real = path.with_name("m[1].npz.lock"), fcntl.flock
    removals = iter([lock.unlink])

    def flock(file: Any, how: int) -> None:
        next(removals, lambda: None)()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with CheckpointStore(path).lock():
        assert lock.read_text() == f"{os.getpid()}\n"
        with pytest.raises(LockedError), CheckpointStore(path).lock():
            pass


@pytest.mark.parametrize("error", [OSError("mine"), BlockingIOError("mine"), KeyboardInterrupt("mine")], ids=repr)
def test_an_error_within_the_lock_is_raised_unchanged(error: BaseException, path: Path) -> None:
    with pytest.raises(type(error), match="mine") as raised, CheckpointStore(path).lock():
        raise error
    assert raised.value is error
    assert list(path.parent.iterdir()) == []


# ---- texts ----


def test_a_text_replaces_a_file_through_its_link_and_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "a.html", tmp_path / "link.html"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    save_text(link, "new ß\n\ud800")
    assert (link.is_symlink(), file.read_bytes(), file.stat().st_mode & 0o777) == (True, "new ß\n?".encode(), 0o640)


def test_a_text_that_cannot_be_saved_leaves_only_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.html").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CharRNNError, match=r"a\.html: cannot be saved: No space left"):
        save_text(tmp_path / "a.html", "new")
    assert contents(tmp_path) == {"a.html": b"old"}


def test_a_text_does_not_replace_a_file_of_another_kind_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    (tmp_path / "a.html").symlink_to("notes.txt")
    with pytest.raises(CharRNNError, match=r"a\.html: is a link to .*notes\.txt, which is not a \.html file"):
        save_text(tmp_path / "a.html", "new")
    assert (tmp_path / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("name", [".", os.devnull, "nowhere/a.html"])
def test_a_device_or_folder_is_never_replaced(name: str, tmp_path: Path) -> None:
    with pytest.raises(CharRNNError, match=r"not a file|No such file"):
        save_text(tmp_path / name, "new")
    assert not Path(os.devnull).is_file()
    assert contents(tmp_path) == {}


def test_a_save_takes_twice_the_size_of_the_file(path: Path) -> None:
    run, store = tiny_run(corpus_of("ab\n" * 200), {"hidden_size": 128, "embed_size": 64}), CheckpointStore(path)
    store.save(run)  # what is imported at first is no part of it
    tracemalloc.start()
    store.save(run)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * path.stat().st_size
