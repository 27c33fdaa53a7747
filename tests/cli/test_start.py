"""The start of a run: where its text comes from, where its model goes, and how it is resumed."""

import gzip
import hashlib
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.data.sources import bundled_corpus
from tests.conftest import Run
from tests.helpers.command import (
    LONG,
    NETWORK,
    SHORT,
    TEXT,
    charrnn,
    contents,
    finish,
    in_bash,
    ok,
    read_until,
    refused,
    start,
)

# ---- text and model file ----


def test_the_bundled_corpus_is_the_default_and_noted(work: Path) -> None:
    result = ok("train", "--hidden-size", 4, "--num-layers", 1, "--embed-size", 3, "--steps", 1)
    assert result.text == "checkpoints/plays.npz\n"
    assert "plays that come with the program" in result.err
    sha256 = hashlib.sha256(bundled_corpus().read_bytes()).hexdigest()
    assert CheckpointStore(Path("checkpoints/plays.npz")).load().origin.sha256 == sha256


@pytest.mark.parametrize(
    ("sources", "name"), [(["-"], "stdin"), (["a.txt", "b.txt"], "a"), (["texts"], "texts"), (["b.txt", "-"], "b")]
)
def test_files_folders_and_stdin_form_one_text_and_the_first_names_the_model(
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


def test_a_missing_classic_text_is_refused_with_the_page_that_says_how_to_fetch_it(work: Path) -> None:
    for name, fetched in {"texts/shakespeare.txt": "tinyshakespeare", "MobyDick.txt": "mobydick", "kjv": "kjv"}.items():
        refused(
            charrnn("train", name), 1, f"{name}: no such file", f"corpora/README.md says how to fetch {fetched}.txt"
        )
    Path("shakespeare.txt").write_text(TEXT)
    ok("train", "shakespeare.txt", *SHORT)


def test_a_link_names_the_model_and_so_does_a_compressed_text_without_its_suffix(work: Path) -> None:
    Path("corpus.txt").symlink_to("a.txt")
    Path("novel.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert ok("train", "corpus.txt", *SHORT, "-q").text == "checkpoints/corpus.npz\n"
    assert ok("train", "novel.txt.gz", *SHORT, "-q").text == "checkpoints/novel.npz\n"
    corpus, novel = (CheckpointStore(Path(f"checkpoints/{name}.npz")).load() for name in ("corpus", "novel"))
    assert novel.model.vector.tobytes() == corpus.model.vector.tobytes()


def test_a_text_that_is_not_there_as_text_is_refused_with_a_remedy(work: Path) -> None:
    Path("book.pdf").write_bytes(b"%PDF-1.7\n...")
    refused(charrnn("train", "book.pdf", *SHORT), 1, "book.pdf", "pdftotext book.pdf - | charrnn train -")
    refused(charrnn("train", "https://example.org/moby.txt", *SHORT), 1, "is a URL", "curl -L")


# ---- what is never replaced ----


def test_an_existing_model_is_replaced_only_with_force(model: Path) -> None:
    before = contents(Path())
    refused(charrnn("train", "a.txt", *SHORT), 1, "checkpoints/a.npz", "already exists", "--resume", "--force")
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


def test_a_second_writer_is_refused_with_the_process_of_the_first(work: Path) -> None:
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


# ---- resuming ----


def test_resume_starts_a_missing_model_and_does_not_change_a_finished_one(trained: Run, work: Path) -> None:
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
    assert result.start.items() >= {"corpus": ["a.txt"], "step": 40, "hidden_size": 16, "lr": 0.001}.items()
    assert [event["step"] for event in result.events("step")] == [41, 42, 43, 44, 45]
    state = CheckpointStore(model).load()
    assert (state.step, state.history[-1][0], state.config.budget) == (45, 45, "45 steps")


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--hidden-size", 17], "--hidden-size was 16, not 17"),
        (["--activation", "relu"], "--activation was tanh, not relu"),
        (["--seq-len", 32, "--seed", 3], "--seq-len was 64, not 32; --seed was 0, not 3"),
        (["--normalize", "nfd"], "--normalize was none, not nfd"),
        (["b.txt"], "b.txt"),
    ],
)
def test_resume_refuses_another_network_or_text_and_names_the_difference(
    model: Path, options: list[object], difference: str
) -> None:
    Path("b.txt").write_text(TEXT.replace("fox", "cat"))
    before = contents(Path())
    texts = [] if "b.txt" in options else ["a.txt"]
    refused(charrnn("train", "-m", "a", "--resume", "-q", *options, *texts), 1, difference)
    assert contents(Path()) == before


