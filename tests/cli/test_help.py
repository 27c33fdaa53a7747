import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from charrnn import __version__
from charrnn.cli.train import HELP_GROUPS
from tests.helpers import cli_page
from tests.helpers.command import ENVIRONMENT, TEXT, charrnn, in_bash, ok

COMMANDS = ("train", "sample", "eval", "info", "export")
DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
FLAG = r"(?<![\w-])--?[a-z][\w-]*"
OPTIONS = r"(?ms)^(?:Options|Network):\n.*"  # of a command's help: everything from the first group of options on
HEAVY = """
import atexit, sys
atexit.register(lambda: print(sorted({"numpy", "tqdm", "rich", "pydantic"} & sys.modules.keys()), file=sys.stderr))
"""


@cache
def help_of(*command: str) -> str:
    return ok(*command, "--help").text


def bare(text: str) -> str:
    """Return a text without what the help formats differently: blanks, line ends, angle brackets."""
    return re.sub(r"[\s<>]", "", text)


# ---- help ----


@pytest.mark.parametrize("args", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_shows_the_usage_and_has_a_short_form(args: list[str]) -> None:
    short = ok(*args, "-h")
    assert (short.text, short.err) == (help_of(*args), "")
    assert short.text.startswith(" ".join(["Usage: charrnn", *args]) + " [OPTIONS]")
    assert max(map(len, short.text.splitlines())) <= 100


def test_help_never_has_escapes() -> None:
    for env in ({"FORCE_COLOR": "1"}, {"GITHUB_ACTIONS": "true"}):
        assert ok("train", "--help", env=env).text == help_of("train")


def test_without_a_command_the_help_is_shown() -> None:
    result = charrnn()
    assert help_of().strip() in (result.text.strip(), result.err.strip())


def test_the_help_of_the_program_lists_every_command() -> None:
    assert re.findall(r"^  (\w+) ", help_of().split("Commands:\n")[1].split("\n\n")[0], re.M) == [*COMMANDS]


def test_the_version_is_the_same_as_a_module() -> None:
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


def test_every_option_of_train_is_in_one_group_of_the_help() -> None:
    groups = re.findall(r"(?m)^(\w+):\n((?:  .*\n)+)", help_of("train"))
    assert [title for title, _ in groups] == ["Arguments", *HELP_GROUPS]
    flags = [flag for _, body in groups for flag in re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", body)]
    assert sorted(flags) == sorted(re.findall(r"--[\w-]+", " ".join(o.head for o in cli_page.options("train"))))
    assert "list[" not in help_of("train") + help_of("eval") + help_of("info")


def test_a_default_that_depends_on_the_text_is_described() -> None:
    assert bare("Default: 0 to 0.3, by the size of the text.") in bare(help_of("train"))


# ---- docs/cli.md ----


def test_the_tables_of_options_agree_with_the_help() -> None:
    assert cli_page.page(DOCUMENT) == DOCUMENT, "make docs"


def test_only_outdated_tables_are_replaced() -> None:
    old = re.sub(r"(?m)^\| `--(?:seed|json).*\n", "", DOCUMENT).replace("Units per layer.", "Cells.")
    assert len(old) < len(DOCUMENT) - 100
    assert cli_page.page(old) == DOCUMENT


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_the_help_of_each_option_word_for_word(name: str) -> None:
    (shown,), options = re.findall(OPTIONS, help_of(name)), cli_page.options(name)
    assert len(options) == len(re.findall(r"(?m)^  -", shown))
    for head, meaning, default in options:
        text = f"{meaning.split(' [')[0]} Default: {default}." if default else meaning
        assert bare(head + text) in bare(shown), head


@pytest.mark.parametrize("name", ["sample", "eval"])
def test_every_option_of_a_command_has_an_example_in_the_document_and_in_the_help(name: str) -> None:
    shared = {head for head, *_ in cli_page.options("info")}
    for text in (DOCUMENT.split("\n## Examples\n")[1].split("\n## ")[0], re.sub(OPTIONS, "", help_of(name))):
        used = re.findall(FLAG, " ".join(re.findall(rf"charrnn {name} (.*)", text)))
        names = [re.findall(FLAG, head) for head, *_ in cli_page.options(name) if head not in shared]
        assert [flags for flags in names if not {*flags} & {*used}] == []


def test_the_options_of_the_program_itself_are_documented() -> None:
    flags = re.findall(r"--[\w-]+", " ".join(head for head, *_ in cli_page.options()))
    assert len(flags) == 4
    assert [flag for flag in flags if flag not in DOCUMENT] == []


def test_every_option_named_in_the_document_exists() -> None:
    heads = " ".join(head for name in ("", *COMMANDS) for head, *_ in cli_page.options(name))
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", DOCUMENT)) <= set(re.findall(r"--[\w-]+", heads))


def test_the_examples_of_the_document_work(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.M | re.S)
    novel = TEXT.replace("than", "It was than")
    log = "".join(f"12:{n % 60:02} job {n % 7} done\n" for n in range(1200))
    texts = {"novel.txt": novel, "letter.txt": TEXT, "server.log": log, "poems/1.txt": TEXT, "poems/2.txt": novel}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    result = in_bash(script, tmp_path, {"CHARRNN_HIDDEN_SIZE": "16"})
    assert result.code == 0, result.err
    out = result.text
    assert out.startswith("checkpoints/novel.npz\ncheckpoints/novel.npz\nIt was ")
    assert "\npoems/" in out.replace("\t", "\n")
    assert (tmp_path / "samples.jsonl").read_text().count("\n") == 3
    assert "corpus            poems, " in out
