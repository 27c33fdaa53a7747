"""Ctrl-C and SIGTERM at chosen moments; test_experiments sends them at random ones."""

import signal
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from tests.conftest import Run
from tests.helpers.command import NETWORK, Result, charrnn, contents, ok

MODEL = Path("checkpoints/a.npz")
LINE = ("train", "a.txt", *NETWORK, "--steps", 40, "--save-every", 1, "-q")
MOMENTS = {  # the function at which the signal arrives, and at which of its calls
    "in a step": ("charrnn.core.train.train_step", 3),
    "in a validation": ("charrnn.core.train.validate", 2),
    "when the first file is synced": ("os.fsync", 1),
    "when a file is synced": ("os.fsync", 9),
    "when a file is renamed": ("os.replace", 5),
}


def struck(function: str, time: int, *signals: signal.Signals) -> Result:
    """Train, with signals that arrive when a function is called for the n-th time."""
    module, name = function.rsplit(".", 1)
    strikes = "".join(f"        os.kill(os.getpid(), signal.{number.name})\n" for number in signals)
    prelude = (
        f"import os, signal, {module} as module\n"
        f"real, times = module.{name}, iter(range({time}))\n"
        "def strike(*args, **options):\n"
        f"    if next(times, None) == {time - 1}:\n{strikes}"
        "    return real(*args, **options)\n"
        f"module.{name} = strike"
    )
    return charrnn(*LINE, prelude=prelude)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_step_is_finished_and_saved_and_the_run_resumes_to_the_same_bytes(
    moment: str, trained: Run, work: Path
) -> None:
    number = (signal.SIGINT, signal.SIGTERM)[len(moment) % 2]
    assert struck(*MOMENTS[moment], number) == Result(-number, b"", "")
    assert sorted(contents(work)) == ["a.txt", "checkpoints", "checkpoints/a.npz"]
    assert 0 < CheckpointStore(MODEL).load().step < 40
    ok(*LINE, "--resume")
    assert MODEL.read_bytes() == trained.model.read_bytes()


@pytest.mark.parametrize("moment", ["in a step", "when a file is synced"])
def test_a_second_signal_ends_the_run_immediately_and_the_model_is_whole(moment: str, trained: Run, work: Path) -> None:
    assert struck(*MOMENTS[moment], signal.SIGTERM, signal.SIGINT) == Result(-signal.SIGINT, b"", "")
    assert (len(contents(work)) > 4) == (moment == "when a file is synced")  # its temporary file is left
    assert 0 < CheckpointStore(MODEL).load().step < 40
    ok(*LINE, "--resume")
    assert sorted(contents(work)) == ["a.txt", "checkpoints", "checkpoints/a.npz"]
    assert MODEL.read_bytes() == trained.model.read_bytes()


@pytest.mark.parametrize("function", ["charrnn.data.corpus.load_corpus", "charrnn.training.configure.start_run"])
def test_before_the_first_save_nothing_is_left(function: str, work: Path) -> None:
    assert struck(function, 1, signal.SIGINT) == Result(-signal.SIGINT, b"", "")
    assert list(contents(work)) == ["a.txt"]
