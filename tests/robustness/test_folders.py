"""Deleted folders, links, clocks that jump, full disks, and what macOS lacks."""

from pathlib import Path

import numpy as np

from charrnn.checkpoint.store import CheckpointStore
from tests.conftest import Run
from tests.helpers.command import NETWORK, charrnn, contents, limited_to, ok, refused

LINE = ("train", "a.txt", *NETWORK, "--steps", 40, "--save-every", 1, "-q")
DELETING = """
import os, shutil
real, times = os.fsync, iter(range(9))
def delete(file):
    real(file)
    if next(times, None) == 8:
        {what}
os.fsync = delete
"""
JUMPING = """
import itertools, time
jumps = itertools.cycle([0, 4e9, 1e6, 2e9, 1])
time.time = lambda: next(jumps)
time.time_ns = lambda: int(1e9 * next(jumps))
"""
MACOS = """
import os, sys
sys.platform = "darwin"
for name in ("sched_getaffinity", "fork"):
    delattr(os, name)
"""


def test_a_deleted_folder_is_reported_and_not_created_again(work: Path) -> None:
    result = charrnn(*LINE, prelude=DELETING.format(what="shutil.rmtree('checkpoints')"))
    *warnings, error = result.err.splitlines()
    assert (result.code, result.out) == (1, b"")
    assert error == "charrnn: checkpoints/a.npz: cannot be saved: No such file or directory"
    assert warnings
    assert all(warning.startswith("warning: checkpoints/a.npz: cannot be saved: ") for warning in warnings)
    assert list(contents(work)) == ["a.txt"]


def test_a_folder_that_is_created_again_gets_the_finished_model(trained: Run, work: Path) -> None:
    what = "shutil.rmtree('checkpoints'); os.mkdir('checkpoints')"
    assert ok(*LINE, prelude=DELETING.format(what=what)).text == "checkpoints/a.npz\n"
    assert contents(work / "checkpoints") == {"a.npz": trained.model.read_bytes()}


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(work: Path) -> None:
    (work / "checkpoints").write_text("a file")
    advice = "name another one with --model or CHARRNN_CHECKPOINTS"
    words = f"checkpoints/a.npz: its folder cannot be made: File exists: {advice}"
    refused(charrnn("train", "a.txt", *NETWORK, "--steps", 1), 1, words)
    lost = charrnn("train", "a.txt", *NETWORK, "--steps", 1, env={"CHARRNN_CHECKPOINTS": "no/such"})
    refused(lost, 1, f"no/such/a.npz: its folder cannot be made: No such file or directory: {advice}")


def test_a_link_to_a_model_is_kept_and_its_target_locked(trained: Run, work: Path) -> None:
    (work / "elsewhere").mkdir()
    (work / "a.npz").symlink_to("elsewhere/b.npz")
    ok(*LINE, "-m", "a.npz")
    assert (work / "a.npz").is_symlink()
    assert contents(work / "elsewhere") == {"b.npz": trained.model.read_bytes()}
    with CheckpointStore(work / "elsewhere" / "b.npz").lock():
        refused(charrnn(*LINE, "-m", "a.npz", "--force"), 1, "a.npz", "is training this model")


def test_circular_links_are_reported_in_one_line(work: Path) -> None:
    (work / "a.npz").symlink_to("b.npz")
    (work / "b.npz").symlink_to("a.npz")
    refused(charrnn("info", "-m", "a.npz"), 1, "a.npz")


def test_a_wall_clock_that_jumps_changes_nothing(trained: Run, work: Path) -> None:
    ok("train", "a.txt", *NETWORK, "--steps", 40, "--save-every", "1s", "-q", prelude=JUMPING)
    assert (work / "checkpoints" / "a.npz").read_bytes() == trained.model.read_bytes()
    line = ("train", "a.txt", *NETWORK, "--time", "1s", "--save-every", "0.1s", "-m", "b", "--json", "-q")
    (done,) = ok(*line, prelude=JUMPING).events("done")
    assert done["step"] >= 1
    assert 0 < done["seconds"] < 60


def test_a_disk_without_space_for_another_model_keeps_the_old_one(model: Path) -> None:
    before = contents(Path())
    half = limited_to(model.stat().st_size // 2)
    result = charrnn("train", "a.txt", *NETWORK, "--steps", 2, "--force", "-q", prelude=half)
    refused(result, 1, "checkpoints/a.npz: cannot be saved: File too large")
    assert contents(Path()) == before


def test_nothing_that_macos_lacks_is_needed(trained: Run, work: Path) -> None:
    ok(*LINE, prelude=MACOS)
    assert (work / "checkpoints" / "a.npz").read_bytes() == trained.model.read_bytes()
    ok(*LINE, "--ensemble", 2, "--threads", 2, "-m", "b", prelude=MACOS)  # with workers, which are threads there
    ok(*LINE, "--ensemble", 2, "--threads", 2, "-m", "c")
    models = [np.load(work / "checkpoints" / name) for name in ("b.npz", "c.npz")]
    assert models[0]["last"].tobytes() == models[1]["last"].tobytes()
    for command in (("sample", "-n", 5, "-q"), ("eval", "a.txt", "-q"), ("info", "-q")):
        ok(*command, prelude=MACOS)