def test_a_model_trained_from_stdin_resumes_when_the_same_text_is_piped_in(work: Path) -> None:
    ok("train", "-", *SHORT, "-q", input=TEXT.encode())
    refused(charrnn("train", "--resume", "-m", "stdin", "-q"), 1, "checkpoints/stdin.npz", "stdin")
    ok("train", "-", "--resume", "--steps", 3, "-q", input=TEXT.encode())
    assert CheckpointStore(Path("checkpoints/stdin.npz")).load().step == 3


def test_a_text_that_has_moved_is_named_once_and_remembered(model: Path) -> None:
    Path("texts").mkdir()
    Path("a.txt").rename("texts/new.txt")
    for command in (("eval", "-m", "a"), ("sample", "-m", "a", "--no-copy", 9, "-q"), ("train", "--resume", "-m", "a")):
        refused(charrnn(*command), 1, "a.txt: the ", "no longer there", "charrnn train NEW-PATH --resume -m ")
    before = model.read_bytes()
    ok("train", "texts/new.txt", "--resume", "-m", "a", "-q")
    assert CheckpointStore(model).load().origin.sources == ("texts/new.txt",)
    assert ok("eval", "-m", "a").text.endswith("texts/new.txt (held out)\n")
    Path("texts/new.txt").rename("a.txt")
    ok("train", "a.txt", "--resume", "-m", "a", "-q")
    assert model.read_bytes() == before


