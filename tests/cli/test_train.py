"""charrnn train: its output, its budgets and its settings."""

import json
import math
import signal
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.train_settings import SETTINGS
from charrnn.core.config import ACTIVATION_NAMES, CELL_NAMES, OPTIMIZER_NAMES, SCHEDULE_NAMES, ModelConfig, TrainConfig
from charrnn.core.state import TrainState
from tests.helpers.command import NETWORK, SHORT, TEXT, assert_exact_after_kill, charrnn, finish, ok, refused, start


def test_stdout_is_only_the_path_of_the_model_and_quiet_leaves_stderr_empty(work: Path) -> None:
    loud, quiet = ok("train", "a.txt", *SHORT), ok("train", "a.txt", *SHORT, "-m", "b", "--quiet")
    assert (loud.text, quiet.text, quiet.err) == ("checkpoints/a.npz\n", "checkpoints/b.npz\n", "")
    assert f"text: a.txt, {len(TEXT):,} characters, {len(set(TEXT))} symbols\n" in loud.err
    assert "budget: 2 steps of" in loud.err
    assert "step=2 steps=2 train_bits=" in loud.err
    assert "\r" not in loud.err


# ---- choices ----


def test_the_choices_are_the_names_of_the_tables() -> None:
    choices = [get_args(SETTINGS[name][0]) for name in ("cell", "activation", "optimizer", "schedule")]
    assert choices == [CELL_NAMES, ACTIVATION_NAMES, OPTIMIZER_NAMES, SCHEDULE_NAMES]


def test_every_setting_has_an_option() -> None:
    fields = {*ModelConfig.__dataclass_fields__, *TrainConfig.__dataclass_fields__}
    assert fields - {"vocab_size", "line_end", "steps", "budget", "held_out"} == set(SETTINGS) - {
        "lines",
        "normalize",
    }


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_each_activation_trains_and_samples(work: Path, name: str) -> None:
    line = ("train", "a.txt", *NETWORK, "--cell", "rnn", "--steps", 30)
    result = ok(*line, "--activation", name, "--json", "-q")
    assert (result.start["cell"], result.start["activation"]) == ("rnn", name)
    first, *_, last = result.events("step")
    assert last["train_nats_per_char"] < first["train_nats_per_char"] - 0.3
    assert len(ok("sample", "-n", 20, "-q").text) == 21
    assert f"network           {name} rnn, 1 x 16, embedding 64\n" in ok("info", "-q").text


def test_an_activation_is_refused_for_a_gated_cell_and_if_it_is_unknown(work: Path) -> None:
    refused(charrnn("train", "a.txt", *SHORT, "--activation", "relu"), 2, "--activation", "--cell rnn")
    refused(charrnn("train", "a.txt", *SHORT, "--activation", "gelu"), 2, "--activation gelu", *ACTIVATION_NAMES)


# ---- budgets ----


def test_epochs_are_converted_to_steps(work: Path) -> None:
    result = ok("train", "a.txt", *NETWORK, "--epochs", 2, "--batch-size", 10, "--seq-len", 50, "--json")
    to_learn = int(len(TEXT) * 0.9)
    assert result.records[-1]["step"] == 2 * math.ceil(math.ceil(to_learn / 10) / 50)


