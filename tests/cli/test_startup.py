"""The imports of each command, which take most of its start-up time."""

from importlib import import_module
from pathlib import Path

import pytest

from charrnn.cli.commands import COMMANDS
from tests.helpers.command import charrnn, ok, refused

PRINT_IMPORTS = """
import atexit, sys
atexit.register(lambda: print("imported", *sys.modules, file=sys.stderr))
"""
NEVER = {"pydantic", "rich", "tqdm", "logging", "unittest", "numpy.ma", "numpy.testing", "concurrent.futures"}


def imported(*args: object, **env: str) -> set[str]:
    """Return the modules that a successful command has imported."""
    last = ok(*args, prelude=PRINT_IMPORTS, env=env).err.splitlines()[-1].split()
    assert last[0] == "imported"
    return {*last[1:]}


@pytest.mark.parametrize("args", [["--help"], ["--version"]], ids=str)
def test_help_and_version_import_only_the_command_line(args: list[str]) -> None:
    modules = imported(*args)
    own = {name.removeprefix("charrnn.") for name in modules if name.startswith("charrnn.")}
    assert own == {
        *(
            "cli",
            "cli.commands",
            "cli.completion",
            "cli.parsing",
            "cli.standard_streams",
            "cli.streams",
            "cli.variables",
        ),
        *("core", "core.errors"),
        *("parallel", "parallel.launcher", "plots", "plots.display_width", "terminal", "terminal.streams"),
    }
    assert not modules & {*NEVER, "numpy", "json", "hashlib", "secrets", "zipfile"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_no_other(name: str) -> None:
    modules = imported(name, "--help")
    assert {other for other in COMMANDS if f"charrnn.cli.{other}" in modules} == {name}
    assert not modules & {*NEVER, "numpy", "zipfile"}


@pytest.mark.parametrize(
    ("args", "others"),
    [
        (["sample", "-n", 1], {"data.corpus", "core.train", "evaluation.text", "cli.train", "cli.eval"}),
        (["eval", "a.txt"], {"core.train", "training.configure", "evaluation.baselines", "cli.train", "cli.sample"}),
    ],
    ids=["sample", "eval"],
)
def test_a_command_imports_what_it_needs(model: Path, args: list[object], others: set[str]) -> None:
    assert not imported(*args) & ({f"charrnn.{name}" for name in others} | NEVER)


FROZEN = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))
"""


def test_a_command_collects_no_garbage_at_exit(model: Path) -> None:
    assert int(ok("sample", "-n", 1, "-q", prelude=FROZEN).err) > 10_000  # objects, that is all of them


def test_training_without_a_bar_imports_neither_tqdm_nor_pydantic(work: Path) -> None:
    assert not imported("train", "a.txt", "--steps", 1, "--hidden-size", 4) & {"pydantic", "rich", "tqdm"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_program_has_the_first_line_of_the_help_of_each_command(name: str) -> None:
    function, summary = COMMANDS[name]
    assert getattr(import_module(f"charrnn.cli.{name}"), function).__doc__.splitlines()[0] == summary


def test_a_misspelt_command_is_refused_with_the_nearest_one() -> None:
    refused(charrnn("trian"), 2, "trian", "'train'")
