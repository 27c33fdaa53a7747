import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from charrnn.plots.loss_curve import SPARKS
from charrnn.terminal.streams import Color, can_overwrite, can_show, columns, has_color, is_terminal
from tests.helpers.command import on_terminal, terminal

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


# ---- control characters ----


def test_control_characters_of_file_names_and_prompts_are_shown_as_symbols(model: Path) -> None:
    Path("\x1b[31mred\x9b.txt").write_text("fox")
    row, error = on_terminal("eval", "-q", "\x1b[31mred\x9b.txt").text, on_terminal("eval", "-q", "\x1b]0;t\x07").err
    assert row.endswith("\t3\t␛[31mred\ufffd.txt\n")
    assert "␛]0;t␇" in ESCAPE.sub("", error)
    note = on_terminal("sample", "-n", 0, "-p", "\x9b2J", "--unknown", "skip", streams="stdout stderr")
    (record,) = on_terminal("sample", "-n", 0, "-q", "-p", "\x1bfox", "--json").records
    assert record["text"] == "\x1bfox"
    assert "\x9b" not in note.err


def test_json_on_a_terminal_has_no_control_characters(model: Path) -> None:
    Path("\x9b2J.txt").write_text("fox")
    result = on_terminal("eval", "-q", "--json", "\x9b2J.txt", streams="stdout")
    assert "\x9b" not in result.text
    assert result.records[0]["text"] == "\x9b2J.txt"


# ---- colours ----


@pytest.mark.parametrize(
    ("color", "env", "on_terminal", "in_pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": "0"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ("auto", {"FORCE_COLOR": "0"}, True, False),
        ("auto", {"FORCE_COLOR": ""}, True, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_the_option_decides_about_colour_then_the_variables_then_the_stream(
    monkeypatch: pytest.MonkeyPatch, color: Color, env: dict[str, str], on_terminal: bool, in_pipe: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("charrnn.terminal.streams.color", color)
    assert has_color(Stream(True)) is on_terminal
    assert [has_color(stream) for stream in (Stream(False), None)] == [in_pipe, in_pipe]


def test_a_closed_stream_is_not_a_terminal() -> None:
    assert [is_terminal(stream) for stream in (None, Stream(False), Stream(True))] == [False, False, True]


def test_a_line_moves_on_a_terminal_that_is_not_dumb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert [can_overwrite(stream) for stream in (None, Stream(False), Stream(True))] == [False, False, True]
    monkeypatch.setenv("TERM", "dumb")
    assert not can_overwrite(Stream(True))


@pytest.mark.parametrize(
    ("args", "env", "err_is_terminal", "red"),
    [
        ([], {}, True, True),
        ([], {}, False, False),
        ([], {"NO_COLOR": "1"}, True, False),
        (["--color", "never"], {}, True, False),
        (["--color", "always"], {}, False, True),
        ([], {"CHARRNN_COLOR": "never"}, True, False),
    ],
)
def test_an_error_is_red_if_stderr_has_colour(
    model: Path, args: list[str], env: dict[str, str], err_is_terminal: bool, red: bool
) -> None:
    streams = "stderr" if err_is_terminal else "stdout"
    result = on_terminal("eval", "-q", "nothere.txt", *args, streams=streams, env=env)
    line = "charrnn: nothere.txt: No such file or directory"
    assert result.err == (f"\x1b[31m{line}\x1b[0m\n" if red else f"{line}\n")


# ---- what a stream can show ----


def test_a_terminal_has_its_own_columns_and_any_other_stream_eighty() -> None:
    assert [columns(stream) for stream in (None, io.StringIO())] == [80, 80]
    for width, expected in ((200, 200), (7, 7), (0, 80)):
        screen, number = terminal(width)
        with open(number, "w") as stream:
            assert columns(stream) == expected
        os.close(screen)


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", True), ("latin-1", False), ("ascii", False), ("?", False)])
def test_a_stream_shows_the_characters_of_its_encoding(encoding: str, shown: bool) -> None:
    assert can_show(SimpleNamespace(encoding=encoding), SPARKS) is shown  # type: ignore[arg-type]
    assert can_show(None, "plain")
