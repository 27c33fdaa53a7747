import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from charrnn import __version__
from tests.helpers.command import ENVIRONMENT, TEXT, charrnn, command, ok

COMMANDS = ("train", "sample", "eval", "info")
DOCUMENT = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
FLAG = r"(?<![\w-])--?[a-z][\w-]*"
HEAVY = """
import atexit, sys
atexit.register(lambda: print(sorted({"numpy", "tqdm", "rich"} & sys.modules.keys()), file=sys.stderr))
"""


@cache
def help_of(*command: str) -> str:
    return ok(*command, "--help").text


def options_of(*command: str) -> dict[str, tuple[str, str]]:
    """Each option's names and value, and its default or nothing, by its long name."""
    options = help_of(*command).split("Options:\n")[1].split("\n\n")[0]
    found = {}
    for block in re.split(r"\n(?=  -)", f"\n{options}")[1:]:
        head, *told = re.split(r"\s{2,}", block.strip())
        default = re.search(r"[Dd]efault: (\S+?)[.;\]]*(?: |$)", " ".join(told))
        found[re.findall(FLAG, head)[-1]] = re.sub("[<>]", "", head), default[1] if default else ""
    return found


def section(title: str) -> str:
    return re.split(r"^## ", DOCUMENT.split(f"\n## {title}")[1], maxsplit=1, flags=re.M)[0]


def documented(title: str) -> dict[str, tuple[str, str]]:
    """The same of the tables in a section."""
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| `-.*", section(title).replace("\\|", "¦"), re.M)]
    found = {}
    for head, _, *default in rows:
        fixed = re.match("`(.*)`", "".join(default))
        found[re.findall(FLAG, head)[-1]] = re.sub("`", "", head).replace("¦", "|"), fixed[1] if fixed else ""
    return found


# ---- help ----


@pytest.mark.parametrize("args", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_shows_the_usage_and_has_a_short_form(args: list[str]) -> None:
    short = ok(*args, "-h")
    assert (short.text, short.err) == (help_of(*args), "")
    assert short.text.startswith(" ".join(["Usage: charrnn", *args]) + " [OPTIONS]")
    assert max(map(len, short.text.splitlines())) <= 100


def test_help_has_no_escapes_wherever_it_runs() -> None:
    for env in ({"FORCE_COLOR": "1"}, {"GITHUB_ACTIONS": "true"}):
        assert ok("train", "--help", env=env).text == help_of("train")


def test_without_a_command_it_shows_its_help() -> None:
    result = charrnn()
    assert help_of().strip() in (result.text.strip(), result.err.strip())


def test_every_command_is_in_the_help_of_the_program() -> None:
    assert re.findall(r"^  (\w+) ", help_of().split("Commands:\n")[1].split("\n\n")[0], re.M) == [*COMMANDS]


def test_version_also_as_a_module() -> None:
    module = subprocess.run([sys.executable, "-m", "charrnn", "--version"], capture_output=True, env=ENVIRONMENT)
    assert ok("--version").out == module.stdout == f"charrnn {__version__}\n".encode()


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--help"], {}),
        (["train", "--help"], {}),
        (["sample", "--help"], {}),
        (["eval", "--help"], {}),
        (["info", "--help"], {}),
        (["--version"], {}),
        ([], {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": "charrnn tr", "COMP_CWORD": "1"}),
    ],
    ids=str,
)
def test_help_version_and_completion_import_nothing_heavy(args: list[str], env: dict[str, str]) -> None:
    result = ok(*args, env=env, prelude=HEAVY)
    assert result.err == "[]\n"
    assert not env or result.text == "train\n"


# ---- docs/cli.md ----


@pytest.mark.parametrize("name", COMMANDS)
def test_the_document_has_each_option_with_its_value_and_default_and_no_other(name: str) -> None:
    here, everywhere = documented(f"charrnn {name}"), documented("Options on all commands")
    assert here | everywhere == options_of(name)
    assert not here.keys() & everywhere.keys()


@pytest.mark.parametrize("name", ["sample", "eval"])
def test_every_option_of_its_own_has_an_example_in_the_document_and_in_the_help(name: str) -> None:
    for text in (section("Examples"), help_of(name).split("Options:\n")[0]):
        used = re.findall(FLAG, " ".join(re.findall(rf"charrnn {name} (.*)", text)))
        names = [re.findall(FLAG, head) for head, _ in documented(f"charrnn {name}").values()]
        assert [flags for flags in names if not {*flags} & {*used}] == []


def test_the_options_of_the_program_itself_are_documented() -> None:
    assert [flag for flag in options_of() if flag not in DOCUMENT] == []


def test_every_option_named_in_the_document_exists() -> None:
    flags = {flag for name in COMMANDS for flag in options_of(name)} | {*options_of()}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", DOCUMENT)) <= flags


def test_the_examples_of_the_document_work(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.M | re.S)
    novel = TEXT.replace("than", "It was than")
    for name, text in {"novel.txt": novel, "letter.txt": TEXT, "poems/1.txt": TEXT, "poems/2.txt": novel}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    line = " ".join(f"'{part}'" for part in command())
    prologue = f'set -e -o pipefail\ncharrnn() {{ {line} "$@"; }}\n'
    bash = shutil.which("bash")
    assert bash
    run = subprocess.run(
        [bash, "-c", prologue + script],
        cwd=tmp_path,
        env=ENVIRONMENT | {"CHARRNN_HIDDEN_SIZE": "16"},
        capture_output=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr.decode()
    out = run.stdout.decode()
    assert out.startswith("checkpoints/novel.npz\ncheckpoints/novel.npz\nIt was ")
    assert "\npoems/" in out.replace("\t", "\n")
    assert (tmp_path / "samples.jsonl").read_text().count("\n") == 3
    assert "corpus            poems, " in out
