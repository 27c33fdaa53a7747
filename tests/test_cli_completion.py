import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command import ENVIRONMENT, ok

HEAVY = """
import atexit, sys
atexit.register(lambda: print(sorted({"numpy", "tqdm"} & sys.modules.keys()), file=sys.stderr))
"""


@pytest.fixture
def models(work: Path) -> Path:
    """Models by name, files beside them that are none, and a text; what a model holds is not looked at."""
    for name in ("novel.npz", "notes.npz", "poems.npz", ".novel.npz.1.tmp", "novel.npz.lock", "README.md"):
        path = work / "checkpoints" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (work / "novella.txt").touch()
    program = work / "bin" / "charrnn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m charrnn "$@"\n')
    program.chmod(0o755)
    return work


def in_bash(folder: Path, line: str) -> list[str]:
    """What an interactive bash would offer at the end of a line: the program's own, else its default, files."""
    words = line.split(" ")
    bash = shutil.which("bash")
    assert bash
    script = f"""
eval "$(_CHARRNN_COMPLETE=source_bash charrnn)"
complete -p charrnn | grep -q -- '-o default' || exit 3
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
_charrnn_completion charrnn
[ ${{#COMPREPLY[@]}} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- '{words[-1]}')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = {**ENVIRONMENT, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "--norc", "-c", script], cwd=folder, env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return sorted(done.stdout.decode().split())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("charrnn s", ["sample"]),
        ("charrnn sample -m ", ["notes", "novel", "poems"]),
        ("charrnn info --model no", ["notes", "novel"]),
        ("charrnn train --init-from p", ["poems"]),
        ("charrnn train --sam", ["--sample-every"]),
        ("charrnn train --normalize nf", ["nfc", "nfd"]),
        ("charrnn train novell", ["novella.txt"]),
        ("charrnn sample -m checkpoints/not", ["checkpoints/notes.npz"]),
    ],
)
def test_bash_completes_commands_options_models_and_files(models: Path, line: str, offered: list[str]) -> None:
    assert in_bash(models, line) == offered


@pytest.mark.parametrize(
    ("shell", "env", "offered"),
    [
        ("zsh", {}, '_arguments \'*: :(("notes"\n"novel"))\''),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "notes\nnovel"),
        ("bash", {"COMP_WORDS": "charrnn eval -m no", "COMP_CWORD": "3"}, "notes\nnovel"),
    ],
)
def test_each_shell_is_told_in_its_own_way_and_nothing_heavy_is_imported(
    models: Path, shell: str, env: dict[str, str], offered: str
) -> None:
    asked = {"_CHARRNN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "charrnn eval -m no", **env}
    result = ok(env=asked, prelude=HEAVY)
    assert (result.text.strip(), result.err) == (offered, "[]\n")


def test_models_are_completed_in_the_folder_that_is_named(models: Path) -> None:
    asked = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn eval -m ", "COMP_CWORD": "3"}
    assert ok(env={**asked, "CHARRNN_CHECKPOINTS": "bin"}).text.strip() == ""
