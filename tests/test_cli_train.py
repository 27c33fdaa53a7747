import hashlib
import json
import math
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from charrnn.checkpoint import CheckpointStore
from charrnn.corpus import bundled_corpus
from tests.conftest import Run
from tests.helpers.command import (
    NETWORK,
    TEXT,
    Result,
    charrnn,
    closed_early,
    contents,
    finish,
    limited_to,
    ok,
    read_until,
    refused,
    start,
)

SHORT = (*NETWORK, "--steps", 2)
LONG = ("train", "a.txt", *NETWORK, "--steps", 120, "--json", "--resume")  # the run `undisturbed`, in several parts
EVENTS = {
    "step": {"event", "step", "train_nats_per_char", "lr", "grad_norm"},
    "eval": {"event", "step", "train_nats_per_char", "val_nats_per_char", "best"},
    "save": {"event", "step", "model"},
    "done": {
        "event", "model", "step", "val_nats_per_char", "val_bits_per_char", "seconds", "chars_per_second"
    },
}  # fmt: skip


def started(result: Result) -> dict[str, Any]:
    (event,) = result.events("start")
    return event


# ---- what it writes ----


def assert_killed_and_gone_on_it_is(whole: str, *line: object, **run: Any) -> None:
    """Run a line that resumes, kill it at step 25, run it again: the file is that of the model named, byte for byte."""
    process = start(*line, "-m", "parts", "--save-every", 1, **run)
    read_until(process, "step", 25)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    ok(*line, "-m", "parts")
    assert Path("checkpoints/parts.npz").read_bytes() == Path(f"checkpoints/{whole}.npz").read_bytes()


def test_stdout_is_the_path_of_the_model_alone_and_quiet_leaves_stderr_empty(work: Path) -> None:
    loud, quiet = ok("train", "a.txt", *SHORT), ok("train", "a.txt", *SHORT, "-m", "b", "--quiet")
    assert (loud.text, quiet.text, quiet.err) == ("checkpoints/a.npz\n", "checkpoints/b.npz\n", "")
    assert f"text: a.txt, {len(TEXT):,} characters, {len(set(TEXT))} symbols\n" in loud.err
    assert "budget: 2 steps of" in loud.err
    assert "step=2 steps=2 train_bits=" in loud.err
    assert "\r" not in loud.err


def test_json_is_one_event_a_line_from_start_to_done(trained: Run) -> None:
    records = trained.result.records
    assert [r["event"] for r in (records[0], records[-1])] == ["start", "done"]
    for kind, fields in EVENTS.items():
        assert {frozenset(event) for event in trained.result.events(kind)} == {frozenset(fields)}
    assert [event["step"] for event in trained.result.events("step")] == [*range(1, 41)]
    assert all(math.isfinite(v) for r in records for v in r.values() if isinstance(v, float))
    first = started(trained.result)
    assert first.items() >= {"model": "checkpoints/a.npz", "corpus": ["a.txt"], "chars": len(TEXT), "steps": 40}.items()
    assert first.items() >= {"hidden_size": 16, "num_layers": 1, "embed_size": 64, "lr": 4e-3, "seed": 0}.items()


def test_done_tells_the_best_validation(trained: Run) -> None:
    evals, (done,) = trained.result.events("eval"), trained.result.events("done")
    every = started(trained.result)["eval_every"]
    assert [event["step"] for event in evals] == [*range(every, 40, every), 40]
    losses = [event["val_nats_per_char"] for event in evals]
    assert [event["best"] for event in evals] == [loss < min(losses[:i], default=9) for i, loss in enumerate(losses)]
    assert losses[-1] < losses[0]
    assert done["val_nats_per_char"] == min(losses)
    assert done["val_bits_per_char"] == pytest.approx(min(losses) / math.log(2))
    assert (done["model"], done["step"]) == ("checkpoints/a.npz", 40)
    assert done["seconds"] > 0 < done["chars_per_second"]


def test_without_held_out_text_losses_are_null(work: Path) -> None:
    result = ok("train", "a.txt", *SHORT, "--val-fraction", 0, "--json")
    assert result.events("eval") == []
    assert [result.records[-1][name] for name in ("val_nats_per_char", "val_bits_per_char")] == [None, None]


