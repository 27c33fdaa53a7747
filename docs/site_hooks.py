"""Hooks of MkDocs: pages of other folders, links to them, and links from the derivation to the source.

The same Markdown is read in the repository, on the package index and on the site. Links there are relative to the file;
on the site they lead to a page if there is one, and else to the file in the repository.
"""

import ast
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

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
NAME = r"`((?:\w+\.)+\w+|tests/[\w/]+\.py::\w+)`"
NAMED = re.compile(rf"\[{NAME}\]\([^)#]*\.py\)|(?<!\[){NAME}")  # with a link to the file, or without
ROW = re.compile(r"^\|.*$", re.M)
EXCERPT = re.compile(r"^```python (\S+)\n(.*?)^```$", re.M | re.S)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File  # here, because the tests read this file without MkDocs

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


@cache
def definitions(path: str) -> dict[str, int]:
    """Return the line of every class, function and method of a file."""
    found = {}

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found[prefix + node.name] = node.lineno
                walk(node.body, f"{prefix}{node.name}.")

    walk(ast.parse((ROOT / path).read_text("utf-8")).body, "")
    return found


def place(name: str) -> str | None:
    """Return the file and line of a name that is written as `core.ops.columns` or `tests/docs/test_docs.py::read`."""
    file, _, function = name.partition("::")
    parts = name.split(".")
    splits = [(f"charrnn/{'/'.join(parts[:i])}.py", ".".join(parts[i:])) for i in range(1, len(parts))]
    for path, inside in [(file, function)] if function else splits:
        if (ROOT / path).is_file() and inside in definitions(path):
            return f"{path}#L{definitions(path)[inside]}"
    return None


def with_pipes(row: re.Match[str]) -> str:
    """Return a row of a table with plain pipes in code: MkDocs would show the backslash that GitHub needs."""
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("\\|", "|"), row[0])


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the text of a page with its links resolved, and links from names and excerpts of the source to lines."""
    name = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(name, f"docs/{name}"))
    repository = config["extra"]["repository"]

    def resolved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if target in PAGES:
            return f"{link[1]}{PAGES[target]}{link[3]}"
        if target.startswith("docs/"):
            return f"{link[1]}{target.removeprefix('docs/')}{link[3]}"
        return f"{link[1]}{repository}/blob/main/{target}{link[3]}"

    def with_line(named: re.Match[str]) -> str:
        name = named[1] or named[2]
        found = place(name)
        if found is None and named[1]:
            raise LookupError(f"{page.file.src_uri} links to {name}, which is not in the source")
        return named[0] if found is None else f"[`{name}`]({repository}/blob/main/{found})"

    def with_source(excerpt: re.Match[str]) -> str:
        path, code = excerpt.groups()
        line = (ROOT / path).read_text("utf-8").split(code)[0].count("\n") + 1
        link = f"[{path}, line {line}]({repository}/blob/main/{path}#L{line})"
        return f"```python\n{code}```\n\n{link}\n"

    linked = LINK.sub(resolved, NAMED.sub(with_line, markdown))
    return EXCERPT.sub(with_source, ROW.sub(with_pipes, linked))
