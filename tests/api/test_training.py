"""charrnn.train and charrnn.training_reports: the run of the command, from Python."""

import doctest
import itertools
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn.api import training
from charrnn.api.training import TrainingOptions
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError, DivergedError, UsageError
from charrnn.parallel import cores
from charrnn.training.settings import NAMES
from tests.helpers.command import TEXT, ok

NETWORK: dict[str, Any] = {"hidden_size": 16, "num_layers": 1, "batch_size": 10}  # as in tests.helpers.command
OPTIONS = {"steps", "epochs", "time", "more", "model", "resume", "force", "init_from", "preset"}
OPTIONS |= {"ignore", "save_every", "keep_going", "threads"}


def steps_of(reports: Sequence[object]) -> list[int]:
    return [report.step for report in reports if isinstance(report, charrnn.StepReport)]


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"seed": 3}, ["--seed", 3]),
        ({"lines": True, "dropout": 0.2, "ignore": "[0-9]"}, ["--lines", "--dropout", 0.2, "--ignore", "[0-9]"]),
        (
            {"cell": "lstm", "val_fraction": 0.2, "eval_every": 3},
            ["--cell=lstm", "--val-fraction", 0.2, "--eval-every=3"],
        ),
        ({"preset": "fast", "num_layers": 2, "threads": 1}, ["--preset", "fast", "--num-layers", 2, "--threads", 1]),
    ],
    ids=str,
)
def test_the_library_and_the_command_leave_the_same_file(
    work: Path, options: dict[str, Any], command: list[object]
) -> None:
    own = {"hidden_size": 16, "batch_size": 10, "steps": 12} | options
    model = charrnn.train("a.txt", model="library", **own)
    ok("train", "a.txt", "-m", "command", "--hidden-size", 16, "--batch-size", 10, "--steps", 12, *command)
    assert model.path.read_bytes() == Path("checkpoints/command.npz").read_bytes()


def test_a_model_is_named_after_its_text_and_has_its_best_weights(work: Path) -> None:
    reports = list[object]()
    model = charrnn.train(Path("a.txt"), steps=4, eval_every=2, **NETWORK, on_report=reports.append)
    assert (model.path, model.origin.sources) == (Path("checkpoints/a.npz"), ("a.txt",))
    assert steps_of(reports) == [1, 2, 3, 4]
    saves = [report for report in reports if isinstance(report, charrnn.SaveReport)]
    assert (saves[0].step, saves[-1].step, {save.model for save in saves}) == (0, 4, {"checkpoints/a.npz"})
    evals = [report for report in reports if isinstance(report, charrnn.EvalReport) and report.loss is not None]
    assert [(each.step, each.train_loss, each.loss) for each in evals] == CheckpointStore(model.path).load().history


@pytest.mark.parametrize("how", ["close", "raise", "leave"])
def test_a_run_that_is_left_is_saved_and_resumes_to_the_same_bytes(work: Path, how: str) -> None:
    whole = charrnn.train("a.txt", model="whole", steps=12, **NETWORK).path.read_bytes()
    options = {"model": "parts", "steps": 12, **NETWORK}

    def fail(report: object) -> None:
        if isinstance(report, charrnn.StepReport) and report.step == 5:
            raise ZeroDivisionError

    if how == "raise":
        with pytest.raises(ZeroDivisionError):
            charrnn.train("a.txt", **options, on_report=fail)
    else:
        reports = charrnn.training_reports("a.txt", **options)
        seen = list(itertools.islice(reports, 6))
        assert steps_of(seen) == [1, 2, 3, 4, 5]
        if how == "close":
            reports.close()  # type: ignore[attr-defined]
        del reports
    assert CheckpointStore(Path("checkpoints/parts.npz")).load().step == 5
    assert charrnn.train("a.txt", **options, resume=True).path.read_bytes() == whole


