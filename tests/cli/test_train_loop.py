"""The training loop: saves, kills, signals and failures."""

import math
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from tests.conftest import Run
from tests.helpers.command import (
    LONG,
    NETWORK,
    TEXT,
    Result,
    charrnn,
    closed_early,
    finish,
    limited_to,
    ok,
    read_until,
    refused,
    start,
)


def test_steps_are_saved_when_due_and_after_their_validation_but_not_during_it(work: Path) -> None:
    result = ok("train", "a.txt", *NETWORK, "--steps", 6, "--save-every", 2, "--eval-every", 4, "--json")
    saves = Counter(event["step"] for event in result.events("save"))
    assert set(saves) == {0, 2, 4, 6}
    assert max(saves.values()) <= 2


def test_an_early_validation_is_in_the_history_of_the_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prelude = "import charrnn.training.run as run; run.EARLY = 0.0"
    result = ok("train", "a.txt", *NETWORK, "--time", "2s", "--json", prelude=prelude)
    steps = [event["step"] for event in result.events("eval")]
    assert steps[0] == 1
    assert len(steps) >= 2
    assert [step for step, *_ in CheckpointStore(Path("checkpoints/a.npz")).load().history] == steps


def test_the_same_seed_gives_the_same_bytes_and_another_seed_different_ones(trained: Run, work: Path) -> None:
    same = []
    for seed in (0, 1):
        ok("train", "a.txt", *NETWORK, "--steps", 40, "--seed", seed, "-m", f"{seed}.npz")
        same.append(Path(f"{seed}.npz").read_bytes() == trained.model.read_bytes())
    assert same == [True, False]