def test_a_step_is_saved_when_it_is_due_and_after_its_validation_but_not_during_it(work: Path) -> None:
    result = ok("train", "a.txt", *NETWORK, "--steps", 6, "--save-every", 2, "--eval-every", 4, "--json")
    saves = Counter(event["step"] for event in result.events("save"))
    assert set(saves) == {0, 2, 4, 6}
    assert max(saves.values()) <= 2


# ---- where its text comes from, where its model goes ----


def test_without_arguments_it_learns_from_the_bundled_corpus_and_says_so(work: Path) -> None:
    result = ok("train", "--hidden-size", 4, "--num-layers", 1, "--embed-size", 3, "--steps", 1)
    assert result.text == "checkpoints/plays.npz\n"
    assert "plays that come with the program" in result.err
    sha256 = hashlib.sha256(bundled_corpus().read_bytes()).hexdigest()
    assert CheckpointStore(Path("checkpoints/plays.npz")).load().origin.sha256 == sha256


@pytest.mark.parametrize(
    ("sources", "name"), [(["-"], "stdin"), (["a.txt", "b.txt"], "a"), (["texts"], "texts"), (["b.txt", "-"], "b")]
)
def test_files_folders_and_stdin_are_one_text_and_the_first_names_the_model(
    work: Path, sources: list[str], name: str
) -> None:
    second = "and a second text follows\n"
    for path, text in {"b.txt": second, "texts/2.txt": second, "texts/1.txt": TEXT, "texts/3.md": "no"}.items():
        (work / path).parent.mkdir(exist_ok=True)
        (work / path).write_text(text)
    whole = {"-": TEXT + second, "b.txt": second + TEXT}.get(sources[0], TEXT + second)
    assert ok("train", *sources, *SHORT, "-q", input=(TEXT + second if sources == ["-"] else TEXT).encode()).text == (
        f"checkpoints/{name}.npz\n"
    )
    origin = CheckpointStore(Path(f"checkpoints/{name}.npz")).load().origin
    assert (origin.chars, origin.sha256) == (len(whole), hashlib.sha256(whole.encode()).hexdigest())


@pytest.mark.parametrize(
    ("named", "folder", "path"),
    [
        (["-m", "x"], "", "checkpoints/x.npz"),
        (["-m", "x.npz"], "", "x.npz"),
        (["--model", "sub/x"], "", "sub/x"),
        (["-m", "x"], "sub", "sub/x.npz"),
        ([], "new", "new/a.npz"),
    ],
)
def test_a_model_is_a_path_or_a_name_in_the_folder_of_models(
    work: Path, named: list[str], folder: str, path: str
) -> None:
    (work / "sub").mkdir()
    result = ok("train", "a.txt", *SHORT, "-q", *named, env={"CHARRNN_CHECKPOINTS": folder})
    assert (result.text, Path(path).is_file()) == (f"{path}\n", True)


# ---- what it never replaces ----


def test_a_model_that_exists_is_replaced_with_force_alone(model: Path) -> None:
    before = contents(Path())
    refused(charrnn("train", "a.txt", *SHORT), 1, "checkpoints/a.npz", "exists", "--resume", "--force")
    assert contents(Path()) == before
    ok("train", "a.txt", *SHORT, "--force", "-q")
    assert CheckpointStore(model).load().step == 2


@pytest.mark.parametrize("source", ["./a.txt", "texts"])
def test_the_corpus_is_never_replaced(work: Path, source: str) -> None:
    shutil.copytree(work, work / "texts")
    before = contents(work)
    result = charrnn("train", source, *SHORT, "-m", "./a.txt" if source == "./a.txt" else "texts/a.txt", "--force")
    refused(result, 2, "corpus")
    assert contents(work) == before


# ---- the same run, the same bytes ----


