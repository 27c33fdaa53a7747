"""File systems that lack an operation, as some FUSE, NFS and CIFS mounts do, and what else can lie in their folders."""

import errno
from pathlib import Path

import pytest

from charrnn.checkpoint.store import sync_folder
from tests.conftest import Run
from tests.helpers.command import NETWORK, charrnn, contents, ok, refused

TRAIN = ("train", "a.txt", *NETWORK, "--steps", 40, "-q")
FOLDERS_CANNOT_BE_SYNCED = """
import os, stat
real = os.fsync
def fsync(file):
    if stat.S_ISDIR(os.fstat(file).st_mode):
        raise OSError({number}, os.strerror({number}))
    real(file)
os.fsync = fsync
"""
NOTHING_CAN_BE_LOCKED = """
import fcntl, os
def flock(file, operation):
    raise OSError({number}, os.strerror({number}))
fcntl.flock = flock
"""


def test_a_folder_that_cannot_be_synced_does_not_end_a_run(trained: Run, work: Path) -> None:
    ok(*TRAIN, prelude=FOLDERS_CANNOT_BE_SYNCED.format(number=errno.EINVAL))
    assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()


def test_any_other_failure_to_sync_a_folder_is_an_error(work: Path) -> None:
    result = charrnn(*TRAIN, prelude=FOLDERS_CANNOT_BE_SYNCED.format(number=errno.EIO))
    refused(result, 1, "checkpoints/a.npz", "Input/output error")
    with pytest.raises(FileNotFoundError):
        sync_folder(work / "nothere")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_training_continues_with_a_warning(number: int, trained: Run, work: Path) -> None:
    result = ok(*TRAIN, prelude=NOTHING_CAN_BE_LOCKED.format(number=number))
    warning = "warning: checkpoints/a.npz: this file system has no locks: do not train this model twice at a time\n"
    assert result.err == warning
    assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()
    assert sorted(contents(work)) == ["a.txt", "checkpoints", "checkpoints/a.npz"]


def test_any_other_failure_to_lock_is_an_error(work: Path) -> None:
    refused(charrnn(*TRAIN, prelude=NOTHING_CAN_BE_LOCKED.format(number=errno.EIO)), 1, "Input/output error")


NO_TEMPORARY_FOLDER = """
import tempfile
def refuse():
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
tempfile._get_default_tempdir = refuse
"""


def test_without_a_temporary_folder_the_message_names_the_variable(work: Path) -> None:
    for command, given in ((TRAIN, b""), (("train", "-", "-q"), b"some text")):
        result = charrnn(*command, input=given, prelude=NO_TEMPORARY_FOLDER)
        refused(result, 1, "no usable temporary folder", "TMPDIR")


def test_dead_links_and_folders_among_the_models_are_passed_over(model: Path) -> None:
    folder = model.parent
    (folder / "b.npz").symlink_to("nothere")
    (folder / "c.npz").mkdir()
    (folder / "d.npz").symlink_to("d.npz")
    assert ok("info").err == f"model: {Path('checkpoints/a.npz')}\n"
    ok("eval", "-q", "a.txt")
    completing = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn info -m ", "COMP_CWORD": "3"}
    assert ok(env=completing).text.split() == ["a"]
