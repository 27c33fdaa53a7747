"""The pages for those who begin and for those who change the code: what they name exists, what they say to do works."""

import re
import shlex
from pathlib import Path
from pkgutil import resolve_name

import pytest

from charrnn.cli.commands import COMMANDS
from tests.helpers.cli_page import options
from tests.helpers.command import TEXT, in_bash, on_terminal
from tests.test_imports import LEVEL

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
TOUR = (ROOT / "docs" / "tour.md").read_text("utf-8")
SMALL = {"CHARRNN_HIDDEN_SIZE": "8", "CHARRNN_NUM_LAYERS": "1", "CHARRNN_BATCH_SIZE": "10", "NO_COLOR": "1"}
FLAG = r"(?<![\w-])--?[a-z][\w-]*"


def test_the_architecture_names_functions_tests_and_files_that_exist() -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", ARCHITECTURE)
    functions = re.findall(r"`((?:cells|config|dynamic|evaluate|forecast|model|train)\.[\w.]+)`", ARCHITECTURE)
    assert (len(tests) > 9, len(functions) > 8) == (True, True)
    for path, name in tests:
        assert callable(resolve_name(f"{path.removesuffix('.py').replace('/', '.')}:{name}")), name
    for function in functions:
        assert resolve_name(f"charrnn.{function}"), function
    for path in re.findall(r"`((?:tests|cli)/[\w/]+\.py)`", ARCHITECTURE):
        assert (ROOT / path).exists() or (ROOT / "charrnn" / path).exists(), path


def test_every_module_has_a_room() -> None:
    rooms = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", ARCHITECTURE, re.M)))
    assert sorted(rooms) == sorted({*LEVEL} - {"__init__", "__main__"})


def test_what_the_diffs_add_stands_in_the_code_and_what_they_take_away_does_not() -> None:
    diffs = "".join(re.findall(r"^```diff\n(.*?)^```", ARCHITECTURE, re.M | re.S))
    files = re.findall(r"^--- a/(.*)\n((?:(?!---).*\n)*)", diffs, re.M)
    assert len(files) > 13
    for path, body in files:
        assert re.findall(r"^(?![+-]|@@$).+", body, re.M) == [], path
        code, end = f"\n{(ROOT / path).read_text('utf-8')}", 0
        for hunk in body.split("@@\n"):
            lines = "".join(f"\n{line}" for line in re.findall(r"^\+(.*)", hunk, re.M))
            end = code.find(f"{lines}\n", end) + 1
            assert end > 0, f"{path} has these lines no more, or in another order:{lines}"
        assert [line for line in re.findall(r"^-(.*)", body, re.M) if f"\n{line}\n" in code] == []


def test_the_links_of_the_pages_lead_somewhere() -> None:
    for page in ("architecture.md", "tour.md", "library.md", "recipes.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        for link in re.findall(r"\]\(([^)#:]+)", text):
            assert (ROOT / "docs" / link).exists(), (page, link)


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md", "docs/library.md", "docs/bptt.md", "corpora/README.md"])
def test_the_commands_on_a_page_have_the_options_that_it_gives_them(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for name, rest in re.findall(rf"charrnn ({'|'.join(COMMANDS)})\b([^\n`#|]*)", text):
        known = {flag for head, *_ in options(name) for flag in re.findall(FLAG, head)}
        assert {*re.findall(FLAG, rest)} <= known, (page, name, rest)


# ---- README ----


def test_the_ten_lines_of_the_readme_work(tmp_path: Path) -> None:
    section = README.split("\n## What it does\n")[1]
    first, *rest = re.findall(r"^    ((?:tail|charrnn) .*?) +#", section, re.M)
    assert len(rest) == 9
    copies = "for name in en de fr log; do cp checkpoints/novel.npz checkpoints/$name.npz; done"
    script = "\n".join([first, copies, *rest]).replace("tail -f", "cat").replace("--count 1000", "--count 20")
    for name in ("novel.txt", "letters.txt", "server.log"):
        (tmp_path / name).write_text(TEXT.replace("than", "than 2026-11-22, It was"))
    result = in_bash(re.sub(r"--time \S+", "--steps 2", script), tmp_path, SMALL)
    assert result.code == 0, result.err
    assert len(re.findall(r"^\d{4}-\d\d-\d\d$", result.text, re.M)) == 20


# ---- what the pages show ----

BUDGETS = {r"--time \S+": "--steps 4", r"--epochs \S+": "--steps 40", r"--sample-every \S+": "--sample-every 2"}


def transcripts(page: str) -> list[tuple[str, str]]:
    """The commands of a page, and what it shows below each, in fences or indented."""
    indented = re.findall(r"^    \$ (charrnn .*)\n((?:    (?!\$).*\n|\n(?=    (?!\$)))*)", page, re.M)
    fenced = re.findall(r"^```console\n\$ (.*)\n((?:(?!```).*\n)*)```", page, re.M)
    return fenced + [(line, re.sub(r"(?m)^    ", "", told)) for line, told in indented]


def shape(line: str) -> str:
    """A line without what differs between runs: its figures, its times, its budget, the dots of a plot, blanks."""
    figures = re.sub(r"(\d[\d,.]*[dhms]?)+", "#", re.sub(r"\|[ .o*]+$", "|", line))
    return " ".join(re.sub(r"\(.*# (?:steps|epochs|seconds)\)$|\(default\)$", "(#)", figures).split())


def shows(line: str, told: str) -> None:
    """Run a command of a page in small; assert that what the page shows of it has the shape of what is seen."""
    for budget, tiny in BUDGETS.items():
        line = re.sub(budget, tiny, line)
    result = on_terminal(*shlex.split(line)[1:], env=SMALL, columns=100)
    assert result.code == 0, result.err
    if " sample " in line:
        assert len(told) == len(result.text), line
        return
    seen = [shape(part) for part in re.split(r"[\r\n]", result.err + result.text)]
    for expected in map(shape, told.splitlines()):
        if expected != "...":
            assert expected in seen, line
            seen = seen[seen.index(expected) + 1 :]


def test_the_commands_of_the_tour_work_and_show_what_it_says(work: Path) -> None:
    (work / "texts").mkdir()
    for name in ("texts/a.txt", "texts/b.txt"):
        Path(name).write_text(TEXT.replace("than", "KING than"))
    Path("LICENSE").write_text(TEXT + "©")
    done = transcripts(TOUR)
    assert len(done) == 10
    for line, told in done:
        shows(line, told)
    assert {path.name for path in (work / "checkpoints").iterdir()} == {"first.npz", "good.npz", "best.npz"}


def test_the_run_in_the_readme_has_the_shape_of_one(work: Path) -> None:
    Path("tinyshakespeare.txt").write_text(TEXT)
    done = transcripts(README)
    assert [line.split()[1] for line, _ in done] == ["train", "sample"]
    for line, told in done:
        assert told
        shows(line, told)