def test_more_adds_to_a_run_and_a_budget_in_time_ends(work: Path) -> None:
    charrnn.train("a.txt", steps=3, **NETWORK)
    model = charrnn.train(model="a", resume=True, more=2)
    assert CheckpointStore(model.path).load().step == 5
    timed = charrnn.train("a.txt", model="timed", time=0.5, **NETWORK)
    assert CheckpointStore(timed.path).load().config.budget == "0.5 seconds"


def test_the_program_around_a_run_has_its_own_threads(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", 2)
    for _ in charrnn.training_reports("a.txt", steps=2, threads=1, **NETWORK):
        assert (cores.core_count(), cores.product_threads) == (2, None)
    assert CheckpointStore(Path("checkpoints/a.npz")).load().environment["threads"] == "1"


def test_runs_in_several_threads_are_those_that_they_are_alone(work: Path) -> None:
    def trained(name: str) -> bytes:
        return charrnn.train("a.txt", model=name, steps=6, seed=int(name[-1]), threads=1, **NETWORK).path.read_bytes()

    alone = [trained(name) for name in ("a1", "a2", "a3")]  # first: the main thread has then set a number of threads
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(trained, ["t1", "t2", "t3"]))
    assert together == alone
    assert len({*together}) == 3
    assert cores.limit_of_call.get() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hiden_size": 3}, "hiden_size: no options of training"),
        ({"hidden_size": 3.0}, r"--hidden-size 3\.0: must be a whole number"),
        ({"hidden_size": "3"}, "--hidden-size '3': must be a whole number"),
        ({"lr": "fast"}, "--lr 'fast': must be a number"),
        ({"lr": -1}, "--lr -1"),
        ({"lines": 1}, "--lines 1: must be True or False"),
        ({"cell": "tcn"}, "--cell tcn: must be rnn or lstm or gru"),
        ({"holdout": "head"}, "--holdout head: must be tail, each or lines"),
        ({"normalize": "nfkc"}, "--normalize nfkc"),
        ({"steps": 3, "time": "3m"}, "give one of them"),
        ({"steps": 1.5}, r"--steps 1\.5: must be a whole number"),
        ({"steps": 0}, "--steps 0: must be at least 1"),
        ({"time": "soon"}, "--time soon: not a time"),
        ({"more": 3}, "--more 3: adds to a run that exists"),
        ({"threads": 0}, "threads 0: must be 1 or more"),
        ({"preset": "worst"}, "preset 'worst': must be fast or best"),
        ({"save_every": "often"}, "save_every often: not a time"),
        ({"model": "./a.txt"}, "is the corpus itself"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_written(work: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        charrnn.train("a.txt", **{"steps": 1, **options} if {"more", "time"}.isdisjoint(options) else options)
    assert not Path("checkpoints").exists()


def test_a_model_that_exists_is_kept_unless_it_is_to_be_replaced(model: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(CheckpointError, match="already exists"):
        charrnn.train("a.txt", steps=1, **NETWORK)
    assert model.read_bytes() == before
    assert charrnn.train("a.txt", steps=1, force=True, **NETWORK).path.read_bytes() != before


def test_a_run_that_diverges_keeps_its_last_save_and_says_what_to_do(work: Path) -> None:
    with pytest.raises(DivergedError, match=r"not finite: try --lr .*checkpoints/a\.npz keeps the model of step 0"):
        charrnn.train("a.txt", steps=200, lr=1e30, **NETWORK)
    assert CheckpointStore(Path("checkpoints/a.npz")).load().step == 0


def test_what_the_command_warns_of_is_a_warning(work: Path) -> None:
    Path("b.txt").write_text(TEXT + "ψωξζ" * 100)
    with pytest.warns(UserWarning, match="the held-out text is unlike the rest"):
        charrnn.train("b.txt", steps=1, **NETWORK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        charrnn.train("a.txt", steps=1, **NETWORK)


def test_every_setting_of_a_run_is_an_option() -> None:
    assert set(TrainingOptions.__annotations__) == NAMES | OPTIONS


def test_the_examples_run(work: Path) -> None:
    result = doctest.testmod(training)
    assert (result.failed, result.attempted > 6) == (0, True)
