import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.picture import COLUMNS, final_text, record, terminal_svg

ROOT = Path(__file__).parents[2]


def text_of(svg: str) -> str:
    return re.sub(r"\s+", " ", "".join(ElementTree.fromstring(svg).itertext()))


def is_self_contained(svg: str) -> bool:
    return set(re.findall(r"https?://[^\s\"']+", svg)) <= {"http://www.w3.org/2000/svg"} and "<script" not in svg


def test_overwritten_text_is_not_shown() -> None:
    assert final_text("one\r\n 9% #\r99% ##\r      \rtwo\r\n\r\n 9% #\r99% ###\r\n") == "one\ntwo\n\n99% ###"


def test_a_picture_contains_the_text_and_needs_no_other_file() -> None:
    svg = terminal_svg("a & b", "x < y\n\x1b[36m█▄ [/x] größer\x1b[0m")
    assert is_self_contained(svg)
    assert text_of(svg).replace("\N{NO-BREAK SPACE}", " ").count("x < y") == 1
    assert "█▄ [/x] größer" in text_of(svg).replace("\N{NO-BREAK SPACE}", " ")
    assert terminal_svg("a & b", "x") == terminal_svg("a & b", "x")


def test_a_command_runs_in_a_terminal() -> None:
    program = "import os, sys; print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(1).columns)"
    assert record([sys.executable, "-c", program]) == f"True True {COLUMNS}\r\n"
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
    assert re.search(r"best so far.* 100% █+ .* is done .* bits per character", shown)
