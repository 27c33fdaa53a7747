import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import ENVIRONMENT, ok, terminal

HEAVY = """
import atexit, sys
atexit.register(lambda: print(sorted({"numpy", "tqdm", "rich", "pydantic"} & sys.modules.keys()), file=sys.stderr))
"""


@pytest.fixture
def models(work: Path) -> Path:
    """Models by name, other files beside them, and a text; completion does not open models."""
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
    """Return what an interactive bash would offer at the end of a line: the program's completions, or files."""
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
    ("typed", "line"),
    [
        ("charrnn eval -m novel --against po\t", "charrnn eval -m novel --against poems "),
        ("charrnn sample --model=nov\t", "charrnn sample --model=novel "),
        ("charrnn eval -m novel --against=po\t", "charrnn eval -m novel --against=poems "),
        ("charrnn train novella.txt --init-from=po\t", "charrnn train novella.txt --init-from=poems "),
        ("charrnn info --model=no\t\t", "notes  novel"),
        ("charrnn info --model=\t\t", "notes  novel  poems"),
    ],
)
def test_a_bash_that_a_person_types_into_completes_a_value_after_an_equals_sign(
    models: Path, typed: str, line: str
) -> None:
    env = {**ENVIRONMENT, "PATH": f"{models / 'bin'}:{os.environ['PATH']}", "PS1": "$ ", "TERM": "dumb"}
    screen, stream = pty.openpty()  # which echoes: bash shows what is typed only on such a terminal
    with shell_on(screen, stream, ["bash", "--norc", "--noprofile", "-i"], env, models):
        os.write(screen, b'eval "$(_CHARRNN_COMPLETE=source_bash charrnn)"; echo "rea""dy"\n')
        read_to(screen, "ready")
        os.write(screen, typed.encode())
        read_to(screen, " ".join(line.split()))


@contextmanager
def shell_on(screen: int, stream: int, command: list[str], env: dict[str, str], folder: Path) -> Iterator[None]:
    """Run an interactive shell on a terminal, and kill it in the end."""
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), stream)
    with subprocess.Popen(command, **streams, env=env, cwd=folder, start_new_session=True) as process:
        os.close(stream)
        try:
            yield
        finally:
            process.kill()
            os.close(screen)


TYPED = {
    "charrnn s": "sample",
    "charrnn info --model no": "notes novel",
    "charrnn train --sam": "--sample-every",
    "charrnn train novell": "novella.txt",
}


def check_fish(shell: str, env: dict[str, str]) -> None:
    commands = "; ".join(f"complete -C '{line}'; echo ====" for line in TYPED)
    script = f"_CHARRNN_COMPLETE=source_fish charrnn | source; {commands}"
    done = subprocess.run([shell, "--no-config", "-c", script], env=env, capture_output=True, text=True, timeout=60)
    shown = [[row.split("\t")[0] for row in rows.splitlines()] for rows in done.stdout.split("====\n")[:-1]]
    assert [" ".join(names) for names in shown] == [*TYPED.values()]


def check_zsh(shell: str, env: dict[str, str]) -> None:
    screen, stream = terminal(100)
    script = 'autoload -U compinit; compinit -u -D; eval "$(_CHARRNN_COMPLETE=source_zsh charrnn)"; print "rea""dy"'
    with shell_on(screen, stream, [shell, "-f", "-i"], env, Path.cwd()):
        os.write(screen, f"{script}\n".encode())
        read_to(screen, "ready")
        for line, offered in TYPED.items():
            os.write(screen, f"{line}\t".encode())
            read_to(screen, offered)
            os.write(screen, b"\x15")  # clears the line


def read_to(screen: int, words: str) -> None:
    """Read a terminal until some words appear, with any blanks between them."""
    seen = ""
    while words not in " ".join(seen.split()):
        assert select.select([screen], [], [], 30)[0], (words, seen)
        seen += os.read(screen, 1 << 16).decode()


@pytest.mark.parametrize(("name", "check"), [("fish", check_fish), ("zsh", check_zsh)], ids=["fish", "zsh"])
def test_fish_and_zsh_offer_the_same(models: Path, name: str, check: Callable[[str, dict[str, str]], None]) -> None:
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"{name} is not installed, so its completion is not tested")
    env = {**ENVIRONMENT, "PATH": f"{models / 'bin'}:{os.environ['PATH']}", "HOME": str(models), "ZDOTDIR": str(models)}
    check(shell, env)


@pytest.mark.parametrize(
    ("shell", "env", "offered"),
    [
        ("zsh", {}, '_arguments \'*: :(("notes"\n"novel"))\''),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "notes\nnovel"),
        ("bash", {"COMP_WORDS": "charrnn eval -m no", "COMP_CWORD": "3"}, "notes\nnovel"),
    ],
)
def test_each_shell_gets_its_own_format_and_nothing_heavy_is_imported(
    models: Path, shell: str, env: dict[str, str], offered: str
) -> None:
    settings = {"_CHARRNN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "charrnn eval -m no", **env}
    result = ok(env=settings, prelude=HEAVY)
    assert (result.text.strip(), result.err) == (offered, "[]\n")


HOSTILE = ("x$(touch HERE)", "x`touch HERE`", "x;touch HERE", "x\ny", "x y", "-x", "x'", "x&", "~x", "x:y", "*", "x\\")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_model_whose_name_a_shell_would_evaluate_is_not_offered(models: Path, shell: str) -> None:
    for name in (*HOSTILE, "größe-1.5"):
        (models / "checkpoints" / f"{name}.npz").touch()
    settings = {"COMP_WORDS": "charrnn sample -m ", "COMP_CWORD": "3", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    settings |= {"_CHARRNN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "charrnn sample -m "}
    offered = ok(env=settings).text
    assert set(re.findall(r"[^\s\"()]+", offered.split("((")[-1].split("))")[0])) == {
        *("größe-1.5", "notes", "novel", "poems")
    }


def test_models_are_completed_in_the_folder_of_models(models: Path) -> None:
    settings = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn eval -m ", "COMP_CWORD": "3"}
    assert ok(env={**settings, "CHARRNN_CHECKPOINTS": "bin"}).text.strip() == ""
