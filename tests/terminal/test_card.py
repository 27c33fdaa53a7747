import re
from pathlib import Path

from charrnn.terminal.card import wrapped
from tests.helpers.command import ok, on_terminal

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def folded(card: str, room: int) -> str:
    """A card folded to `room` columns: the word that does not fit continues below the beginning of its value."""
    lines = []
    for line in card.splitlines():
        indent = " " * (len(line) - len(line.split(None, 1)[-1])) if line[:1].strip() else ""
        while len(line) > room:
            cut = line.rindex(" ", 0, room + 1)
            lines.append(line[:cut])
            line = indent + line[cut + 1 :]
        lines.append(line)
    return "\n".join(lines) + "\n"


def rows(text: str) -> str:
    """A card up to the plot below it, which has finer lines on a terminal."""
    return text.split(" |")[0]


def test_a_card_has_colours_if_stdout_has_them(model: Path) -> None:
    plain = ok("info", "-q").text
    assert "\x1b" not in plain
    for args, streams, colored in [
        ([], "stdout", True),
        ([], "stderr", False),
        (["--color", "always"], "", True),
        (["--color", "never"], "stdout", False),
    ]:
        text = on_terminal("info", "-q", *args, streams=streams).text
        expected = folded(plain, 80) if streams == "stdout" else plain
        assert ("\x1b" in text, rows(ESCAPE.sub("", text))) == (colored, rows(expected))


def test_a_card_folds_its_lines_at_blanks_and_cuts_no_word(model: Path) -> None:
    plain = ok("info", "-q").text
    assert max(map(len, plain.splitlines())) > 80 >= max(map(len, folded(plain, 80).splitlines()))
    assert wrapped("a word-that-is-too-long-to-fit b", 20) == ["a", "word-that-is-too-long-to-fit", "b"]
