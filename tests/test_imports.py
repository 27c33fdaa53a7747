"""The house as docs/architecture.md draws it: which room may import which, and who may open files."""

import ast
import sys
from pathlib import Path

import pytest

import charrnn
from tests.helpers.imports import imported

PACKAGE = Path(charrnn.__file__).parent
BENCHMARKS = PACKAGE.parent / "benchmarks"

# From the bottom up: a room imports rooms of lower floors only.
FLOORS = [
    {"core", "plots"},
    {"data", "parallel", "terminal"},
    {"checkpoint", "evaluation", "sampling"},
    {"analysis", "training"},
    {"api"},
    {"__init__", "cli"},
    {"__main__", "benchmarks"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Rooms that may import fewer rooms than their floor allows:
ONLY = {"data": {"core"}, "parallel": {"core"}, "terminal": {"plots"}, "__init__": {"api", "core"}, "__main__": {"cli"}}
# Rooms that may import a package that is not in the standard library:
OWNERS = {"numpy": set(FLOOR) - {"__init__", "__main__"}, "typer": {"cli"}, "tqdm": {"terminal"}, "rich": {"terminal"}}
OWNERS |= {"lark": {"sampling"}, "mpi4py": {"parallel"}, "regex": {"sampling"}, "threadpoolctl": {"parallel"}}
OWNERS |= {"safetensors": {"checkpoint"}}
MAX_ARROWS = 50

OPENS_FILES = {"checkpoint", "data"}
OPENING_METHODS = {
    *("open", "fdopen", "read_bytes", "read_text", "write_bytes", "write_text", "TemporaryFile", "NamedTemporaryFile"),
    *("memmap", "fromfile", "tofile", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt"),
}
OPENING_FUNCTIONS = {"open", "np.load", "np.save"}

SOURCES = {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(name: str) -> str:
    """Return the room that a dotted name of the package is in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def arrows(room: str, source: str) -> set[tuple[str, str]]:
    """Return the imports from a module of a room to other rooms."""
    others = {room_of(name) for name in imported(ast.parse(source)) if name.split(".")[0] == "charrnn"}
    return {(room, other) for other in others - {room}}


def may_import(room: str, name: str) -> bool:
    top = name.split(".")[0]
    if top != "charrnn":
        return top in sys.stdlib_module_names or room in OWNERS.get(top, ())
    other = room_of(name)
    if other == room:
        return True
    return FLOOR[other] < FLOOR[room] and other in ONLY.get(room, FLOOR)


def opens_a_file(call: ast.Call) -> bool:
    function = ast.unparse(call.func)
    opening = function in OPENING_FUNCTIONS or ("." in function and function.split(".")[-1] in OPENING_METHODS)
    named = [*map(ast.unparse, call.args)]
    is_system = any(name == "os.devnull" or name.startswith("f'/proc/") for name in named)
    return opening and not is_system


def violations(room: str, source: str) -> list[str]:
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    opening = [call for call in calls if room not in OPENS_FILES and opens_a_file(call)]
    return [
        *(f"{room} imports {name}" for name in imported(tree) if not may_import(room, name)),
        *(f"{room} opens a file: {ast.unparse(call)}" for call in opening),
    ]


def test_every_room_is_on_a_floor() -> None:
    assert set(SOURCES.values()) | {"benchmarks"} == set(FLOOR)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    assert violations(SOURCES[path], path.read_text("utf-8")) == []


def test_the_house_is_small() -> None:
    found = set[tuple[str, str]]()
    for path, room in SOURCES.items():
        found |= arrows(room, path.read_text("utf-8"))
    for path in BENCHMARKS.glob("*.py"):
        found |= arrows("benchmarks", path.read_text("utf-8"))
    assert (len(FLOOR), len(FLOORS)) == (15, 7)
    assert 30 < len(found) <= MAX_ARROWS, sorted(found)
    assert [(room, other) for room, other in found if FLOOR[other] >= FLOOR[room]] == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "from charrnn.data.corpus import Corpus"),
        ("core", "import charrnn.training.configure as c"),
        ("core", "import tqdm"),
        ("plots", "from charrnn.core.errors import CharRNNError"),
        ("sampling", "def late():\n    from charrnn.api.model import load"),
        ("sampling", "from charrnn.evaluation.text import score"),
        ("terminal", "from charrnn.core.config import require"),
        ("terminal", "if TYPE_CHECKING:\n    from charrnn.core.train import Report"),
        ("terminal", "import typer"),
        ("data", "from charrnn.parallel.cores import core_count"),
        ("training", "import charrnn"),
        ("training", "from charrnn.api.model import Model"),
        ("cli", "from charrnn import __version__"),
        ("evaluation", "from ..core import ops"),
        ("cli", "from rich.table import Table"),
        ("core", "import torch.nn"),
        ("core", "open('log', 'a')"),
        ("cli", "Path(name).read_text()"),
        ("cli", "os.open(name, os.O_RDONLY)"),
        ("evaluation", "x = [np.load(name) for name in names]"),
    ],
)
def test_a_violation_is_found(room: str, source: str) -> None:
    assert len(violations(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("cli", "import typer\nfrom charrnn.core import __version__\nfrom charrnn.cli.streams import run"),
        ("cli", "read_text(name)\nos.open(os.devnull, os.O_WRONLY)\nsys.stdout.buffer.write(b'')\nstore.save(x)"),
        ("checkpoint", "from charrnn.core.optim import OPTIMIZERS\npath.open('rb')"),
        ("core", "import numpy as np\nfrom charrnn.core.ops import Array\nfrom charrnn.core.cells.cell import Cell"),
    ],
)
def test_what_is_allowed_passes(room: str, source: str) -> None:
    assert violations(room, source) == []
