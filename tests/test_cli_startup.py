"""What a command imports, which is most of the time it takes to start, and values read without Typer's pydantic."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_command

from charrnn.cli import app
from charrnn.cli.commands import COMMANDS
from charrnn.cli.values import SWITCHES, integer, number, switch
from charrnn.errors import UsageError
from tests.helpers.command import charrnn, ok, refused

TELL = """
import atexit, sys
atexit.register(lambda: print("imported", *sys.modules, file=sys.stderr))
"""
NEVER = {"pydantic", "rich", "tqdm", "logging", "unittest", "numpy.ma", "numpy.testing", "concurrent.futures"}


def imported(*args: object, **env: str) -> set[str]:
    """The modules at the end of a command that succeeds."""
    last = ok(*args, prelude=TELL, env=env).err.splitlines()[-1].split()
    assert last[0] == "imported"
    return {*last[1:]}


@pytest.mark.parametrize("args", [["--help"], ["--version"]], ids=str)
def test_the_help_and_the_version_import_the_command_line_alone(args: list[str]) -> None:
    modules = imported(*args)
    own = {name.removeprefix("charrnn.") for name in modules if name.startswith("charrnn.")}
    assert own == {"cli", "cli.commands", "cli.streams", "cli.values", "curve", "errors", "glyphs", "terminal"}
    assert not modules & {*NEVER, "numpy", "json", "hashlib", "secrets", "zipfile"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_no_other(name: str) -> None:
    modules = imported(name, "--help")
    assert {other for other in COMMANDS if f"charrnn.cli.{other}" in modules} == {name}
    assert not modules & {*NEVER, "numpy", "zipfile"}


@pytest.mark.parametrize(
    ("args", "others"),
    [
        (["sample", "-n", 1], {"corpus", "train", "evaluate", "cli.train", "cli.eval"}),
        (["eval", "a.txt"], {"train", "plan", "baselines", "cli.train", "cli.sample"}),
    ],
    ids=["sample", "eval"],
)
def test_a_command_imports_what_it_needs(model: Path, args: list[object], others: set[str]) -> None:
    assert not imported(*args) & ({f"charrnn.{name}" for name in others} | NEVER)


FROZEN = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))
"""


def test_at_its_end_a_command_looks_for_no_cycles(model: Path) -> None:
    assert int(ok("sample", "-n", 1, "-q", prelude=FROZEN).err) > 10_000  # objects: all that there are


def test_training_without_a_bar_needs_neither_it_nor_pydantic(work: Path) -> None:
    assert not imported("train", "a.txt", "--steps", 1, "--hidden-size", 4) & {"pydantic", "rich", "tqdm"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_program_has_the_first_line_of_each_commands_own(name: str) -> None:
    function, summary = COMMANDS[name]
    assert getattr(import_module(f"charrnn.cli.{name}"), function).__doc__.splitlines()[0] == summary


def test_a_command_misspelt_is_named_and_the_nearest_proposed() -> None:
    refused(charrnn("trian"), 2, "trian", "'train'")


# ---- values ----


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(), st.floats(allow_nan=False))
def test_numbers_are_read_as_they_are_written(whole: int, real: float) -> None:
    assert integer("--n", str(whole)) == whole
    assert (number("--x", str(real)), number("--x", str(whole))) == (real, float(whole))


def test_switches_have_the_words_that_people_use() -> None:
    for word, value in SWITCHES.items():
        assert switch("--quiet", f" {word.upper()} ") is value
    with pytest.raises(UsageError, match=r"^--quiet perhaps: "):
        switch("--quiet", "perhaps")


@pytest.mark.parametrize(
    ("args", "env", "told"),
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
def test_a_value_that_is_none_is_refused_by_its_options_name(args: list[str], env: dict[str, str], told: str) -> None:
    refused(charrnn(*args, env=env), 2, told)


def test_every_parameter_has_a_reader_so_that_none_needs_pydantic() -> None:
    program: Any = get_command(app)
    assert "pydantic" not in sys.modules
    for command in (program, *(program.commands[name] for name in COMMANDS)):
        with command.make_context("x", [], resilient_parsing=True):
            assert [p.name for p in command.params if p.get_runtime_param().__module__ != "charrnn.cli.values"] == []
