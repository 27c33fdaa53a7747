import io

import pytest

from charrnn.terminal.table import table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_tabs_in_a_pipe_and_no_head() -> None:
    assert table(("name", "size"), [("a", "1"), ("b\t", "22")], io.StringIO()) == "a\t1\nb\t\t22\n"


def test_a_table_is_aligned_on_a_terminal_by_the_cells_that_characters_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = table(("name", "size"), [("猫", "1"), ("ab\x1b", "22")], Terminal())
    assert drawn == "name  size\n猫    1\nab␛   22\n"


def test_the_head_is_bold_where_there_are_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert table(("a", "b"), [], Terminal()) == "\x1b[1ma  b\x1b[0m\n"
