"""The pages for users and for contributors: links work, names exist, commands run and print what is shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from charrnn.cli.commands import COMMANDS
from tests.helpers.cli_page import options
from tests.helpers.command import TEXT, in_bash, on_terminal
from tests.test_imports import FLOOR, FLOORS

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.name for path in (ROOT / "charrnn").iterdir() if (path / "__init__.py").exists())
PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "docs", "benchmarks", "corpora", "checkpoints", "tests/robustness")
    for path in (ROOT / folder).glob("*.md")
)
SMALL = {"CHARRNN_HIDDEN_SIZE": "8", "CHARRNN_NUM_LAYERS": "1", "CHARRNN_BATCH_SIZE": "10", "NO_COLOR": "1"}
FLAG = r"(?<![\w-])--?[a-z][\w-]*"


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text("utf-8")


ARCHITECTURE, README, TOUR = map(read, ("docs/architecture.md", "README.md", "docs/tour.md"))


# ---- links and names ----


def anchors(text: str) -> set[str]:
    """Return the anchors of the titles of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the anchor, each possibly empty, of every link that stays within the project."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            yield file, anchor


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_to_files_and_titles_that_exist(page: str) -> None:
    for file, anchor in links(read(page)):
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target.read_text("utf-8")), (file, anchor)


def test_the_pages_are_found_and_have_links() -> None:
    assert {"README.md", "docs/tour.md", "docs/decisions.md", "benchmarks/README.md", "corpora/README.md"} <= {*PAGES}
    assert sum(1 for page in PAGES for _ in links(read(page))) > 60


@pytest.mark.parametrize("page", PAGES)
def test_the_names_in_a_page_exist(page: str) -> None:
    text, rooms = read(page), "|".join(ROOMS)
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert callable(resolve_name(f"{path.removesuffix('.py').replace('/', '.')}:{name}")), name
    for name in re.findall(rf"`((?:{rooms})\.(?!py`)\w+\.[\w.]+)`", text):
        assert resolve_name(f"charrnn.{name}") is not None, name
    for path in re.findall(rf"`(?:charrnn/)?((?:{rooms})/[a-z_/]+\.py)`", text):
        assert (ROOT / "charrnn" / path).exists(), path


def test_the_architecture_names_many_functions_tests_and_files() -> None:
    tests = re.findall(r"`tests/[\w/]+\.py::\w+`", ARCHITECTURE)
    functions = re.findall(r"`(?:core|evaluation|training)\.\w+\.[\w.]+`", ARCHITECTURE)
    files = re.findall(rf"`(?:{'|'.join(ROOMS)})/[\w/]+\.py`", ARCHITECTURE)
    assert (len(tests) > 5, len(functions) > 5, len(files) > 40) == (True, True, True)


def test_the_drawing_has_every_room() -> None:
    drawing = re.findall(r"^```\n(.*?)^```", ARCHITECTURE, re.M | re.S)[0]
    for room in FLOOR:
        assert re.search(rf"\b{room}\b", drawing), room
    assert len(re.findall(r"^\d ", drawing, re.M)) == len(FLOORS)


def test_the_table_of_changes_has_about_twenty_lines() -> None:
    table = ARCHITECTURE.split("## Where do I change")[1].split("\n## ")[0]
    assert 20 <= len(re.findall(r"^\| (?!to change|---).* \|$", table, re.M)) <= 24


# ---- commands ----


def commands(text: str) -> list[tuple[str, str]]:
    """Return each command that a page names, and its arguments: the line up to a pipe, a comment or the code's end."""
    return re.findall(rf"charrnn ({'|'.join(COMMANDS)})\b([^\n`#|]*)", text)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_on_a_page_have_the_options_that_are_given_to_them(page: str) -> None:
    for name, rest in commands(read(page)):
        known = {flag for head, *_ in options(name) for flag in re.findall(FLAG, head)}
        assert {*re.findall(FLAG, rest)} <= known, (name, rest)


def test_the_pages_name_many_commands() -> None:
    assert sum(len(commands(read(page))) for page in PAGES) > 150


def test_the_commands_for_each_of_the_readmes_users_work(tmp_path: Path) -> None:
    users = [
        README.split(f"\n## If you {what}\n")[1].split("\n## ")[0]
        for what in ("write", "have logs", "study how it works")
    ]
    lines = [re.findall(r"^    ((?:tail|charrnn) .*?)(?: +#.*)?$", user, re.M) for user in users]
    assert [len(some) for some in lines] == [3, 4, 3]
    for name in ("novel.txt", "monday.log", "tuesday.log", "app.log"):
        (tmp_path / name).write_text(25 * TEXT.replace("than", "than 2026-11-22, It was"))
    script = (
        "\n".join(line for some in lines for line in some)
        .replace("tail -F", "cat")
        .replace("--count 1000", "--count 20")
    )
    result = in_bash(re.sub(r"--time \S+", "--steps 2", script), tmp_path, SMALL)
    assert result.code == 0, result.err
    assert result.text.startswith("It was a")
    assert len(re.findall(r"^\d{4}-\d\d-\d\d$", result.text, re.M)) == 20


