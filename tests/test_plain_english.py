"""Idioms that are not plain technical English do not occur in the help or in the strings of the program."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import charrnn
from charrnn.cli.commands import COMMANDS
from tests.helpers.command import ok

IDIOMS = (
    r"\banew\b",
    r"\bso many\b",
    r"\bgo(es|ing)? on\b",
    r"\b(row|line|object|reading|core|step|window) an? (row|line|text|sample|character|window|step|run|core)\b",
    r"\bbits an? (character|line)\b",
    r"\bcharacters a (second|window|line)\b",
    r"\bunits a layer\b",
    r"\b(is|was|are) told\b",
    r"\btells? (on|the|what|whether|that|how|itself)\b",
    r"\bwhat stands\b",
    r"\bin its form\b",
    r"\b(some|any)body\b",
    r"\bits like\b",
    r"\bof which\b",
)
FOLDER = Path(charrnn.__file__).parent


def found(text: str) -> list[str]:
    """Return the idioms of a text, however its lines are broken, with a few words around each."""
    line = " ".join(text.split())
    matches = (match for idiom in IDIOMS for match in re.finditer(idiom, line, re.I))
    return [line[max(0, match.start() - 20) : match.end() + 20] for match in matches]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the string literals of a module, docstrings included, with their line numbers."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_is_plain(name: str) -> None:
    assert found(ok(*name.split(), "--help").text) == []


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_docstrings_and_messages_are_plain(path: Path) -> None:
    assert [(line, idiom) for line, text in strings(path) for idiom in found(text)] == []


def test_idioms_are_found_across_lines() -> None:
    texts = ("A row\n  a text.", "It goes on anew.", "One row per text: bits per character.")
    assert [len(found(text)) for text in texts] == [1, 2, 0]
