import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from charrnn.curve import BLOCKS
from charrnn.terminal import Color, can_show, columns, folded, has_color, is_terminal
from tests.helpers.command import ok, on_terminal, terminal

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


# ---- control characters ----


def test_what_is_written_of_files_and_their_names_shows_its_control_characters(model: Path) -> None:
    Path("\x1b[31mred\x9b.txt").write_text("fox")
    row, error = on_terminal("eval", "-q", "\x1b[31mred\x9b.txt").text, on_terminal("eval", "-q", "\x1b]0;t\x07").err
    assert row.endswith("\t3\t␛[31mred\ufffd.txt\n")
    assert "␛]0;t␇" in ESCAPE.sub("", error)
    note = on_terminal("sample", "-n", 0, "-p", "\x9b2J", "--unknown", "skip", streams="stdout stderr")
    (record,) = on_terminal("sample", "-n", 0, "-q", "-p", "\x1bfox", "--json").records
    assert record["text"] == "\x1bfox"
    assert "\x9b" not in note.err


def test_json_on_a_terminal_commands_nothing(model: Path) -> None:
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
def test_the_option_decides_on_colour_then_variables_then_the_stream(
    monkeypatch: pytest.MonkeyPatch, color: Color, env: dict[str, str], on_terminal: bool, in_pipe: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("charrnn.terminal.color", color)
    assert has_color(Stream(True)) is on_terminal
    assert [has_color(stream) for stream in (Stream(False), None)] == [in_pipe, in_pipe]


def test_a_closed_stream_is_no_terminal() -> None:
    assert [is_terminal(stream) for stream in (None, Stream(False), Stream(True))] == [False, False, True]


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
def test_an_error_is_red_where_stderr_has_colour(
    model: Path, args: list[str], env: dict[str, str], err_is_terminal: bool, red: bool
) -> None:
    streams = "stderr" if err_is_terminal else "stdout"
    result = on_terminal("eval", "-q", "nothere.txt", *args, streams=streams, env=env)
    line = "charrnn: nothere.txt: No such file or directory"
    assert result.err == (f"\x1b[31m{line}\x1b[0m\n" if red else f"{line}\n")


def broken(card: str, room: int) -> str:
    """A card as a terminal so wide has it: each line goes on below its value before the word that has no room."""
    lines = []
    for line in card.splitlines():
        indent = " " * (len(line) - len(line.split(None, 1)[-1])) if line[:1].strip() else ""
        while len(line) > room:
            cut = line.rindex(" ", 0, room + 1)
            lines.append(line[:cut])
            line = indent + line[cut + 1 :]
        lines.append(line)
    return "\n".join(lines) + "\n"


def test_each_stream_has_its_own_colour(model: Path) -> None:
    plain = ok("info", "-q").text
    assert "\x1b" not in plain
    for args, streams, colored in [
        ([], "stdout", True),
        ([], "stderr", False),
        (["--color", "always"], "", True),
        (["--color", "never"], "stdout", False),
    ]:
        text = on_terminal("info", "-q", *args, streams=streams).text
        expected = broken(plain, 80) if streams == "stdout" else plain
        assert ("\x1b" in text, ESCAPE.sub("", text)) == (colored, expected)


def test_a_card_breaks_its_lines_at_blanks_and_no_word(model: Path) -> None:
    plain = ok("info", "-q").text
    assert max(map(len, plain.splitlines())) > 80 >= max(map(len, broken(plain, 80).splitlines()))
    assert folded("a word-that-is-too-long-to-fit b", 20) == ["a", "word-that-is-too-long-to-fit", "b"]


# ---- what a stream can show ----


def test_what_is_no_terminal_has_eighty_columns_and_a_terminal_its_own() -> None:
    assert [columns(stream) for stream in (None, io.StringIO())] == [80, 80]
    for width, told in ((200, 200), (7, 7), (0, 80)):
        screen, number = terminal(width)
        with open(number, "w") as stream:
            assert columns(stream) == told
        os.close(screen)


@pytest.mark.parametrize(("encoding", "blocks"), [("utf-8", True), ("latin-1", False), ("ascii", False), ("?", False)])
def test_a_stream_shows_what_its_encoding_has(encoding: str, blocks: bool) -> None:
    assert can_show(SimpleNamespace(encoding=encoding), BLOCKS) is blocks  # type: ignore[arg-type]
    assert can_show(None, "plain")
