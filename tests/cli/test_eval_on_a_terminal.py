"""What eval and sample add on a terminal: names above columns, bars, rules, progress. A pipe gets the rows alone."""

import gzip
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from charrnn.cli.eval_inputs import FileBlocks
from charrnn.cli.streams import Output
from charrnn.plots.display_width import cells
from tests.helpers.command import TEXT, Result, charrnn, ok, on_terminal

pytestmark = pytest.mark.usefixtures("model")

PLAIN = {"NO_COLOR": "1"}


@pytest.fixture
def other(model: Path) -> None:
    """A second model with a long name, and a text."""
    shutil.copy(model, model.with_name("another.npz"))
    Path("b.txt").write_text("7 hens\nfox ☃\n")


def cut(line: str) -> list[str]:
    """The columns of a row on a terminal, which two blanks at least keep apart."""
    return re.split(" {2,}", line)


def assert_same_rows(args: tuple[object, ...], head: list[str]) -> None:
    """Compare the rows on a terminal, below their names and in line with them, with those in a pipe."""
    names, *rows = on_terminal("eval", "-m", "a", "-q", *args, env=PLAIN).text.splitlines()
    assert cut(names) == head
    assert [cut(row) for row in rows] == [
        row.split("\t") for row in ok("eval", "-m", "a", "-q", *args).text.splitlines()
    ]
    starts = [names.index(name) for name in head]
    assert {row[start - 1] for row in rows for start in starts[1:]} == {" "}
    assert [row[start] for row in rows for start in starts if row[start] == " "] == []


@pytest.mark.usefixtures("other")
def test_several_models_have_their_names_above_their_columns() -> None:
    assert_same_rows(("--against", "another", "a.txt", "b.txt"), ["a", "another", "best", "characters", "text"])
    assert_same_rows(("--against", "another", "--lines", "b.txt"), ["a", "another", "best", "line"])


@pytest.mark.usefixtures("other")
def test_the_columns_of_novelty_have_names_and_a_copy_fits_the_terminal() -> None:
    args = ("eval", "-m", "a", "-q", "--novelty", "a.txt")
    names, row = on_terminal(*args, env=PLAIN, columns=80).text.splitlines()
    copies = [f"runs {n}" for n in (5, 10, 20, 40)]
    assert max(map(cells, (names, row))) <= 80
    assert cut(names) == ["longest", *copies, "characters", "text", "longest copy"]
    piped = ok(*args).text.replace("\x1b", "␛").rstrip("\n").split("\t")
    assert cut(row)[:-1] == piped[:-1]
    assert piped[-1].startswith(cut(row)[-1].removesuffix(" …"))
    assert cut(on_terminal(*args, env=PLAIN, columns=200).text.splitlines()[1])[-1] == piped[-1]


def test_characters_have_names_above_and_the_likeliest_have_bars() -> None:
    Path("c.txt").write_text("7 gr\t☃")
    args = ("eval", "-m", "a", "-q", "c.txt")
    names, *rows = on_terminal(*args, "--per-char", env=PLAIN).text.splitlines()
    assert cut(names) == ["bits", "probability", "rank", "character"]
    piped = [row.split("\t") for row in ok(*args, "--per-char").text.splitlines()]
    assert [cut(row) for row in rows] == [[*row[:3], row[3].replace(" ", "␣")] for row in piped]
    _, *bars = on_terminal(*args, "--next", 3, env=PLAIN).text.splitlines()
    figures = [row.split("\t") for row in ok(*args, "--next", 3).text.splitlines()]
    for bar, row in zip(bars, figures, strict=True):
        assert cut(bar)[:4] == [*row[:3], row[3].replace(" ", "␣")]
        assert abs(len("".join(cut(bar)[4:])) - 20 * float(row[1])) <= 1
    assert len(cut(bars[0])) == 5


def test_json_has_no_names_above() -> None:
    args = ("eval", "-m", "a", "-q", "--next", 2, "a.txt", "--json")
    assert on_terminal(*args).out == ok(*args).out


