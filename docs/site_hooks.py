"""Hooks of MkDocs: pages of other folders, links to them, and links from the derivation to the source.

The same Markdown is read in the repository, on the package index and on the site. Links there are relative to the file;
on the site they lead to a page if there is one, and else to the file in the repository.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "tests/robustness/README.md": "robustness.md",
    "corpora/README.md": "corpora.md",
    "checkpoints/README.md": "checkpoints.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]*)((?:#[^)]*)?\))")
EXCERPT = re.compile(r"^```python (\S+)\n(.*?)^```$", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Return the text of a page with its links resolved, and excerpts of the source with links to their lines."""
    name = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(name, f"docs/{name}"))
    repository = config["repo_url"]

    def resolved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if target in PAGES:
            return f"{link[1]}{PAGES[target]}{link[3]}"
        if target.startswith("docs/"):
            return f"{link[1]}{target.removeprefix('docs/')}{link[3]}"
        return f"{link[1]}{repository}/blob/main/{target}{link[3]}"

    def with_source(excerpt: re.Match[str]) -> str:
        path, code = excerpt.groups()
        line = (ROOT / path).read_text("utf-8").split(code)[0].count("\n") + 1
        link = f"[{path}, line {line}]({repository}/blob/main/{path}#L{line})"
        return f"```python\n{code}```\n\n{link}\n"

    return EXCERPT.sub(with_source, LINK.sub(resolved, markdown))
