import math
import os
import re
import xml.etree.ElementTree as ElementTree
from html import unescape
from pathlib import Path

import pytest

from charrnn.analysis.properties import PROPERTIES
from charrnn.cli.eval import only_mode
from charrnn.cli.picture_files import picture_files
from charrnn.core.errors import UsageError
from charrnn.plots.heatmap import SHARES, symbol
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


def test_the_likeliest_characters_are_below_each_character_and_in_json() -> None:
    records = eval_short("--heatmap", "--top", 2, "--json").records
    assert [{k: v for k, v in record.items() if k != "top"} for record in records] == eval_short(
        "--per-char", "--json"
    ).records
    plain = eval_short("--heatmap").text.split("\n")
    rows = eval_short("--heatmap", "--top", 2).text.split("\n")
    assert rows[3::4] == plain[3::2]
    assert rows[4::4] == plain[4::2]
    signs = {"\n": "↵", "\t": "␉", "\x1b": "␛"}
    for k in range(2):
        drawn = [signs.get(r["top"][k][0], r["top"][k][0]) if "top" in r else " " for r in records]
        assert rows[5 + k] == ("".join(drawn[:15]) + drawn[15] + "".join(drawn[16:23])).rstrip()
    for record in records:
        top = record.get("top", [])
        assert [share for _, share in top] == sorted((share for _, share in top), reverse=True)
        assert record["rank"] != 1 or top[0] == [record["char"], record["probability"]]


def test_with_lines_each_line_is_read_as_a_text_of_its_own() -> None:
    text = "7 hens\n3 größere ☃ foxes\nfox"
    args = ("eval", "-m", "a", "-q", "--per-char")
    alone = [ok(*args, "-", input=line.encode()).text for line in text.splitlines(keepends=True)]
    together = ok(*args, "--lines", "-", input=text.encode())
    assert together.text == "".join(alone) != ok(*args, "-", input=text.encode()).text
    whole = ok("eval", "-m", "a", "--heatmap", "--lines", "--json", "-", input=text.encode())
    assert whole.out == ok(*args, "--lines", "--json", "-", input=text.encode()).out
    assert whole.err == "-: left out 1 characters that the model does not know\n"


def test_what_is_ignored_in_lines_has_no_figures() -> None:
    args = ("eval", "-m", "a", "-q", "--per-char", "--lines", "--ignore", "[0-9]+ ", "-")
    rows = [row.split("\t") for row in ok(*args, input=b"77 hens\n").text.splitlines()]
    assert [row[0] == "-" for row in rows] == [True] * 3 + [False] * 5
    (score,) = ok("eval", "-m", "a", "-q", "--lines", "--ignore", "[0-9]+ ", "-", input=b"77 hens\n").text.splitlines()
    assert sum(float(row[0]) for row in rows[3:]) / 5 == pytest.approx(float(score.split("\t")[0]), abs=2e-4)


def test_colours_follow_the_quantiles_of_the_text() -> None:
    Path("b.txt").write_text(TEXT)
    shown = ok("eval", "-m", "a", "-q", "--heatmap", "--color", "always", "b.txt").text
    _, key, _, body = shown.split("\n", 3)
    codes = re.findall(r"\x1b\[(38[0-9;]+)m", key)
    assert len(codes) == 8
    shares = [sum(map(len, re.findall(rf"\x1b\[{code}m([^\x1b]*)", body))) / len(TEXT) for code in codes]
    rest = 1 - shares[0]
    assert shares[1:] == pytest.approx([rest * share for share in (0.3, 0.26, 0.18, 0.12, 0.08, 0.04, 0.02)], abs=0.08)
    assert "↵" in body


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
    bits = [row.split("\t")[0] for row in eval_short("--per-char").text.splitlines()]
    titles = [title.split(" | ") for title in re.findall(r'title="([^"]*)"', html)]
    assert [title[0] for title in titles] == ["unknown" if figure == "-" else f"{float(figure):.2f}" for figure in bits]
    expected = [record.get("top", []) for record in eval_short("--heatmap", "--top", 3, "--json").records]
    assert [len(title[1].split(", ")) if title[1:] else 0 for title in titles] == [len(top) for top in expected]
    assert [title[1].rsplit(" ")[-1] for title in titles if title[1:]] == [
        f"{top[2][1]:.0%}" for top in expected if top
    ]
    svg = ElementTree.parse("p.svg").getroot()
    assert "größere" in "".join(svg.itertext()).replace("\n", "")
    assert eval_short("--heatmap", "--html", "p.html").err == ""
    assert Path("p.html").read_text() == html


def test_with_top_the_likeliest_characters_are_below_each_line_of_a_picture_file() -> None:
    eval_short("--heatmap", "--top", 2, "--html", "p.html", "--svg", "p.svg")
    html, svg = Path("p.html").read_text(), ElementTree.parse("p.svg").getroot()
    records = eval_short("--heatmap", "--top", 2, "--json").records
    tops = [[(symbol(character), share) for character, share in record.get("top", [])] for record in records]
    found = re.findall(r'<i class="p(\d)" data-is="([^"]*)"></i>', html)
    assert [(unescape(text).strip(), int(level)) for level, text in found] == [
        (drawn.replace("␣", ""), SHARES.level(share)) for top in tops for drawn, share in top
    ]
    small = [group for group in svg.iter("{http://www.w3.org/2000/svg}g") if group.get("class") == "small"]
    lines = "".join(record["char"] for record in records).splitlines(keepends=True)
    assert len(small) == 2 * len(lines)
    firsts = "".join(top[0][0] if top else " " for top in tops[: len(lines[0])])
    assert "".join(small[0].itertext()).replace(" ", "") == firsts.replace("␣", " ").replace(" ", "")
    eval_short("--heatmap", "--html", "h.html", "--svg", "h.svg")
    assert "<i " not in Path("h.html").read_text()
    assert 'class="small"' not in Path("h.svg").read_text()


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
        (["--neurons", "--lines"], 2, ["--lines and --neurons", "give one"]),
        (["--per-char", "--top", "3"], 2, ["--top: needs --heatmap"]),
        (["--heatmap", "--lines", "--score", "max"], 2, ["--score: needs --lines without --heatmap"]),
        (["--heatmap", "--lines", "--threshold", "3"], 2, ["--threshold 3: needs --lines without --heatmap"]),
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
