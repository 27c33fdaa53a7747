"""The pages for those who begin and for those who change the code: what they name exists, what they say to do works."""

import re
import shutil
import subprocess
from pathlib import Path
from pkgutil import resolve_name

from tests.helpers.command import ENVIRONMENT, TEXT, command

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TOUR = (ROOT / "docs" / "tour.md").read_text("utf-8")


def test_the_architecture_names_modules_functions_tests_and_files_that_exist() -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", ARCHITECTURE)
    functions = re.findall(r"`((?:cells|config|dynamic|evaluate|forecast|model|train)\.[\w.]+)`", ARCHITECTURE)
    modules = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", ARCHITECTURE, re.M)))
    assert (len(tests) > 7, len(functions) > 8, len(modules) > 18) == (True, True, True)
    for path, name in tests:
        assert callable(resolve_name(f"{path.removesuffix('.py').replace('/', '.')}:{name}")), name
    for function in functions:
        assert resolve_name(f"charrnn.{function}"), function
    packages = {path.name.removesuffix(".py") for path in (ROOT / "charrnn").iterdir()}
    assert {*modules} <= packages
    for path in re.findall(r"`((?:tests|cli)/[\w/]+\.py)`", ARCHITECTURE):
        assert (ROOT / path).exists() or (ROOT / "charrnn" / path).exists(), path


def test_the_lines_that_its_diffs_add_stand_in_the_code() -> None:
    parts = re.split(
        r"^--- a/(.*)\n", "".join(re.findall(r"^```diff\n(.*?)^```", ARCHITECTURE, re.M | re.S)), flags=re.M
    )
    added = {(path, line[1:]) for path, body in zip(parts[1::2], parts[2::2], strict=True)
             for line in body.splitlines() if line.startswith("+")}  # fmt: skip
    assert len(added) > 25
    for path, line in sorted(added):
        if path not in ("charrnn/cli/eval.py", "tests/test_imports.py"):  # which have gone on since
            assert line in (ROOT / path).read_text("utf-8").split("\n"), (path, line)


def test_the_links_of_the_pages_lead_somewhere() -> None:
    for page in ("architecture.md", "tour.md", "library.md", "recipes.md"):
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
