import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.picture import COLUMNS, Line, lines, record, terminal_svg

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def text_of(svg: str) -> str:
    return re.sub(r"\s+", " ", "".join(ElementTree.fromstring(svg).itertext()))


def is_self_contained(svg: str) -> bool:
    return set(re.findall(r"https?://[^\s\"']+", svg)) <= {"http://www.w3.org/2000/svg"} and "<script" not in svg


def test_a_text_stays_until_another_one_overwrites_it() -> None:
    chunks = [(0.0, "one\n"), (1.0, "\r 9% #"), (2.0, "\r99% ##"), (3.0, "\r      \rtwo\r\n\r\n"), (4.0, "three")]
    assert list(lines(chunks)) == [
        Line(0, "one", 0.0, None),
        Line(1, " 9% #", 1.0, 2.0),
        Line(1, "99% ##", 2.0, 3.0),
        Line(1, "two", 3.0, None),
        Line(3, "three", 4.0, None),
    ]


def test_of_texts_that_follow_each_other_fast_the_last_is_drawn() -> None:
    chunks = [(1.0, "\r1%"), (1.1, "\r2%"), (1.2, "\r3%"), (2.0, "\r4%\n")]
    assert list(lines(chunks)) == [Line(0, "3%", 1.0, 2.0), Line(0, "4%", 2.0, None)]


def test_a_picture_contains_the_text_and_needs_no_other_file() -> None:
    svg = terminal_svg("a & b", [(0.0, "x < y\n\x1b[36m█▄ [/x] größer\x1b[0m")])
    assert is_self_contained(svg)
    assert text_of(svg).replace("\N{NO-BREAK SPACE}", " ").count("x < y") == 1
    assert "█▄ [/x] größer" in text_of(svg).replace("\N{NO-BREAK SPACE}", " ")


def test_the_end_is_visible_without_animation_and_nothing_before_it() -> None:
    svg = ElementTree.fromstring(terminal_svg("t", [(0.0, "$ run\n"), (1.0, "\r 9%"), (2.0, "\r99%\ndone\n")]))
    groups = {"".join(group.itertext()): group for group in svg.iter(f"{SVG}g")}
    hidden = {text for text, group in groups.items() if group.get("visibility") == "hidden"}
    assert (set(groups) - hidden, hidden) == ({"$\N{NO-BREAK SPACE}run", "99%", "done"}, {"\N{NO-BREAK SPACE}9%"})
    (times,) = groups["\N{NO-BREAK SPACE}9%"].iter(f"{SVG}set")
    assert (times.get("begin"), times.get("dur")) == ("play.begin+1.00s", "1.00s")


def test_a_command_runs_in_a_terminal() -> None:
    program = "import os, sys; print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(1).columns)"
    written = "".join(text for _, text in record([sys.executable, "-c", program]))
    assert written == f"True True {COLUMNS}\r\n"
    with pytest.raises(subprocess.CalledProcessError):
        record([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_in_the_readme_shows_the_command_next_to_it() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (command,) = re.findall(r"python -m benchmarks\.picture docs/training\.svg (charrnn .*?)`", readme)
    svg = (ROOT / "docs" / "training.svg").read_text("utf-8")
    assert "(docs/training.svg)" in readme
    assert is_self_contained(svg)
    shown = text_of(svg).replace("\N{NO-BREAK SPACE}", " ")
    assert f"$ {command}" in shown
    assert "<animate " in svg
    assert re.search(r"best so far.* 100% *█+ .* is done .* bits per character", shown)