def test_a_run_killed_repeatedly_ends_with_the_same_bytes(long_run: Run, work: Path) -> None:
    path, begun = work / "checkpoints" / "a.npz", long_run.result.start
    parts = int(len(TEXT) * 0.9) / begun["batch_size"]
    epoch = math.ceil(parts / begun["seq_len"])
    moments = [("save", 0), ("step", epoch // 2), ("step", epoch), ("eval", begun["eval_every"]), ("step", 4 * epoch)]
    assert epoch // 2 < epoch < begun["eval_every"] < 4 * epoch < 60
    at = -1
    for event, step in moments:
        process = start(*LONG, "--save-every", 1)
        read_until(process, event, step)
        process.kill()
        assert finish(process).code == -signal.SIGKILL
        at, before = CheckpointStore(path).load().step, at
        assert before <= at < 120
    assert ok(*LONG).records[0]["step"] == at
    assert path.read_bytes() == long_run.model.read_bytes()
    assert os.listdir(path.parent) == ["a.npz"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_stopped_by_a_signal_is_saved_and_resumes_to_the_same_bytes(
    long_run: Run, work: Path, number: signal.Signals
) -> None:
    path = work / "checkpoints" / "a.npz"
    process = start(*LONG)
    read_until(process, "step", 7)
    process.send_signal(number)
    result = finish(process)
    assert result.code == -number
    step = CheckpointStore(path).load().step
    assert 7 <= step < 120
    assert result.err.endswith(f"stopped at step {step} and saved: continue checkpoints/a.npz with --resume\n")
    assert os.listdir(path.parent) == ["a.npz"]
    ok(*LONG)
    assert path.read_bytes() == long_run.model.read_bytes()


# ---- failures ----


def test_a_failed_save_during_training_is_a_warning_and_the_last_one_an_error(trained: Run, work: Path) -> None:
    almost = limited_to(trained.model.stat().st_size - 100)
    result = charrnn("train", "a.txt", *NETWORK, "--steps", 40, "-q", prelude=almost)
    assert (result.code, result.out) == (1, b"")
    *warnings, error = result.err.splitlines()
    saved = CheckpointStore(Path("checkpoints/a.npz")).load().step
    assert 0 < saved < 40
    assert warnings
    for warning in warnings:
        assert warning.startswith("warning: checkpoints/a.npz: cannot be saved: ")
        assert warning.endswith(f"the file has step {saved}")
    assert error.startswith("charrnn: checkpoints/a.npz: cannot be saved: ")
    assert os.listdir("checkpoints") == ["a.npz"]


def test_a_diverging_run_keeps_the_last_good_model(work: Path) -> None:
    result = charrnn("train", "a.txt", *NETWORK, "--steps", 200, "--lr", 1e30, "-q")
    saved = CheckpointStore(Path("checkpoints/a.npz")).load().step
    refused(result, 1, "not finite", "--lr", f"checkpoints/a.npz keeps the model of step {saved}")
    ok("sample", "-n", 5, "-q")


def stopped_at() -> int:
    """Return the step of the model that a run has left, alone in its folder."""
    assert os.listdir("checkpoints") == ["a.npz"]
    return CheckpointStore(Path("checkpoints/a.npz")).load().step


def test_training_ends_quietly_when_the_reader_of_its_events_goes_away_and_is_saved(work: Path) -> None:
    with start(*LONG, "-q") as process:
        read_until(process, "step", 3)
        assert closed_early(process) == Result(0, b"", "")
    assert 3 <= stopped_at() < 120


def test_a_run_without_its_reader_says_where_it_is_saved(long_run: Run, work: Path) -> None:
    with start(*LONG) as process:
        read_until(process, "step", 7)
        result = closed_early(process)
    step = stopped_at()
    assert result.code == 0
    assert result.err.endswith(f"stopped at step {step} and saved: continue checkpoints/a.npz with --resume\n")
    ok(*LONG)
    assert Path("checkpoints/a.npz").read_bytes() == long_run.model.read_bytes()


FULL_LATER = """
import os
from charrnn.cli.streams import Output
real, seen = Output.record, []
def record(self, values):
    seen.append(values)
    if len(seen) == 9:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    real(self, values)
Output.record = record
"""


def test_a_run_whose_log_becomes_full_is_saved(work: Path) -> None:
    result = charrnn(*LONG, prelude=FULL_LATER)
    assert result.code == 1
    assert result.err.endswith("charrnn: stdout: No space left on device\n")
    assert f"stopped at step {stopped_at()} and saved" in result.err
    assert stopped_at() > 0


TWO_CORES = "from charrnn.parallel import cores; cores.core_count = lambda: 2"


def test_a_run_whose_worker_is_killed_is_saved(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK[:-1], 32, "--seq-len", 8, "--steps", 5000, "--json")
    with start(*line, prelude=TWO_CORES) as process:
        read_until(process, "step", 5)
        worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        os.kill(worker, signal.SIGKILL)
        result = finish(process)
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("charrnn: a worker process died")
    assert f"stopped at step {stopped_at():,} and saved" in result.err
    assert stopped_at() >= 5


@pytest.mark.parametrize(("where", "saved"), [("optim", 0), ("network", 3)])
def test_a_run_that_an_update_left_half_done_is_not_saved(where: str, saved: int, work: Path) -> None:
    owner, name = {"optim": ("optim", "drop_subnormals"), "network": ("network.Network", "loss_and_gradients")}[where]
    prelude = FAILING.format(owner=owner, name=name)
    result = charrnn("train", "a.txt", *NETWORK, "--optimizer", "sgd", "--steps", 9, "--threads", 1, prelude=prelude)
    assert result.code == 1
    assert "not enough memory" in result.err
    assert stopped_at() == saved


FAILING = """
from charrnn.core import network, optim
real, calls = {owner}.{name}, []
def failing(*args, **options):
    calls.append(1)
    if len(calls) == 4:
        raise MemoryError
    return real(*args, **options)
{owner}.{name} = failing
"""


def test_the_model_does_not_depend_on_stderr(trained: Run, work: Path) -> None:
    for redirect in ("2>&-", "2>/dev/full"):
        result = ok("train", "a.txt", *NETWORK, "--steps", 40, "--force", redirect=redirect)
        assert (result.text, result.err) == ("checkpoints/a.npz\n", "")
        assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()