def test_a_budget_in_seconds_ends_and_is_finished_when_resumed(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--time", "1s", "--json", "--resume")
    first, model = ok(*line), work / "checkpoints" / "a.npz"
    before, seconds = model.read_bytes(), ok("info", "--json").records[0]["seconds"]
    second = ok(*line)
    assert first.records[-1]["step"] == second.start["steps"] == second.records[-1]["step"] > 0
    assert second.events("step") == []
    assert f"the budget of 1 seconds is spent, at step {second.start['step']:,}: --more 2000 or" in second.err
    assert "is spent" not in first.err
    assert model.read_bytes() == before
    assert 0 < seconds < 60


def test_more_adds_steps_or_time_to_what_is_done(work: Path) -> None:
    def state() -> TrainState:
        return CheckpointStore(work / "checkpoints" / "a.npz").load()

    line = ("train", "a.txt", *NETWORK, "--resume", "-q")
    ok(*line, "--steps", 6)
    ok(*line, "--more", 4)
    assert (state().step, state().config.steps, state().config.budget, state().seconds) == (10, 10, "10 steps", None)
    ok(*line, "--more", "0.3s")
    seconds, step = state().seconds, state().step
    assert seconds is not None
    assert step > 10
    assert float(state().config.budget.removesuffix(" seconds")) > 0.3
    ok(*line, "--more", 5)  # the seconds are counted from now on
    assert state().step == step + 5
    assert (state().seconds or 0) > seconds
    done = state()
    for spent in (("--steps", 3), ("--time", "0.001s")):
        result = ok(*line[:-1], *spent, "--json")
        assert result.events("step") == []
        assert f"is spent, at step {done.step}: --more 2000 or --more 5m would train on\n" in result.err
    assert state().model.vector.tobytes() == done.model.vector.tobytes()


def test_more_needs_a_run_to_add_to(work: Path) -> None:
    refused(charrnn("train", "a.txt", *NETWORK, "--more", 5), 2, "--more 5", "--resume")
    refused(charrnn("train", "a.txt", *SHORT, "--resume", "--more", 5), 2, "--steps, --epochs, --time and --more")
    refused(charrnn("train", "a.txt", *NETWORK, "--resume", "--more", "soon"), 2, "--more soon: not a time")
    refused(charrnn("train", "a.txt", *NETWORK, "--resume", "--more", 0), 2, "--more 0: must be")
    ok("train", "a.txt", *NETWORK, "--resume", "--more", 3, "-q")  # from step 0
    assert CheckpointStore(work / "checkpoints" / "a.npz").load().step == 3


def test_the_default_budget_is_noted(work: Path) -> None:
    process = start("train", "a.txt", *NETWORK, "--json")
    assert process.stdout
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert first["budget"] == "default"
    assert f"budget: {first['steps']:,} steps of {first['batch_size'] * first['seq_len']:,} char" in finish(process).err


def test_patience_ends_a_run_early_and_is_reported(work: Path) -> None:
    Path("b.txt").write_text("abcdefg\n" * 60 + "gfedcba\n" * 60)  # the surer of the order, the worse the surprise
    settings = ("--val-fraction", 0.5, "--seq-len", 8, "--eval-every", 2, "--lr", 0.02)
    line = ("train", "b.txt", *NETWORK, *settings, "--steps", 200, "--patience", 3, "--resume")
    first = ok(*line)
    early = CheckpointStore(Path("checkpoints/b.npz")).load()
    assert early.best
    assert early.step == early.best.step + 6 < 200
    summary = f"done=checkpoints/b.npz step={early.step} steps=200 patience=3 best_step={early.best.step} "
    assert summary in first.err
    before = Path("checkpoints/b.npz").read_bytes()
    again = ok(*line)
    assert (again.text, again.err.count(summary)) == ("checkpoints/b.npz\n", 1)
    assert Path("checkpoints/b.npz").read_bytes() == before
    more = ok(*line, "--patience", 4, "--json")
    assert more.events("step")[0]["step"] == early.step + 1


def test_patience_without_held_out_text_is_refused(work: Path) -> None:
    refused(
        charrnn("train", "a.txt", *SHORT, "--patience", 3, "--val-fraction", 0), 2, "--patience 3", "--val-fraction"
    )


# ---- dropout and zoneout ----


@pytest.mark.parametrize("name", ["dropout", "variational-dropout", "zoneout"])
def test_a_run_with_dropout_or_zoneout_resumes_exactly_and_keeps_its_rate(name: str, work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 60, f"--{name}", 0.25, "-q", "--json", "--resume")
    assert ok(*line, "-m", "whole").start[name.replace("-", "_")] == 0.25
    assert_exact_after_kill("whole", *line)
    refused(charrnn(*line, "-m", "whole", f"--{name}", 0.5), 1, f"--{name} was 0.25, not 0.5")
    for command in (("sample", "-n", 20, "--seed", 1), ("eval", "a.txt")):
        assert ok(*command, "-m", "whole", "-q").out == ok(*command, "-m", "whole", "-q").out


def test_the_two_kinds_of_dropout_are_refused_together(work: Path) -> None:
    both = ("--dropout", 0.1, "--variational-dropout", 0.1)
    refused(charrnn("train", "a.txt", *SHORT, *both), 2, "--dropout and --variational-dropout", "one of them")


# ---- lines ----


def test_lines_is_a_setting_that_the_model_keeps(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 60, "--dropout", 0.25, "--zoneout", 0.25, "--json", "--resume")
    first = ok(*line, "--lines", "-m", "whole")
    assert first.start["lines"] is True
    assert ", each line on its own, " in first.err
    assert_exact_after_kill("whole", *line, "-q", env={"CHARRNN_LINES": "1"})
    (held_out,) = ok("eval", "-m", "whole", "--json").records
    assert held_out["nats_per_char"] == first.records[-1]["val_nats_per_char"]
    assert held_out["chars"] == first.start["held_out"] > 300
    (info,) = ok("info", "-m", "whole", "--json").records
    assert (info["lines"], "line_end" in info) == (True, False)
    assert ", each line on its own, embedding 64\n" in ok("info", "-m", "whole").text


def test_with_lines_the_score_of_a_line_does_not_depend_on_the_one_before(work: Path) -> None:
    ok("train", "a.txt", *SHORT, "--lines", "-q")
    one, other = "3 größere foxes\n", "than 7 hens.\n"
    nats = {text: ok("eval", "-", "--json", input=text.encode()).records[0] for text in (one, other, one + other)}
    sums = {text: record["nats_per_char"] * record["chars"] for text, record in nats.items()}
    assert sums[one + other] == pytest.approx(sums[one] + sums[other], rel=1e-6)
    after = [ok("sample", "-p", prompt, "--no-echo", "--seed", 1, "-q").out for prompt in ("", one, one + other)]
    assert after == [after[0]] * 3


def test_lines_is_refused_for_a_text_without_newlines_or_a_model_without_lines(model: Path) -> None:
    refused(
        charrnn("train", "a.txt", "-m", "a", "--resume", "--lines"),
        1,
        "--lines was False, not True",
        "train from scratch",
    )
    Path("b.txt").write_text(TEXT.replace("\n", " "))
    refused(charrnn("train", "b.txt", *SHORT, "--lines"), 1, "b.txt", "no newlines", "leave out --lines")
    Path("c.txt").write_text(TEXT[:10] + "\n" + "ab" * 900)
    refused(charrnn("train", "c.txt", *SHORT, "--lines"), 1, "no whole line", "--val-fraction")


# ---- bytes that are not of the encoding ----


def test_a_bad_byte_is_an_error_or_a_replacement_character_which_the_model_remembers(work: Path) -> None:
    (work / "bad.txt").write_bytes(TEXT.encode() + b"caf\xe9 au lait\n" + TEXT.encode())
    line = ("train", "bad.txt", *NETWORK)
    refused(charrnn(*line, "--steps", 2), 1, "bad.txt: not utf-8 text at byte")
    ok(*line, "--steps", 2, "--encoding-errors", "replace")
    assert json.loads(ok("info", "bad", "--json").text)["train"]["encoding_errors"] == "replace"
    ok(*line, "--steps", 4, "--resume")
    score = ok("eval", "-m", "bad")
    assert score.text.split("\t")[1:] == [str((2 * len(TEXT) + 13) // 10 + 1), "bad.txt (held out)\n"]
    strict = charrnn(*line, "--steps", 6, "--resume", "--encoding-errors", "strict")
    refused(strict, 1, "--encoding-errors was replace, not strict")


# ---- cores ----


@pytest.mark.parametrize("mask", ["--dropout", "--variational-dropout", "--zoneout"])
def test_another_number_of_cores_changes_no_more_than_last_bits(mask: str, work: Path) -> None:
    """Masks follow from the seed, the step and the stream; 33 streams are enough for two cores to share them."""
    network = ("--hidden-size", 8, "--embed-size", 6, "--num-layers", 2, "--batch-size", 33, "--seq-len", 8)
    for threads in (1, 2):
        line = ("train", "a.txt", *network, mask, 0.3, "--optimizer", "adamw", "--steps", 5, "--threads", threads)
        ok(*line, "-m", f"on-{threads}", "-q")
    one, two = (CheckpointStore(work / "checkpoints" / f"on-{threads}.npz").load() for threads in (1, 2))
    for name in ("m", "v"):
        expected = one.slots[name]
        np.testing.assert_allclose(two.slots[name], expected, rtol=0, atol=1e-4 * float(np.abs(expected).max()))
    np.testing.assert_allclose(two.model.vector, one.model.vector, rtol=0, atol=1e-5)
