import math
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from charrnn.analysis.properties import PROPERTIES
from charrnn.cli.eval import only_mode
from charrnn.cli.picture_files import picture_files
from charrnn.core.errors import UsageError
from tests.helpers.command import (
    TEXT,
    Result,
    charrnn,
    contents,
    limited_to,
    ok,
    on_terminal,
    refused,
    to_nobody,
)

pytestmark = pytest.mark.usefixtures("model")

SGR = re.compile(r"\x1b\[[0-9;]*m")
SHORT = "7 größere foxes\tthan ☃\n\n\x1b[2Jhens"


def eval_short(*args: object) -> Result:
    return ok("eval", "-m", "a", "-q", "-", *args, input=SHORT.encode())


# ---- --heatmap ----


def test_a_heatmap_has_the_whole_bits_of_each_character_below_each_line() -> None:
    rows = [row.split("\t") for row in eval_short("--per-char").text.splitlines()]
    digits = ["?" if row[0] == "-" else " 1234567"[min(7, int(float(row[0])))] for row in rows]
    title, note, gap, *body = eval_short("--heatmap").text.split("\n")
    assert (title, note[:10], gap) == ("-: surprise in bits", "bits below", "")
    assert body[::2] == ["7 größere foxes than ☃↵", "↵", "␛[2Jhens", ""]
    tab = SHORT.index("\t")  # at column 15, one cell before the next stop
    assert tab == 15
    marks = ["".join(digits[a:b]).rstrip() for a, b in ((0, 23), (23, 24), (24, None))]
    assert body[1::2] == marks
    assert "?" in marks[0]


def test_a_heatmap_as_json_has_the_objects_of_characters() -> None:
    assert eval_short("--heatmap", "--json").out == eval_short("--per-char", "--json").out


def test_without_a_text_the_held_out_part_is_drawn_and_several_texts_are_separated() -> None:
    result = ok("eval", "--heatmap")
    assert result.text.startswith("a.txt (held out): surprise in bits\n")
    assert result.text.count("↵") == TEXT[int(len(TEXT) * 0.9) :].count("\n")
    Path("b.txt").write_text("7 hens ☃")
    both = ok("eval", "-m", "a", "--heatmap", "b.txt", "-", input=b"foxes")
    assert re.findall(r"(?:\A|\n\n)(.*): surprise", both.text) == ["b.txt", "-"]
    assert both.err == "b.txt: left out 1 characters that the model does not know\n"


@pytest.mark.parametrize(
    ("args", "env", "colored"),
    [
        ([], {}, True),
        ([], {"TERM": "dumb"}, False),
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"TERM": "dumb"}, True),
    ],
)
def test_a_terminal_shows_colours_if_it_can_and_marks_otherwise(
    args: list[str], env: dict[str, str], colored: bool
) -> None:
    Path("b.txt").write_text(SHORT.replace("\t", " [bold] "))
    text = on_terminal("eval", "-q", "--heatmap", "b.txt", *args, env=env, columns=20).text
    assert (SGR.search(text) is not None) == colored
    lines = SGR.sub("", text).split("\n")
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 20
    assert "[bold]" in "".join(lines[lines.index("") + 1 :: 1 if colored else 2])


def test_a_closed_pipe_ends_a_picture_quietly() -> None:
    for option in ("--heatmap", "--neurons"):
        assert to_nobody("eval", "-q", option).code == 0


# ---- --neurons and --neuron ----


def test_each_row_names_a_unit_and_its_property_and_the_best_are_drawn() -> None:
    result = ok("eval", "-m", "a", "--neurons", "a.txt")
    table, *_ = result.text.split("\n\n")
    rows = [row.split("\t") for row in table.splitlines()]
    assert {row[3] for row in rows} == {"a.txt"}
    assert {row[2] for row in rows} <= {*PROPERTIES}
    assert {"position in the line", "a digit", "a blank"} <= {row[2] for row in rows}
    strengths = [abs(float(row[0])) for row in rows]
    assert strengths == sorted(strengths, reverse=True)
    assert 0.5 < strengths[0] <= 1
    titles = re.findall(r"^a\.txt: unit (\S+), (.*) \((.*)\)$", result.text, re.M)
    assert 1 <= len(titles) <= 4
    assert len({unit for unit, *_ in titles}) == len(titles)
    assert {(r, unit, name) for unit, name, r in titles} <= {(row[0], row[1], row[2]) for row in rows}
    records = ok("eval", "-m", "a", "--neurons", "a.txt", "--json").records
    assert [[f"{r['correlation']:+.3f}", r["unit"], r["property"], r["text"]] for r in records] == rows
    assert records[0]["model"] == "checkpoints/a.npz"


def test_the_scale_of_a_unit_is_symmetric_around_zero() -> None:
    records = eval_short("--neuron", "0:3", "--json").records
    assert "".join(record["char"] for record in records) == SHORT
    values = [record["activation"] for record in records]
    assert [value is None for value in values] == [c in "☃[J" for c in SHORT]
    assert records[0].keys() == {"text", "model", "unit", "char", "activation"}
    known = [value for value in values if value is not None]
    largest = max(map(abs, known))
    assert 0 < largest <= 1
    title, note, gap, *body = eval_short("--neuron", "0:3").text.split("\n")
    assert (title, gap) == ("-: unit 0:3", "")
    assert (f"{-largest:+.2f}" in note, f"{largest:+.2f}" in note) == (True, True)
    bars = [" ▁▂▃▄▅▆▇█"[max(0, min(8, math.floor(4 * v / largest + 4.5)))] if v is not None else "?" for v in values]
    assert body[1] == "".join(bars[:23]).rstrip()