def test_the_same_characters_are_the_same_text_however_they_are_saved(model: Path) -> None:
    before = model.read_bytes()
    Path("a.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    ok("train", "a.txt", "--resume", "-m", "a", "-q", "--encoding", "UTF8")
    assert model.read_bytes() == before
    Path("a.txt").write_text(TEXT + "more\n")
    for sources, chars in ((["a.txt"], len(TEXT) + 5), ([], len(TEXT) + 1)):  # no more is read of what the model names
        result = charrnn("train", *sources, "--resume", "-m", "a", "-q")
        refused(result, 1, "a.txt", f"here are {chars:,}", "grown", "--init-from")


def test_a_folder_is_read_without_hidden_files_and_says_what_it_left_out(work: Path) -> None:
    for name in ("a.txt", "._a.txt", "b.TXT", "sub/c.txt"):
        (work / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "texts" / name).write_bytes(b"\0\5\x16\7\xff" if name == "._a.txt" else TEXT.encode())
    result = ok("train", "texts", *SHORT)
    assert "texts: 1 text; left out: 1 hidden, 1 not *.txt, 1 folder\n" in result.err
    assert CheckpointStore(Path("checkpoints/texts.npz")).load().origin.chars == len(TEXT)


def test_names_with_lines_are_not_run_together(work: Path) -> None:
    for name, text in (("1.txt", "eva\nzoe"), ("2.txt", "adam\nbob")):
        (work / name).write_text(text * 90)
    result = ok("train", "1.txt", "2.txt", "--lines", *NETWORK, "--seq-len", 8, "--steps", 1)
    assert "1.txt: ended its last line with a newline\n" in result.err
    chars = CheckpointStore(Path("checkpoints/1.npz")).load().origin.chars
    assert chars == sum(Path(name).stat().st_size for name in ("1.txt", "2.txt")) + 1


def test_a_name_with_blanks_is_quoted_in_the_summary(work: Path) -> None:
    shutil.copy("a.txt", "my text.txt")
    err = ok("train", "my text.txt", *SHORT).err
    assert "next=\"charrnn sample -m 'checkpoints/my text.npz'\"\n" in err
    assert 'done="checkpoints/my text.npz" step=2 ' in err


def test_a_substituted_process_is_read_once_and_remembered_as_stdin(work: Path) -> None:
    """The shell names it /dev/fd/63, which is another file, or none, in every later command."""
    Path("a.gz").write_bytes(gzip.compress(TEXT.encode()))
    short = " ".join(map(str, NETWORK))
    result = in_bash(f"charrnn train <(zcat a.gz) {short} --steps 2 -q", work)
    assert (result.code, result.text) == (0, "checkpoints/stdin.npz\n"), result.err
    assert CheckpointStore(Path("checkpoints/stdin.npz")).load().origin.sources == ("-",)
    refused(charrnn("eval", "-m", "stdin"), 1, "trained from stdin or a pipe", "name a text to score")
    refused(charrnn("train", "--resume", "-m", "stdin", "-q"), 1, "trained from stdin or a pipe", "give the same text")
    result = in_bash("charrnn train <(cat a.txt) --resume --steps 3 -q", work)
    assert result.code == 0, result.err
    assert CheckpointStore(Path("checkpoints/stdin.npz")).load().step == 3


def test_more_texts_than_a_model_file_can_name_are_named_again_for_a_resume(work: Path) -> None:
    for n in range(9):
        (work / f"{n}.txt").write_text(TEXT)
    few = "from charrnn.data import sources; sources.KEPT_BYTES = 60"
    line = ("train", *(f"{n}.txt" for n in range(9)), *NETWORK, "-q")
    ok(*line, "--steps", 2, prelude=few)
    sources = CheckpointStore(Path("checkpoints/0.npz")).load().origin.sources
    assert (sources[:4], sources[4][:12]) == (("0.txt", "1.txt", "2.txt", "3.txt"), "… and 5 more")
    refused(charrnn("train", "--resume", "-m", "0", "-q"), 1, "too many to name", "name the same files")
    refused(charrnn("eval", "-q"), 1, "too many to name", "name a text to score")
    ok(*line, "--steps", 3, "--resume", prelude=few)
    assert CheckpointStore(Path("checkpoints/0.npz")).load().origin.sources == sources


def test_a_named_pipe_is_opened_once(work: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_text, args=(TEXT,))
    writer.start()
    assert ok("train", "pipe", *SHORT, "-q").text == "checkpoints/stdin.npz\n"
    writer.join()
    for command in (("eval", "-q"), ("eval", "-q", "--novelty", "a.txt"), ("train", "-m", "stdin", "--resume", "-q")):
        refused(charrnn(*command), 1, "trained from stdin or a pipe")  # and does not wait for a writer


# ---- the held-out part ----

GREEK = "".join(np.random.default_rng(0).choice(list("αβγδεζηθικλμ "), 1500)) + "\n"


def held_out_by(*line: object) -> tuple[str, int | None, str]:
    """Train for two steps; return what the model file and the start note say of the held-out part."""
    result = ok("train", *line, *SHORT, "--force", "-m", "m")
    config = CheckpointStore(Path("checkpoints/m.npz")).load().config
    (note,) = [row for row in result.err.splitlines() if row.startswith("held out: ")]
    return config.holdout, config.held_out, note


def test_the_held_out_part_depends_on_the_kind_of_text_and_can_be_chosen(work: Path) -> None:
    Path("b.txt").write_text("and a second text follows, and another one\n" * 9)
    second = int(43 * 9 * 0.1) + 1
    a = len(TEXT) - int(len(TEXT) * 0.9)
    assert held_out_by("a.txt") == ("tail", None, "held out: the last 10 % of the text")
    each = f"held out: the last 10 % of each text: {a + second:,} characters"
    assert held_out_by("a.txt", "b.txt") == ("each", a + second, each)
    kind, chars, note = held_out_by("a.txt", "--lines")
    assert (kind, note) == ("lines", f"held out: 10 % of the lines, chosen by --seed: {chars:,} characters")
    assert held_out_by("a.txt", "b.txt", "--holdout", "tail")[:2] == ("tail", None)
    assert held_out_by("a.txt", "--holdout", "lines", "--val-fraction", 0.5)[0] == "lines"
    assert held_out_by("a.txt", "--val-fraction", 0, "--lines") == ("tail", None, "held out: nothing")


@pytest.mark.parametrize("options", [["--lines"], ["--holdout", "lines"], ["b.txt"]], ids=str)
def test_a_run_with_a_held_out_part_of_another_kind_resumes_to_the_same_bytes(work: Path, options: list[str]) -> None:
    Path("b.txt").write_text("and a second text follows, and another one\n" * 30)
    line = ("train", "a.txt", *options, *NETWORK, "-q", "--eval-every", 7, "--schedule", "constant", "--warmup", 0)
    ok(*line, "-m", "whole", "--steps", 20)
    ok(*line, "-m", "half", "--steps", 9)
    ok(*line, "-m", "half", "--resume", "--steps", 20)
    whole, half = (CheckpointStore(Path(f"checkpoints/{name}.npz")).load() for name in ("whole", "half"))
    assert (half.model.vector == whole.model.vector).all()
    assert half.config == replace(whole.config, eval_every=7)
    assert half.history[-1] == whole.history[-1]
    assert half.best
    (row,) = ok("eval", "-m", "half", "--json").records  # the whole held-out part
    assert row["chars"] == half.config.held_out
    assert row["nats_per_char"] == pytest.approx(half.best.nats, abs=1e-6)


def test_a_resume_with_another_held_out_part_is_refused(work: Path) -> None:
    ok("train", "a.txt", *SHORT, "-q")
    refused(charrnn("train", "a.txt", *SHORT, "--resume", "--holdout", "lines"), 1, "--holdout was tail, not lines")


def test_a_resume_does_not_train_on_what_was_held_out_of_each_text(work: Path) -> None:
    Path("b.txt").write_text("33 brown hens run.\n" * 90)
    Path("ab.txt").write_text(Path("a.txt").read_text() + Path("b.txt").read_text())
    ok("train", "a.txt", "b.txt", *SHORT, "-m", "x", "-q")
    before = Path("checkpoints/x.npz").read_bytes()
    line = ("train", "--resume", "-m", "x", "-q", "--steps", 4)
    words = "the same characters in other files, and a part of each file is held out: name the same files"
    refused(charrnn(*line, "ab.txt"), 1, words)
    refused(charrnn(*line, "-", input=Path("ab.txt").read_bytes()), 1, words)
    assert Path("checkpoints/x.npz").read_bytes() == before
    ok(*line)
    Path("moved").mkdir()
    Path("a.txt").rename("moved/a.txt")
    ok(*line, "--steps", 5, "moved/a.txt", "b.txt")
    Path("b.txt").rename("moved/b.txt")
    ok(*line, "--steps", 6, "moved")


def test_a_held_out_part_unlike_the_rest_is_told_and_gives_no_advice(work: Path) -> None:
    Path("greek.txt").write_text(GREEK, "utf-8")
    line = ("train", "a.txt", "greek.txt", "--holdout", "tail", "--val-fraction", 0.3, *NETWORK, "--steps", 40)
    first, again = ok(*line, "--eval-every", 2), ok(*line, "--resume")
    assert "unlike the rest (U+03B1 α, U+03B2 β," in first.err
    assert ("advice=" in first.err, "unlike" in again.err, "advice=" in again.err) == (False, False, False)
    assert "advice" not in ok("info").text
    each = ok(*line[:3], *NETWORK, "--steps", 2, "-m", "each")
    assert "unlike" not in each.err
