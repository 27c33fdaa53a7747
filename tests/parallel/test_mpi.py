"""The command on 2 and 4 ranks of MPI, started by mpiexec, against a single process."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.state import TrainState
from tests.helpers import command, ranks
from tests.helpers.command import ENVIRONMENT, Result

ranks.needs_mpi()

TEXT = "".join(f"{n % 7} fishes, {n * n % 11} hens and a fox.\n" for n in range(160))
SETTINGS = "--hidden-size 8 --embed-size 6 --batch-size 9 --seq-len 12 --threads 1 --eval-every 4 --warmup 2 -q"
TRAIN = ("train", "a.txt", *SETTINGS.split())
RUNS = {
    "noise": "--dropout 0.2 --num-layers 2 --optimizer adamw --steps 8",
    "soap": "--num-layers 1 --optimizer soap --steps 8",
    "ensemble": "--ensemble 2 --zoneout 0.1 --lines --num-layers 1 --optimizer adam --steps 8",
}
ENDLESS = ("--steps", 10**9, "--num-layers", 1, "--eval-every", 10**9, "--json", "--save-every", 10**9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and the models of RUNS trained by one process and by 2 and 4 ranks."""
    place = tmp_path_factory.mktemp("ranks")
    (place / "a.txt").write_text(TEXT)
    (place / "long.txt").write_text(TEXT * 8)
    for name, settings in RUNS.items():
        command.ok(*TRAIN, *settings.split(), "-m", f"{name}-1", cwd=place)
        for count in (2, 4):
            ranks.ok(count, *TRAIN, *settings.split(), "-m", f"{name}-{count}", cwd=place)
    return place


def load(folder: Path, name: str) -> TrainState:
    return CheckpointStore(folder / "checkpoints" / f"{name}.npz").load()


def check_same(found: TrainState, expected: TrainState) -> None:
    """Assert that two runs are the same except for last bits."""
    assert (found.step, found.config, len(found.history)) == (expected.step, expected.config, len(expected.history))
    np.testing.assert_allclose(found.history, expected.history, atol=1e-5)
    if found.config.optimizer == "soap":  # last bits turn eigenvectors whose eigenvalues are nearly equal
        return
    np.testing.assert_allclose(found.model.vector, expected.model.vector, atol=1e-4)
    np.testing.assert_allclose(found.carried, expected.carried, atol=1e-4)
    for name, slot in expected.slots.items():
        if name in ("m", "v"):
            np.testing.assert_allclose(found.slots[name], slot, atol=1e-4 * float(np.abs(slot).max()), err_msg=name)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", RUNS)
def test_ranks_train_the_model_of_a_single_process(name: str, count: int, folder: Path) -> None:
    check_same(load(folder, f"{name}-{count}"), load(folder, f"{name}-1"))
    assert load(folder, f"{name}-{count}").environment["threads"] == f"{count} ranks of 1"


def test_the_same_number_of_ranks_gives_the_same_bytes_and_one_path(folder: Path) -> None:
    result = ranks.ok(2, *TRAIN, *RUNS["noise"].split(), "-m", "again", cwd=folder)
    one, other = (folder / "checkpoints" / f"{name}.npz" for name in ("again", "noise-2"))
    assert one.read_bytes() == other.read_bytes()
    assert (result.text, result.err) == ("checkpoints/again.npz\n", "")


def test_a_run_resumes_on_another_number_of_ranks(folder: Path) -> None:
    constant = [*TRAIN, "--dropout", 0.2, "--schedule", "constant", "--warmup", 0, "--resume"]
    settings = [*constant, "-m", "moved", "--steps"]
    ranks.ok(4, *settings, 3, cwd=folder)
    result = ranks.ok(2, *settings, 6, cwd=folder)
    assert "warning: threads was 4 ranks of 1 and is 2 ranks of 1" in result.err
    command.ok(*settings, 8, cwd=folder)
    command.ok(*constant, "-m", "stayed", "--steps", 8, cwd=folder)
    found, expected = load(folder, "moved"), load(folder, "stayed")
    np.testing.assert_allclose(found.model.vector, expected.model.vector, atol=1e-4)
    np.testing.assert_allclose(found.carried, expected.carried, atol=1e-4)
    assert found.step == expected.step == 8