# ---- --html and --svg ----


def test_pictures_are_written_to_files_and_stdout_stays_empty() -> None:
    Path("p.html").write_text("an older picture")
    result = ok("eval", "-m", "a", "--heatmap", "-", "--html", "p.html", "--svg", "p.svg", input=SHORT.encode())
    assert (result.text, result.err) == (
        "",
        "-: left out 3 characters that the model does not know\npicture: p.html\npicture: p.svg\n",
    )
    html = Path("p.html").read_text()
    assert html.startswith("<!DOCTYPE html>")
    assert re.findall(r'title="([\d.]+|unknown)"', html)[-5:]
    bits = [row.split("\t")[0] for row in eval_short("--per-char").text.splitlines()]
    titles = re.findall(r'title="([^"]*)"', html)
    assert titles == ["unknown" if figure == "-" else f"{float(figure):.2f}" for figure in bits]
    svg = ElementTree.parse("p.svg").getroot()
    assert "größere" in "".join(svg.itertext()).replace("\n", "")
    assert eval_short("--heatmap", "--html", "p.html").err == ""
    assert Path("p.html").read_text() == html


def test_pictures_of_units_are_written_to_files_and_rows_to_stdout() -> None:
    plain = ok("eval", "-m", "a", "--neurons", "a.txt")
    filed = ok("eval", "-m", "a", "-q", "--neurons", "a.txt", "--html", "n.html")
    assert filed.text == plain.text.split("\n\n")[0] + "\n"
    assert Path("n.html").read_text().count("<pre") == plain.text.count(": unit ")
    json = eval_short("--neuron", "0:3", "--json", "--svg", "n.svg")
    assert json.out == eval_short("--neuron", "0:3", "--json").out
    assert "unit 0:3" in Path("n.svg").read_text()
    assert eval_short("--heatmap", "--json", "--html", "h.html").out == eval_short("--per-char", "--json").out


def test_a_picture_that_cannot_be_written_leaves_the_old_file() -> None:
    Path("p.html").write_text("old")
    before = contents(Path())
    result = charrnn("eval", "-q", "--heatmap", "a.txt", "--html", "p.html", prelude=limited_to(5000))
    refused(result, 1, "p.html", "cannot be saved")
    assert contents(Path()) == before


# ---- wrong usage ----


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--heatmap", "--lines"], 2, ["--lines and --heatmap", "give one"]),
        (["--html", "p.html", "--lines"], 2, ["--html p.html", "--heatmap"]),
        (["--neuron", "1:0"], 2, ["--neuron 1:0", "layer 0 to 0", "unit 0 to 15"]),
        (["--neuron", ""], 2, ["LAYER:UNIT"]),
        (["--heatmap", "--html", "a.txt", "-m", "a", "-"], 2, ["--html a.txt", "another file"]),
        (["--heatmap", "--html", os.devnull], 1, [os.devnull, "not a file"]),
    ],
)
def test_what_cannot_be_drawn_is_refused(args: list[str], code: int, words: list[str]) -> None:
    before = contents(Path())
    refused(charrnn("eval", "-q", *args, input=b"foxes"), code, *words)
    assert contents(Path()) == before


@pytest.mark.parametrize(
    ("modes", "dynamic", "against", "words"),
    [
        (["--heatmap", "--neurons", "--neuron"], False, False, "--heatmap and --neurons and --neuron: give one"),
        (["--neurons"], True, False, "--dynamic scores whole texts"),
        (["--heatmap"], False, True, "--heatmap takes one model"),
    ],
)
def test_pictures_cannot_be_combined_with_scores(modes: list[str], dynamic: bool, against: bool, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        only_mode(modes, dynamic, against_baselines=False, against=against)


@pytest.mark.parametrize(
    ("html", "svg", "words"),
    [
        ("no/p.html", None, "--html no/p.html: must be a file"),
        (None, "-", "--svg -: must be a file"),
        ("poems", None, "--html poems: must be a file"),
        ("", None, "--html : must be a file"),
        ("poems/../a.txt", None, "--html poems/../a.txt: is in use"),
        ("poems/new.txt", None, "--html poems/new.txt: is in use"),
        ("p", "./p", "--svg ./p: is in use"),
    ],
)
def test_a_picture_file_that_is_unusable_or_in_use_is_refused(html: str | None, svg: str | None, words: str) -> None:
    Path("poems").mkdir()
    names = {name: file for name, file in (("--html", html), ("--svg", svg)) if file is not None}
    with pytest.raises(UsageError, match=words):
        picture_files(names, ["a.txt", "poems"], [])
    named = picture_files({"--html": "p.html", "--svg": "poems/p.svg"}, ["a.txt", "poems"], [])
    assert named == {"--html": Path("p.html"), "--svg": Path("poems/p.svg")}
    assert picture_files({}, [], []) == {}


def test_a_text_of_unknown_characters_is_refused() -> None:
    for option, text in (("--neurons", ""), ("--neuron=0:1", "☃☃"), ("--heatmap", "☃")):
        refused(charrnn("eval", "-m", "a", "-q", option, "-", input=text.encode()), 1, "-: ", "nothing to draw")
