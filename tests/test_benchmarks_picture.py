import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.picture import COLUMNS, drawn, left_standing, record

ROOT = Path(__file__).parents[1]


def words_of(svg: str) -> str:
    return re.sub(r"\s+", " ", "".join(ElementTree.fromstring(svg).itertext()))


def needs_nothing(svg: str) -> bool:
    return set(re.findall(r"https?://[^\s\"']+", svg)) <= {"http://www.w3.org/2000/svg"} and "<script" not in svg


def test_what_was_written_over_is_not_seen() -> None:
    assert left_standing("one\r\n 9% #\r99% ##\r      \rtwo\r\n\r\n 9% #\r99% ###\r\n") == "one\ntwo\n\n99% ###"


def test_a_drawing_has_the_text_as_it_is_and_needs_nothing_else() -> None:
    svg = drawn("a & b", "x < y\n\x1b[36m█▄ [/x] größer\x1b[0m")
    assert needs_nothing(svg)
    assert words_of(svg).replace("\N{NO-BREAK SPACE}", " ").count("x < y") == 1
    assert "█▄ [/x] größer" in words_of(svg).replace("\N{NO-BREAK SPACE}", " ")
    assert drawn("a & b", "x") == drawn("a & b", "x")


def test_a_command_sees_a_terminal() -> None:
    program = "import os, sys; print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(1).columns)"
    assert record([sys.executable, "-c", program]) == f"True True {COLUMNS}\r\n"
    with pytest.raises(subprocess.CalledProcessError):
        record([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_in_the_readme_is_of_the_command_that_it_names() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (command,) = re.findall(r"python -m benchmarks\.picture docs/training\.svg (charrnn .*?)`", readme)
    svg = (ROOT / "docs" / "training.svg").read_text("utf-8")
    assert "(docs/training.svg)" in readme
    assert needs_nothing(svg)
    shown = words_of(svg).replace("\N{NO-BREAK SPACE}", " ")
    assert f"$ {command}" in shown
    assert re.search(r"best so far.* 100% █+ .* is done .* bits a character", shown)