SAMPLES = ("sample", "-m", "noise-1", "--seed", 3, "--count")
LINES = ("eval", "-m", "ensemble-1", "--lines")
DEALT = {  # with the exit code
    "against": (0, *LINES, "--against", "noise-1", "--json", "-"),
    "found": (3, *LINES, "--score", "peak:3", "--threshold", 14.303, "--context", 2, "--exit-code", "long.txt"),
    "none": (0, *LINES, "--threshold", 99, "--exit-code", "long.txt"),
    "auto": (1, *LINES, "--threshold", "auto:1/100", "long.txt"),  # too short a text for a threshold
    "summary": (0, *LINES, "--score", "sum", "--ignore", "^[0-9]+ ", "--summary", 100, "--json", "-"),
    "samples": (0, *SAMPLES, 150, "-n", 9),
    "regex": (0, *SAMPLES, 70, "--regex", "[0-9] f[a-z]{1,4}", "--no-copy", 3, "--unique", "--json"),
    "exhausted": (1, *SAMPLES, 70, "--regex", "[0-9]", "--unique"),
    "grammar": (0, *SAMPLES, 70, "--grammar", "fish.lark", "-n", 20),
    "schema": (0, *SAMPLES, 70, "--json-schema", "number.json", "--unique", "--json"),
}
EXTRAS = {"grammar": "lark"}


@pytest.mark.parametrize("name", DEALT)
def test_lines_texts_and_samples_are_the_same_bytes(name: str, folder: Path) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    (folder / "fish.lark").write_text('start: item (", " item)*\nitem: /[0-9]{1,2}/ (" fish" | " hens")\n')
    (folder / "number.json").write_text('{"type": "integer", "minimum": 0, "maximum": 999}')
    code, *args = DEALT[name]
    data = TEXT.encode() if "-" in args else b""
    alone = command.charrnn(*args, "--threads", 1, "-q", cwd=folder, input=data)
    assert (alone.code, bool(alone.out)) == (code, name not in ("none", "auto")), alone.err
    for count in (2, 4):
        assert ranks.run(count, *args, "--threads", 1, "-q", cwd=folder, data=data) == alone


def test_a_long_text_is_scored_to_the_bit_as_on_as_many_cores(folder: Path) -> None:
    args = ("eval", "-m", "noise-1", "--json", "long.txt", "-q", "--threads")
    assert ranks.ok(2, *args, 1, cwd=folder).out == command.ok(*args, 2, cwd=folder).out


# ---- failures and signals ----


def test_a_failure_is_one_line_and_the_exit_code_of_a_single_process(folder: Path) -> None:
    wrong = ranks.run(2, "train", "a.txt", "--hidden-size", 0, cwd=folder)
    assert (wrong.code, wrong.err) == (2, "charrnn: --hidden-size 0: must be 1 to 16384\n")
    missing = ranks.run(2, "eval", "-m", "nobody", cwd=folder)
    assert missing.code == 1
    assert missing.err.startswith("charrnn: checkpoints/nobody.npz: no such model")
    assert missing.err.count("\n") == 1


def test_more_ranks_than_streams_are_refused(folder: Path) -> None:
    result = ranks.run(3, "train", "a.txt", "--batch-size", 2, "--steps", 1, "-m", "few", "-q", cwd=folder)
    assert (result.code, result.err) == (2, "charrnn: --batch-size 2: 3 ranks need at least 3 streams to share\n")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    prelude = "import sys; sys.modules['mpi4py'] = None"
    result = ranks.run(2, "sample", cwd=tmp_path, prelude=prelude)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "started as 2 ranks, which needs the extra `mpi`: pip install 'charrnn-numpy[mpi]'" in result.err


def test_a_launcher_of_another_library_is_an_error(tmp_path: Path) -> None:
    env = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
    result = command.charrnn("sample", cwd=tmp_path, env=env)
    assert result.code == 1
    assert result.err.startswith("charrnn: the launcher has started 2 ranks, but MPI knows of 1: use the mpiexec of")


