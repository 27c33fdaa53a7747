"""The direction of imports: who may know whom, and who may open files."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import charrnn

PACKAGE = Path(charrnn.__file__).parent

# From the bottom up: a module knows those of lower rows only. A new module is placed here first.
LEVELS = [
    {"__init__", "errors"},
    {"chart", "config", "curve", "glyphs", "places"},
    {"pictures"},
    {"ops", "threads", "workers"},
    {"cells", "head", "optim"},
    {"network"},
    {"grams", "model", "vocab"},
    {"baselines", "corpus", "evaluate", "novelty", "sampling", "schedule"},
    {"checkpoint", "dynamic", "memory", "neurons", "rules"},
    {"library"},
    {"export"},
    {"step"},
    {"train"},
    {"plan"},
    {"forecast", "transfer"},
    {"terminal"},
    {"cli"},
    {"__main__"},
]
LEVEL = {module: level for level, modules in enumerate(LEVELS) for module in modules}
KNOWS_ONLY = {
    **{"ops": set[str](), "cells": {"ops"}, "optim": {"ops"}, "pictures": {"errors", "glyphs"}},
    "terminal": {"chart", "errors", "config", "curve", "glyphs", "pictures"},
}
# Who may import what is not Python's own:
OWNERS = {"numpy": "all", "typer": "cli", "tqdm": "terminal", "rich": "terminal", "regex": "rules"}

DOORS = {"charrnn.library.Model", "charrnn.library.load", "charrnn.export.to_torch_state_dict"}  # the package's, late

OPENS_FILES = {"checkpoint", "corpus"}
OPENING_METHODS = {
    *("open", "fdopen", "read_bytes", "read_text", "write_bytes", "write_text", "TemporaryFile", "NamedTemporaryFile"),
    *("memmap", "fromfile", "tofile", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt"),
}
OPENING_FUNCTIONS = {"open", "np.load", "np.save"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def may_import(module: str, name: str) -> bool:
    top, *below = name.split(".")
    if module == "__init__":
        return name in DOORS or top in sys.stdlib_module_names
    if top != "charrnn":
        return top in sys.stdlib_module_names or OWNERS.get(top) in ("all", module)
    other = below[0] if below and below[0] in LEVEL else "__init__"
    lower = LEVEL[other] < LEVEL[module] and other in KNOWS_ONLY.get(module, LEVEL)
    return lower or other == module


def opens_a_file(call: ast.Call) -> bool:
    function = ast.unparse(call.func)
    opening = function in OPENING_FUNCTIONS or ("." in function and function.split(".")[-1] in OPENING_METHODS)
    return opening and "os.devnull" not in map(ast.unparse, call.args)


def violations(module: str, source: str) -> list[str]:
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    opening = [call for call in calls if module not in OPENS_FILES and opens_a_file(call)]
    return [
        *(f"{module} imports {name}" for name in imported(tree) if not may_import(module, name)),
        *(f"{module} opens a file: {ast.unparse(call)}" for call in opening),
    ]


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_its_place() -> None:
    assert {module_of(path) for path in SOURCES} == set(LEVEL)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_knows_only_those_below_it(path: Path) -> None:
    assert violations(module_of(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cells", "from charrnn.model import CharRNN"),
        ("model", "import charrnn.train as t"),
        ("sampling", "def late():\n    from charrnn import train"),
        ("terminal", "if TYPE_CHECKING:\n    from charrnn.train import Report"),
        ("vocab", "from charrnn.model import CharRNN"),
        ("optim", "from charrnn.config import TrainConfig"),
        ("errors", "from charrnn.config import require"),
        ("vocab", "from . import ops"),
        ("vocab", "from .ops import Ids"),
        ("train", "import tqdm"),
        ("cli", "from rich.table import Table"),
        ("terminal", "import typer"),
        ("model", "import torch.nn"),
        ("train", "open('log', 'a')"),
        ("cli", "Path(name).read_text()"),
        ("cli", "os.open(name, os.O_RDONLY)"),
        ("evaluate", "x = [np.load(name) for name in names]"),
    ],
)
def test_a_violation_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli", "import typer\nfrom charrnn import __version__, train\nfrom charrnn.cli.streams import run"),
        ("cli", "read_text(name)\nos.open(os.devnull, os.O_WRONLY)\nsys.stdout.buffer.write(b'')\nstore.save(x)"),
        ("checkpoint", "from charrnn.optim import OPTIMIZERS\npath.open('rb')"),
        ("cells", "import numpy as np\nfrom charrnn.ops import Array\nfrom charrnn.cells.cell import Cell"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