def test_two_runs_with_one_seed_give_the_same_bytes_and_another_seed_others(trained: Run, work: Path) -> None:
    same = []
    for seed in (0, 1):
        ok("train", "a.txt", *NETWORK, "--steps", 40, "--seed", seed, "-m", f"{seed}.npz")
        same.append(Path(f"{seed}.npz").read_bytes() == trained.model.read_bytes())
    assert same == [True, False]


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(undisturbed: Run, work: Path) -> None:
    path, begun = work / "checkpoints" / "a.npz", started(undisturbed.result)
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
    assert path.read_bytes() == undisturbed.model.read_bytes()
    assert os.listdir(path.parent) == ["a.npz"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_stopped_by_a_signal_is_saved_and_goes_on_to_the_same_bytes(
    undisturbed: Run, work: Path, number: signal.Signals
) -> None:
    path = work / "checkpoints" / "a.npz"
    process = start(*LONG)
    read_until(process, "step", 7)
    process.send_signal(number)
    result = finish(process)
    assert result.code == -number
    step = CheckpointStore(path).load().step
    assert 7 <= step < 120
    assert result.err.endswith(f"stopped at step {step} and saved: --resume goes on with checkpoints/a.npz\n")
    assert os.listdir(path.parent) == ["a.npz"]
    ok(*LONG)
    assert path.read_bytes() == undisturbed.model.read_bytes()


def test_a_second_writer_is_refused_and_told_of_the_first(work: Path) -> None:
    first = start(*LONG)
    try:
        read_until(first, "save", 0)
        for how in ("--resume", "--force"):
            refused(charrnn("train", "a.txt", *NETWORK, "-q", how), 1, "checkpoints/a.npz", f"process {first.pid} ")
        refused(
            charrnn("train", "-m", "a", "missing.txt", "--resume"), 1, f"process {first.pid} "
        )  # nothing is read yet
    finally:
        first.kill()
        finish(first)


# ---- going on ----


def test_resume_starts_a_model_that_is_not_there_and_leaves_a_finished_one_as_it_is(trained: Run, work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 40, "--resume")
    for _ in range(2):
        assert ok(*line, "-q").text == "checkpoints/a.npz\n"
        assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()
    finished = ok(*line, "--json")
    assert [record["event"] for record in finished.records if record["event"] != "save"] == ["start", "done"]
    done = trained.result.records[-1]
    assert finished.records[-1].items() >= {n: done[n] for n in ("model", "step", "val_nats_per_char")}.items()


def test_resume_takes_text_and_network_from_the_model_and_a_larger_budget_from_the_command_line(model: Path) -> None:
    result = ok("train", "--resume", "-m", "a", "--steps", 45, "--lr", 0.001, "--json")
    assert started(result).items() >= {"corpus": ["a.txt"], "step": 40, "hidden_size": 16, "lr": 0.001}.items()
    assert [event["step"] for event in result.events("step")] == [41, 42, 43, 44, 45]
    checkpoint = CheckpointStore(model).load()
    assert (checkpoint.step, checkpoint.history[-1][0], checkpoint.train.budget) == (45, 45, "45 steps")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--hidden-size", 17], "--hidden-size was 16, not 17"),
        (["--activation", "relu"], "--activation was tanh, not relu"),
        (["--seq-len", 32, "--seed", 3], "--seq-len was 64, not 32; --seed was 0, not 3"),
        (["--normalize", "nfd"], "--normalize was none, not nfd"),
        (["b.txt"], "b.txt"),
    ],
)
def test_resume_refuses_another_network_or_text_and_names_the_difference(
    model: Path, options: list[object], told: str
) -> None:
    Path("b.txt").write_text(TEXT.replace("fox", "cat"))
    before = contents(Path())
    texts = [] if "b.txt" in options else ["a.txt"]
    refused(charrnn("train", "-m", "a", "--resume", "-q", *options, *texts), 1, told)
    assert contents(Path()) == before


def test_a_run_that_goes_on_elsewhere_is_warned_of(work: Path) -> None:
    ok("train", "a.txt", *SHORT, "--threads", 1, "-q")
    more = ("train", "-m", "a", "--resume", "--steps", 41)
    assert "warning" not in ok(*more, "--threads", 1).err
    assert "warning: threads was 1 and is 2: " in ok(*more, "--threads", 2).err


