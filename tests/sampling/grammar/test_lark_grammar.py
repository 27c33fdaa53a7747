"""Grammars in lark's language."""

import sys
from pathlib import Path, PurePath

import pytest

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.context_free import Rule, Terminal
from charrnn.sampling.grammar.lark_grammar import lark_grammar


def test_rules_terminals_and_what_is_ignored() -> None:
    grammar = lark_grammar('start: A "b"i?\nA: /x+/\n%ignore " "', PurePath())
    names = [[part.name for part in parts] for parts in grammar.rules[Rule("start")]]
    assert names == [["A", '"b"'], ["A"]]
    assert [terminal.pattern for terminal in grammar.ignored] == ["\\ "]
    assert {part.pattern for parts in grammar.rules[Rule("start")] for part in parts if not isinstance(part, Rule)} == {
        "x+",
        "(?i:b)",
    }


def test_imports_are_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "words.lark").write_text("WORD: /[a-z]+/")
    grammar = lark_grammar("%import .words.WORD\nstart: WORD", tmp_path)
    assert [part.name for part in grammar.rules[Rule("start")][0]] == ["WORD"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("start: nothing", "'nothing' used but not defined"),
        ('a: "a"', "undefined rule"),
        ('start: "a', "line 1 column 8"),
        ("%import .gone.WORD\nstart: WORD", "gone"),
        ("start: /[/", "(?i)unterminated|regexp|regex"),
        ("", "undefined rule"),
    ],
)
def test_a_source_that_lark_refuses(source: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=problem) as raised:
        lark_grammar(source, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_warning_of_the_regex_engine_is_not_passed_on(tmp_path: Path) -> None:
    """Warnings are errors in tests."""
    (terminal,) = {part for parts in lark_grammar("start: /[[a]b/", tmp_path).rules[Rule("start")] for part in parts}
    assert terminal == Terminal("/[[a]b/", "[[a]b")


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lark", None)
    with pytest.raises(UsageError, match=r"pip install .*\[grammar\]"):
        lark_grammar('start: "a"', PurePath())