class Running:
    """A training run on ranks without end, from its first step."""

    def __init__(self, count: int, folder: Path, name: str, *options: str) -> None:
        args = ranks.on_ranks(count, *TRAIN, *ENDLESS, "-m", name, options=options)
        pipe = subprocess.PIPE
        self.launcher = subprocess.Popen(args, env=ENVIRONMENT, cwd=folder, stdout=pipe, stderr=pipe)
        assert self.launcher.stdout
        assert b'"start"' in self.launcher.stdout.readline()
        found = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if self.is_rank(pid, name)]
        self.pids = sorted(found, key=self.rank_of)
        assert [*map(self.rank_of, self.pids)] == [*range(count)]
        time.sleep(0.5)

    def is_rank(self, pid: int, name: str) -> bool:
        """Return whether a process is one of the ranks."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return name.encode() in arguments and b"mpiexec" not in b"".join(arguments) and b"-n" not in arguments

    def rank_of(self, pid: int) -> int:
        """Return the number of a rank."""
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return next(int(value.removeprefix(b"PMI_RANK=")) for value in variables if value.startswith(b"PMI_RANK="))

    def end(self) -> Result:
        """Wait until all are gone, for at most 30 seconds."""
        out, err = self.launcher.communicate(timeout=30)
        deadline = time.monotonic() + 30
        while any(os.path.exists(f"/proc/{pid}") for pid in self.pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in self.pids if os.path.exists(f"/proc/{pid}")]
        return Result(self.launcher.returncode, out, err.decode())


linux = pytest.mark.skipif(not os.path.isdir("/proc"), reason="finds the ranks in /proc")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_once_and_ends_all_ranks(number: signal.Signals, folder: Path) -> None:
    name = f"stopped-{number.name}"
    run = Running(2, folder, name)
    run.launcher.send_signal(number)
    result = run.end()
    assert result.code == 128 + number
    assert "BAD TERMINATION" not in result.err
    state = load(folder, name)
    assert state.step > 0
    assert any(np.any(part) for layer in state.carried for part in layer)
    ranks.ok(2, *TRAIN, "-m", name, "--resume", "--steps", state.step + 1, cwd=folder)


@linux
@pytest.mark.parametrize("options", [(), ("-disable-auto-cleanup",)], ids=str)
@pytest.mark.parametrize(("victim", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (3, signal.SIGSEGV)])
def test_a_rank_that_dies_ends_all_with_one_line_and_leaves_the_model_whole(
    victim: int, number: int, options: tuple[str, ...], folder: Path
) -> None:
    name = f"killed-{victim}{len(options)}"
    run = Running(4, folder, name, *options)
    os.kill(run.pids[victim], number)
    result = run.end()
    assert result.code
    end = "has died; all ranks end: a training run continues with --resume"
    expected = [f"charrnn: a rank {end}"]  # if mpiexec kills rank 0 before it notices which one
    if victim:
        expected.append(f"charrnn: rank {victim} on {os.uname().nodename} {end}")
    (line,) = [line for line in result.err.splitlines() if line.startswith("charrnn:")]
    assert line in expected
    step = load(folder, name).step  # 0, or that of a last save before the end
    command.ok(*TRAIN, "-m", name, "--resume", "--steps", step + 2, cwd=folder)


def test_an_error_on_another_rank_is_the_line_and_leaves_the_model_whole(folder: Path) -> None:
    prelude = """
import os
if os.environ["PMI_RANK"] == "1":
    from charrnn.parallel import rank_executor

    steps, original = [], rank_executor.take_step

    def take_step(*step):
        steps.append(step)
        if len(steps) == 3:
            raise OSError(28, "No room")
        original(*step)

    rank_executor.take_step = take_step
"""
    result = ranks.run(2, *TRAIN, "-m", "failed", "--steps", 9, cwd=folder, prelude=prelude)
    why = "OSError: [Errno 28] No room"
    end = "all ranks end: a training run continues with --resume"
    assert result.err == f"charrnn: rank 1 on {os.uname().nodename} has failed: {why}; {end}\n"
    assert result.code == 1
    assert load(folder, "failed").step == 0  # as saved: the hidden state of its second step was on the ranks
    command.ok(*TRAIN, "-m", "failed", "--resume", "--steps", 2, cwd=folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_all_ranks_write_samples_has_the_exit_code_of_a_single_process(
    number: signal.Signals, folder: Path
) -> None:
    args = ranks.on_ranks(2, *SAMPLES, 10**6, "-n", 100, "--threads", 1)
    pipe = subprocess.PIPE
    with subprocess.Popen(args, env=ENVIRONMENT, cwd=folder, stdout=pipe, stderr=pipe) as launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        time.sleep(0.5)
        launcher.send_signal(number)
        _, err = launcher.communicate(timeout=60)
    assert (launcher.returncode, err) == (128 + number, b"")