def test_a_rule_is_between_samples_of_several_lines() -> None:
    line = ("sample", "-q", "--seed", 2, "-n", 40, "-p", "\n", "--ban", "\x1b\t", "--count", 3)
    samples = [record["text"] for record in ok(*line, "--json").records]
    assert all("\n" in text for text in samples)
    rule = "─" * 20 + "\n"
    assert on_terminal(*line).text == rule.join(f"{text}\n" for text in samples)
    words = ("sample", "-q", "--seed", 2, "--ban", "\x1b\t\n", "-n", 9, "--count", 3)
    assert on_terminal(*words).text == ok(*words).text


NO_PATIENCE = "import charrnn.terminal.progress as p; p.PATIENCE_SECONDS = p.REDRAW_SECONDS = -1"


def lines_of_progress(result: Result) -> list[str]:
    """The states of the line about long work, without the empty one at its end."""
    *shown, last = [part.removesuffix("\x1b[K") for part in result.err.split("\n")[-1].split("\r")]
    assert last == ""
    return list(filter(None, shown))


MODES = [[], ["--dynamic"], ["--against-baselines"], ["--lines"], ["--per-char"], ["--heatmap"], ["--neuron", "0:3"]]


@pytest.mark.parametrize("options", MODES, ids=str)
def test_a_long_text_shows_how_far_it_is_read_in_percent(options: list[str]) -> None:
    line = ("eval", "-m", "a", "a.txt", *options)
    result = on_terminal(*line, streams="stderr", prelude=NO_PATIENCE)
    shown = [re.match(r"a\.txt: +(\d+)% .* \d\d:\d\d left", part) for part in lines_of_progress(result)]
    percents = [int(found[1]) for found in shown if found]
    assert len(percents) == len(shown)
    assert (percents, percents[-1]) == (sorted(percents), 100)
    assert result.out == ok(*line).out
    assert "% " not in on_terminal(*line, "-q", prelude=NO_PATIENCE).err
    assert "left" not in charrnn(*line, prelude=NO_PATIENCE).err


def test_the_percents_of_a_text_of_many_blocks_go_up() -> None:
    Path("b.txt").write_text(TEXT * 20)
    small = "; import charrnn.data.reading as r; r.BLOCK_BYTES = 1 << 14"
    result = on_terminal("eval", "-m", "a", "b.txt", "--dynamic", streams="stderr", prelude=NO_PATIENCE + small)
    percents = [int(*re.findall(r"(\d+)%", part)) for part in lines_of_progress(result)]
    assert percents == sorted(percents)
    assert (percents[0] < 20, len({*percents}) > 9, percents[-1]) == (True, True, 100)


def test_the_held_out_part_has_percents_and_a_pipe_has_characters() -> None:
    held_out = lines_of_progress(on_terminal("eval", "-m", "a", streams="stderr", prelude=NO_PATIENCE))
    assert re.match(r"a\.txt \(held out\): 100% ", held_out[-1])
    os.mkfifo("pipe")
    with ThreadPoolExecutor(1) as writer:
        writer.submit(Path("pipe").write_text, TEXT)
        piped = lines_of_progress(on_terminal("eval", "-m", "a", "pipe", streams="stderr", prelude=NO_PATIENCE))
    assert re.fullmatch(rf"pipe: {len(TEXT):,} characters, \d\d:\d\d", piped[-1])


def test_the_expected_length_of_a_file_is_an_estimate_and_in_the_end_exact() -> None:
    text = "".join(f"{n} größere foxes\n" for n in range(100_000))
    Path("b.txt").write_text(text)
    blocks = FileBlocks("b.txt", Output(False, True))
    assert blocks.expected() is None
    estimates = [blocks.expected() for _ in blocks]
    assert estimates[0] == pytest.approx(len(text), rel=0.1)
    assert estimates[-1] == len(text)
    Path("b.gz").write_bytes(gzip.compress(text.encode()))
    packed = FileBlocks("b.gz", Output(False, True))
    assert {packed.expected() for _ in packed} == {None}
    Path("b.txt").write_text("")
    empty = FileBlocks("b.txt", Output(False, True))
    assert (list(filter(None, empty)), empty.expected()) == ([], None)


def test_no_line_moves_between_the_rows_of_a_picture_that_is_drawn_as_the_text_is_read() -> None:
    line = ("eval", "-m", "a", "--heatmap", "a.txt")
    assert on_terminal(*line, env=PLAIN, prelude=NO_PATIENCE).err == ""
    assert "100% " in on_terminal(*line, prelude=NO_PATIENCE).err
