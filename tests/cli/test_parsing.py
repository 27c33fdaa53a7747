"""Values of options are parsed without pydantic."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command

from charrnn.cli import app
from charrnn.cli.commands import COMMANDS
from charrnn.cli.parsing import KINDS, SWITCHES, Parser
from charrnn.core.errors import UsageError
from tests.helpers.command import charrnn, refused


def parse(name: str, kind: type, word: str) -> object:
    return Parser(name, *KINDS[kind]).parse(word)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(), st.floats(allow_nan=False))
def test_numbers_are_parsed(whole: int, real: float) -> None:
    assert parse("--n", int, str(whole)) == whole
    assert (parse("--x", float, str(real)), parse("--x", float, str(whole))) == (real, float(whole))


def test_switches_accept_the_usual_words() -> None:
    for word, value in SWITCHES.items():
        assert parse("--quiet", bool, f" {word.upper()} ") is value
    with pytest.raises(UsageError, match=r"^--quiet perhaps: "):
        parse("--quiet", bool, "perhaps")


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (["sample", "--seed", "x"], {}, "--seed x: must be a whole number"),
        (["sample", "-n", "1.5"], {}, "--length 1.5: must be a whole number"),
        (["sample", "-n", "-2"], {}, "--length -2: must be -1 or more"),
        (["sample", "-t", "warm"], {}, "--temperature warm: must be a number"),
        (["sample", "--unknown", "Skip"], {}, "--unknown Skip: must be error or skip"),
        (["train", "--cell", "GRU"], {}, "--cell GRU: must be rnn or lstm or gru"),
        (["info"], {"CHARRNN_QUIET": "perhaps"}, "--quiet perhaps: must be 1 or 0"),
        (["eval"], {"CHARRNN_THREADS": "0"}, "--threads 0: must be 1 or more"),
    ],
    ids=str,
)
def test_an_invalid_value_is_refused_with_the_name_of_its_option(
    args: list[str], env: dict[str, str], words: str
) -> None:
    refused(charrnn(*args, env=env), 2, words)


def test_every_parameter_has_a_parser_so_that_none_needs_pydantic() -> None:
    program: Any = get_command(app)
    assert "pydantic" not in sys.modules
    for command in (program, *(program.commands[name] for name in COMMANDS)):
        with command.make_context("x", [], resilient_parsing=True):
            assert [p.name for p in command.params if p.get_runtime_param().__module__ != "charrnn.cli.parsing"] == []
