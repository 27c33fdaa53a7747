import io
import math
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from charrnn.analysis.gradient_reach import measure_reach
from charrnn.checkpoint.store import CheckpointStore
from charrnn.terminal.pictures import line_chart
from tests.conftest import Run
from tests.helpers.command import NETWORK, TEXT, charrnn, ok, on_terminal, refused

pytestmark = pytest.mark.usefixtures("model")

SHORT = TEXT[1:80]  # enough for 32 lags
ARGS = ("eval", "-m", "a", "--memory")
ESCAPE = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture(scope="module")
def trained_b(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    ok("train", "-", "-m", "b", *NETWORK, "--cell", "rnn", "--steps", 2, "-q", cwd=folder, input=TEXT.encode())
    return folder / "checkpoints" / "b.npz"


@pytest.fixture
def other(model: Path, trained_b: Path) -> Path:
    shutil.copy(trained_b, model.parent)
    Path("b.txt").write_text(SHORT)
    return Path("b.txt")


def test_a_terminal_shows_a_note_during_the_measurement() -> None:
    notes = on_terminal(*ARGS, "a.txt", streams="stderr").err
    assert notes.splitlines() == ["measuring how far back a remembers: this may take half a minute"]
    assert on_terminal(*ARGS, "a.txt", "-q", streams="stderr").err == ""


def test_rows_and_json_have_the_measurements() -> None:
    state = CheckpointStore(Path("checkpoints/a.npz")).load()
    memory = measure_reach(state.best_model, state.vocab.encode(SHORT))
    result = ok(*ARGS, "-", input=SHORT.encode())
    rows = [line.split("\t") for line in result.text.splitlines()]
    cut = {k: nats / math.log(2) for k, nats in memory.cut.items()}
    assert result.err == ""
    assert rows == [
        ["0", "1", "-"],
        *([str(k), f"{memory.relative[k]:.3g}", f"{cut[k]:.4f}"] for k in (1, 2, 4, 8, 16, 32)),
        ["all", "-", f"{memory.full / math.log(2):.4f}"],
    ]
    (record,) = ok(*ARGS, "--json", "-", input=f"☃{SHORT}☃".encode()).records
    assert {key: record[key] for key in ("text", "model", "chars", "unknown")} == {
        **{"text": "-", "model": "checkpoints/a.npz", "chars": len(SHORT), "unknown": 2},
    }
    assert record["gradient_mean"] == pytest.approx(memory.mean.tolist())
    assert record["gradient_median"] == pytest.approx(memory.median.tolist())
    assert record["gradient_parts"] == {"layers.0.h": pytest.approx(memory.mean.tolist())}
    assert record["stretches"] == memory.stretches == len(SHORT) - 64
    assert record["bits_per_char"] == pytest.approx(memory.full / math.log(2))
    assert [(row["context"], row["positions"]) for row in record["cut"]] == list(memory.positions.items())
    assert [row["bits_per_char"] for row in record["cut"]] == pytest.approx(list(cut.values()))


def test_several_models_have_the_columns_that_each_has_alone(other: Path) -> None:
    both, of_a, of_b = (
        [row.split("\t") for row in ok("eval", "--memory", *models, other).text.splitlines()]
        for models in (("-m", "a", "--against", "b", "--against", "a"), ("-m", "a"), ("-m", "b"))
    )
    assert both == [[*a, *b[1:]] for a, b in zip(of_a, of_b, strict=True)]


@pytest.mark.parametrize("columns", [60, 200])
def test_a_terminal_shows_a_table_and_a_chart_that_fit(other: Path, columns: int) -> None:
    result = on_terminal(*ARGS, "--against", "b", other, "-q", columns=columns)
    lines = ESCAPE.sub("", result.text).splitlines()
    assert min(columns, 126) - 1 <= max(map(len, lines)) <= min(columns, 126)
    assert lines[:3] == [
        "b.txt",
        "                      a                 b",
        "  lag  gradient    bits  gradient    bits",
    ]
    assert any("\u2800" < mark <= "\u28ff" for mark in result.text)
    assert lines[-1].split() == ["a", "b"]
    assert "\x1b[36m" in result.text
    assert "\x1b[33m" in result.text


def test_on_a_dumb_terminal_each_model_has_a_letter(other: Path) -> None:
    result = on_terminal(*ARGS, "--against", "b", other, "-q", env={"TERM": "dumb"})
    chart = result.text.split("lag 0\n")[1]
    assert chart.isascii()
    assert "\x1b" not in result.text
    assert chart.split("\n")[-2].split() == ["a", "a", "b", "b"]
    assert {"a", "b"} <= {*"".join(re.findall(r"\|(.*)", chart))}


@pytest.mark.parametrize(
    ("lines", "env", "encoding", "dots"),
    [
        ("a", {}, "utf-8", True),
        ("ab", {}, "utf-8", False),
        ("ab", {"FORCE_COLOR": "1"}, "utf-8", True),
        ("a", {"FORCE_COLOR": "1"}, "ascii", False),
        ("a", {"TERM": "linux"}, "utf-8", False),
    ],
)
def test_a_chart_has_dots_if_they_can_be_shown_and_lines_can_be_distinguished(
    lines: str, env: dict[str, str], encoding: str, dots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    drawing = line_chart({name: [(0, 1.0), (8, 0.1)] for name in lines}, "lag", sys.stderr)
    assert drawing.isascii() != dots
    assert ("\x1b" in drawing) == ("FORCE_COLOR" in env)


def test_pictures_in_files_do_not_change_the_rows(other: Path) -> None:
    result = ok(*ARGS, "--against", "b", other, "--html", "m.html", "--svg", "m.svg")
    assert len(result.text.splitlines()) == 8
    assert result.err == "picture: m.html\npicture: m.svg\n"
    svg = Path("m.svg").read_text("utf-8")
    assert svg in Path("m.html").read_text("utf-8")
    drawn = ElementTree.fromstring(svg)
    assert len(drawn.findall("{*}path[@class='line']")) == 2 * 2 + 2
    words = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", "characters back", "gradient, as a multiple of that at lag 0"} <= {*words}
    assert "|" not in on_terminal(*ARGS, other, "-q", "--svg", "m.svg").text


def test_what_cannot_be_measured_is_refused(other: Path) -> None:
    refused(charrnn(*ARGS, other, "a.txt"), 2, "--memory", "one text", "cat")
    refused(charrnn(*ARGS, "-", input=TEXT[1:17].encode()), 1, "16 characters", "too few")
    refused(charrnn(*ARGS, "--dynamic"), 2, "--memory", "--dynamic")
    refused(charrnn(*ARGS, "--svg", other, other), 2, "in use")