def test_a_model_of_stdin_goes_on_when_the_same_text_is_piped_in_again(work: Path) -> None:
    ok("train", "-", *SHORT, "-q", input=TEXT.encode())
    refused(charrnn("train", "--resume", "-m", "stdin", "-q"), 1, "checkpoints/stdin.npz", "stdin")
    ok("train", "-", "--resume", "--steps", 3, "-q", input=TEXT.encode())
    assert CheckpointStore(Path("checkpoints/stdin.npz")).load().step == 3


# ---- budgets ----


def test_epochs_are_counted_in_steps_of_the_text(work: Path) -> None:
    result = ok("train", "a.txt", *NETWORK, "--epochs", 2, "--batch-size", 10, "--seq-len", 50, "--json")
    to_learn = int(len(TEXT) * 0.9)
    assert result.records[-1]["step"] == 2 * math.ceil(math.ceil(to_learn / 10) / 50)


def test_a_time_ends_by_itself_and_resumed_with_the_same_time_is_done(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--time", "1s", "--json", "--resume")
    first, second = ok(*line), ok(*line)
    assert first.records[-1]["step"] == started(second)["steps"] == second.records[-1]["step"] > 1
    assert second.events("step") == []


def test_without_a_budget_the_default_is_told(work: Path) -> None:
    process = start("train", "a.txt", *NETWORK, "--json")
    assert process.stdout
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert first["budget"] == "default"
    assert f"budget: {first['steps']:,} steps of {first['batch_size'] * first['seq_len']:,} char" in finish(process).err


def test_patience_ends_a_run_early_and_says_so(work: Path) -> None:
    Path("b.txt").write_text("abcdefg\n" * 60 + "gfedcba\n" * 60)  # the surer of the order, the worse the surprise
    settings = ("--val-fraction", 0.5, "--seq-len", 8, "--eval-every", 2, "--lr", 0.02)
    line = ("train", "b.txt", *NETWORK, *settings, "--steps", 200, "--patience", 3, "--resume")
    first = ok(*line)
    early = CheckpointStore(Path("checkpoints/b.npz")).load()
    assert early.best
    assert early.step == early.best.step + 6 < 200
    told = f"done=checkpoints/b.npz step={early.step} steps=200 patience=3 best_step={early.best.step} "
    assert told in first.err
    before = Path("checkpoints/b.npz").read_bytes()
    again = ok(*line)
    assert (again.text, again.err.count(told)) == ("checkpoints/b.npz\n", 1)
    assert Path("checkpoints/b.npz").read_bytes() == before
    more = ok(*line, "--patience", 4, "--json")
    assert more.events("step")[0]["step"] == early.step + 1


def test_patience_without_held_out_text_is_refused(work: Path) -> None:
    refused(
        charrnn("train", "a.txt", *SHORT, "--patience", 3, "--val-fraction", 0), 2, "--patience 3", "--val-fraction"
    )


# ---- dropout and zoneout ----


@pytest.mark.parametrize("name", ["dropout", "variational-dropout", "zoneout"])
def test_a_run_with_noise_is_exact_and_keeps_its_rate(name: str, work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 60, f"--{name}", 0.25, "-q", "--json", "--resume")
    assert started(ok(*line, "-m", "whole"))[name.replace("-", "_")] == 0.25
    assert_killed_and_gone_on_it_is("whole", *line)
    refused(charrnn(*line, "-m", "whole", f"--{name}", 0.5), 1, f"--{name} was 0.25, not 0.5")
    for command in (("sample", "-n", 20, "--seed", 1), ("eval", "a.txt")):
        assert ok(*command, "-m", "whole", "-q").out == ok(*command, "-m", "whole", "-q").out


def test_the_two_kinds_of_dropout_are_refused_together(work: Path) -> None:
    both = ("--dropout", 0.1, "--variational-dropout", 0.1)
    refused(charrnn("train", "a.txt", *SHORT, *both), 2, "--dropout and --variational-dropout", "one of them")


# ---- lines ----


def test_lines_are_a_setting_that_the_model_keeps(work: Path) -> None:
    line = ("train", "a.txt", *NETWORK, "--steps", 60, "--dropout", 0.25, "--zoneout", 0.25, "--json", "--resume")
    first = ok(*line, "--lines", "-m", "whole")
    assert started(first)["lines"] is True
    assert ", each line on its own, " in first.err
    assert_killed_and_gone_on_it_is("whole", *line, "-q", env={"CHARRNN_LINES": "1"})
    (held_out,) = ok("eval", "-m", "whole", "--json").records
    assert held_out["nats_per_char"] == first.records[-1]["val_nats_per_char"]
    assert held_out["chars"] == len(TEXT) - TEXT.index("\n", int(len(TEXT) * 0.9) - 1) - 1
    (info,) = ok("info", "-m", "whole", "--json").records
    assert (info["lines"], "line_end" in info) == (True, False)
    assert ", each line on its own, embedding 64\n" in ok("info", "-m", "whole").text


def test_a_line_of_a_model_of_lines_costs_the_same_after_any_other(work: Path) -> None:
    ok("train", "a.txt", *SHORT, "--lines", "-q")
    one, other = "3 größere foxes\n", "than 7 hens.\n"
    nats = {text: ok("eval", "-", "--json", input=text.encode()).records[0] for text in (one, other, one + other)}
    sums = {text: record["nats_per_char"] * record["chars"] for text, record in nats.items()}
    assert sums[one + other] == pytest.approx(sums[one] + sums[other], rel=1e-6)
    after = [ok("sample", "-p", prompt, "--no-echo", "--seed", 1, "-q").out for prompt in ("", one, one + other)]
    assert after == [after[0]] * 3


def test_lines_are_refused_without_newlines_and_where_the_model_has_none(model: Path) -> None:
    refused(charrnn("train", "a.txt", "-m", "a", "--resume", "--lines"), 1, "--lines was False, not True", "start anew")
    Path("b.txt").write_text(TEXT.replace("\n", " "))
    refused(charrnn("train", "b.txt", *SHORT, "--lines"), 1, "b.txt", "no newlines", "leave out --lines")
    Path("c.txt").write_text(TEXT[:10] + "\n" + "ab" * 900)
    refused(charrnn("train", "c.txt", *SHORT, "--lines"), 1, "no whole line", "--val-fraction")


# ---- when it fails ----


def test_a_save_that_fails_on_the_way_is_a_warning_and_the_last_one_an_error(trained: Run, work: Path) -> None:
    almost = limited_to(trained.model.stat().st_size - 1)
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


def test_a_run_that_diverges_ends_with_the_last_good_model(work: Path) -> None:
    result = charrnn("train", "a.txt", *NETWORK, "--steps", 200, "--lr", 1e30, "-q")
    saved = CheckpointStore(Path("checkpoints/a.npz")).load().step
    refused(result, 1, "not finite", "--lr", f"checkpoints/a.npz keeps the model of step {saved}")
    ok("sample", "-n", 5, "-q")


def test_a_reader_of_the_events_that_goes_away_ends_training_quietly(work: Path) -> None:
    with start(*LONG, "-q") as process:
        read_until(process, "step", 3)
        assert closed_early(process) == Result(0, b"", "")
    assert CheckpointStore(Path("checkpoints/a.npz")).load().step < 120
    assert os.listdir("checkpoints") == ["a.npz"]


def test_the_model_is_the_same_whatever_becomes_of_stderr(trained: Run, work: Path) -> None:
    for redirect in ("2>&-", "2>/dev/full"):
        result = ok("train", "a.txt", *NETWORK, "--steps", 40, "--force", redirect=redirect)
        assert (result.text, result.err) == ("checkpoints/a.npz\n", "")
        assert Path("checkpoints/a.npz").read_bytes() == trained.model.read_bytes()


def test_a_classic_text_that_is_not_there_comes_with_the_command_that_fetches_it(work: Path) -> None:
    for name, fetched in {"texts/shakespeare.txt": "tinyshakespeare", "MobyDick.txt": "mobydick", "kjv": "kjv"}.items():
        refused(charrnn("train", name), 1, f"{name}: no such file", f"python corpora/download.py {fetched}`")
    Path("shakespeare.txt").write_text(TEXT)
    ok("train", "shakespeare.txt", *SHORT)
