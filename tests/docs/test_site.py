"""The site: its pages are those of the repository, and it loads nothing from elsewhere. `make site` builds it."""

import re
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

ROOT = Path(__file__).parents[2]
HOOKS = run_path(str(ROOT / "docs" / "site_hooks.py"))
SITE = (ROOT / "mkdocs.yml").read_text("utf-8")


def built(markdown: str, page: str = "index.md") -> str:
    """Return the Markdown that the site makes of that of a page."""
    config = {"extra": {"repository": "https://host"}}
    text: str = HOOKS["on_page_markdown"](markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)), config, None)
    return text


def test_a_table_has_plain_pipes_in_its_code_and_other_text_is_unchanged() -> None:
    table = "| `--cell rnn\\|gru` | a \\| b |"
    assert built(f"{table}\n\n    grep 'a\\|b'\n") == "| `--cell rnn|gru` | a \\| b |\n\n    grep 'a\\|b'\n"


def test_links_lead_to_pages_and_to_files_of_the_repository() -> None:
    links = "[a](docs/tour.md#b) [c](benchmarks/README.md) [d](LICENSE) [e](https://e.org)"
    assert built(links) == "[a](tour.md#b) [c](benchmarks.md) [d](https://host/blob/main/LICENSE) [e](https://e.org)"
    assert built("[a](../README.md) [b](cli.md)", "tour.md") == "[a](index.md) [b](cli.md)"


def test_every_page_is_in_the_menu() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {*HOOKS["PAGES"].values()}
    assert {*re.findall(r"[\w-]+\.md", SITE.split("\nnav:")[1])} == pages


def test_nothing_is_loaded_from_elsewhere() -> None:
    """With a `repo_url` the theme asks GitHub for the stars, and without `font: false` Google for fonts."""
    assert "  font: false" in SITE
    assert not re.search(r"^repo_url:|^extra_(css|javascript):.*//|analytics", SITE, re.M)
