"""The pages for those who begin and for those who change the code: what they name exists, what they say to do works."""

import re
import shutil
import subprocess
from pathlib import Path
from pkgutil import resolve_name

from tests.helpers.command import ENVIRONMENT, TEXT, command
from tests.test_imports import LEVEL

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TOUR = (ROOT / "docs" / "tour.md").read_text("utf-8")


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
    for page in ("architecture.md", "tour.md", "library.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        for link in re.findall(r"\]\(([^)#:]+)", text):
            assert (ROOT / "docs" / link).exists(), (page, link)


def test_the_commands_of_the_tour_work_with_tiny_budgets(tmp_path: Path) -> None:
    commands = re.findall(r"^    \$ (.*)$", TOUR, re.M)
    assert len(commands) == 10
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_text(TEXT.replace("than", "KING than"))
    (tmp_path / "other.txt").write_text(TEXT)
    line = " ".join(f"'{part}'" for part in command())
    tiny = [re.sub(r"--time \S+", "--steps 4", re.sub(r"--epochs \d+", "--steps 30", words)) for words in commands]
    script = f'set -e -o pipefail\ncharrnn() {{ {line} "$@"; }}\n' + "\n".join(tiny)
    bash = shutil.which("bash")
    assert bash
    small = {"CHARRNN_HIDDEN_SIZE": "8", "CHARRNN_NUM_LAYERS": "1", "CHARRNN_BATCH_SIZE": "10"}
    env = {**ENVIRONMENT, **small}
    run = subprocess.run([bash, "-c", script], cwd=tmp_path, env=env, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr.decode()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"first.npz", "good.npz", "best.npz"}