def test_the_networks_that_the_derivation_compares_are_trained_and_drawn(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```sh\n(.*?)^```", read("docs/bptt.md"), re.M | re.S)
    (tmp_path / "docs").mkdir()
    small = script.replace("--steps 500", "--steps 1").replace("--hidden-size 128", "--hidden-size 8")
    for part in small.split("done\n")[0] + "done\n", small.split("done\n")[1]:
        result = in_bash(part, tmp_path, {"CHARRNN_BATCH_SIZE": "10", "CHARRNN_VAL_FRACTION": "0.01"})
        assert result.code == 0, result.err
    assert re.search(r"^16(\t\S+){8}$", result.text, re.M)  # a gradient and bits of each of the four
    assert (tmp_path / "docs" / "memory.svg").exists()


def test_the_job_of_a_sweep_trains_its_share_of_the_settings(tmp_path: Path) -> None:
    sweep = read("docs/cluster.md").split("\n## Sweeps over settings\n")[1].split("\n## ")[0]
    (tmp_path / "corpus.txt").write_text(5 * TEXT)
    script = "\n".join([*re.findall(r"^    (.*)$", sweep, re.M), *re.findall(r"^`(for .*)` ", sweep, re.M)])
    small = script.replace("128 256 512", "8 16 24")
    result = in_bash(small, tmp_path, {"SLURM_ARRAY_TASK_ID": "4", "CHARRNN_TRAIN_STEPS": "2"})
    assert result.code == 0, result.err
    assert result.text.startswith("checkpoints/h16-s4.npz\n")
    assert "seed 4" in result.text


# ---- what the pages show ----

BUDGETS = {r"--time \S+": "--steps 4", r"--epochs \S+": "--steps 40", r"--sample-every \S+": "--sample-every 2"}


def transcripts(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page, each with the output shown below it, fenced or indented."""
    indented = re.findall(r"^    \$ (charrnn .*)\n((?:    (?!\$).*\n|\n(?=    (?!\$)))*)", page, re.M)
    fenced = re.findall(r"^```console\n\$ (.*)\n((?:(?!```).*\n)*)```", page, re.M)
    return fenced + [(line, re.sub(r"(?m)^    ", "", shown)) for line, shown in indented]


def shape(line: str) -> str:
    """Return a line without what differs between runs: figures, times, the budget, the points of a plot, blanks."""
    figures = re.sub(r"(\d[\d,.]*[dhms]?)+", "#", re.sub(r"\|[ .o*]+$", "|", line))
    return " ".join(re.sub(r"\(.*# (?:steps|epochs|seconds)\)$|\(default\)$", "(#)", figures).split())


def assert_output(line: str, shown: str) -> None:
    """Run a command of a page with a small budget; assert that its output has the shape of what the page shows."""
    for budget, small in BUDGETS.items():
        line = re.sub(budget, small, line)
    result = on_terminal(*shlex.split(line)[1:], env=SMALL, columns=100)
    assert result.code == 0, result.err
    if " sample " in line:
        assert len(shown) == len(result.text), line
        return
    printed = [shape(part) for part in re.split(r"[\r\n]", result.err + result.text)]
    for expected in map(shape, shown.splitlines()):
        if expected != "...":
            assert expected in printed, line
            printed = printed[printed.index(expected) + 1 :]


def test_the_commands_of_the_tour_work_and_print_what_it_shows(work: Path) -> None:
    (work / "texts").mkdir()
    for name in ("texts/a.txt", "texts/b.txt"):
        Path(name).write_text(TEXT.replace("than", "KING than"))
    Path("LICENSE").write_text(TEXT + "©")
    steps = transcripts(TOUR)
    assert len(steps) == 10
    for line, shown in steps:
        assert_output(line, shown)
    assert {path.name for path in (work / "checkpoints").iterdir()} == {"first.npz", "good.npz", "best.npz"}


def test_the_commands_of_the_readme_print_what_it_shows(work: Path) -> None:
    Path("tinyshakespeare.txt").write_text(TEXT)
    steps = transcripts(README)
    assert [line.split()[1] for line, _ in steps] == ["train", "sample"]
    for line, shown in steps:
        assert shown
        assert_output(line, shown)


def test_the_readme_is_short_and_its_code_fits_into_the_box_of_github() -> None:
    lines = README.splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if line.startswith("    ") and len(line[4:]) > 100] == []


def test_nothing_says_to_install_the_package_of_a_stranger() -> None:
    """The name charrnn on the package index belongs to another project."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *(ROOT / "charrnn").rglob("*.py")]
    wrong = re.compile(r"(pip|uv)[^\n`]* install [^\n`]*\bcharrnn(?![-\w/])(?!\s*@)")
    assert [path.name for path in paths if wrong.search(path.read_text("utf-8"))] == []
    assert wrong.search("pip install 'charrnn[regex]'")
    assert not wrong.search("pip install 'charrnn-numpy[regex]'")
