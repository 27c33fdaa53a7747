"""Where texts come from: files, folders, stdin and pipes, and the corpus that comes with the program."""

import hashlib
import json
import os
import shlex
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from charrnn.core.errors import TextError

STDIN = "-"
BUNDLED = "plays.txt (bundled)"  # the source name of the corpus that comes with the program
PER_PROCESS = ("/dev/stdin", "/dev/fd/", "/proc/")  # paths that mean another file in each process
TEXT = "text"  # the kind of a folder's entries that are read
SHOWN = 5  # names of texts in a message
KEPT_BYTES = 1 << 18  # of names in a model file
MANY = "… and "  # the beginning of what a model file has in place of more names


def bundled_corpus() -> Path:
    """Return the path of the corpus that comes with the program: in the package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside, beside = package / "corpora" / "plays.txt", package.parent / "corpora" / "plays.txt"
    return inside if inside.exists() else beside


def is_repeatable(source: str) -> bool:
    """Return whether a source can be read again later: a file or a folder can, stdin, pipes and devices cannot.

    Nor can texts whose names were not kept because they are too many.

    A source that does not exist counts as repeatable: opening it gives the error.
    """
    if source == STDIN or source.startswith((*PER_PROCESS, MANY)):
        return False
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def remembered(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the sources as a model remembers them: STDIN in place of each that cannot be read again.

    If their names are too long for a model file, it has the first ones, and of the others their number and a digest.
    """
    names = tuple(source if is_repeatable(source) else STDIN for source in sources)
    if sum(len(json.dumps(name)) for name in names) <= KEPT_BYTES:
        return names
    digest = hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
    first = names[: SHOWN - 1]
    return (*first, f"{MANY}{len(names) - len(first):,} more (SHA-256 of all names: {digest})")


def unnamed(sources: Iterable[str]) -> str:
    """Return why the sources of a model, not all repeatable, cannot be read again, as the end of a sentence."""
    many = any(source.startswith(MANY) for source in sources)
    return "was trained on texts too many to name" if many else "was trained from stdin or a pipe"


def shown(sources: Sequence[str]) -> str:
    """Return the names of sources for a message: the first few, and the number of the others."""
    more = len(sources) - SHOWN
    return " ".join(sources[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def missing(sources: Iterable[str]) -> list[str]:
    """Return the sources that do not exist."""
    known = [source for source in sources if source not in (STDIN, BUNDLED) and not source.startswith(MANY)]
    return [source for source in known if not os.path.exists(source)]


def expand(sources: Iterable[str], remarks: list[str]) -> list[str]:
    """Return the sources with each folder replaced by its *.txt files, sorted; remark on what else the folders hold."""
    files: list[str] = []
    for source in sources:
        is_folder = source not in (STDIN, BUNDLED) and os.path.isdir(source)
        files += folder_texts(source, remarks) if is_folder else [source]
    return files


def folder_texts(folder: str, remarks: list[str]) -> list[str]:
    """Return the *.txt files of a folder that can be read, sorted; remark on how many entries of other kinds it has."""
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError as error:
        raise TextError(f"{folder}: {error.strerror}") from error
    kinds = [kind_of(path) for path in paths]
    texts = [str(path) for path, kind in zip(paths, kinds, strict=True) if kind == TEXT]
    others = [f"{count} {kind}" for kind, count in Counter(kinds).items() if kind != TEXT]
    if not texts:
        found = f" ({', '.join(others)})" if others else ""
        raise TextError(f"{folder}: no *.txt files in this folder{found}: give the names of the files")
    if others:
        remarks.append(
            f"{folder}: {len(texts)} {'text' if len(texts) == 1 else 'texts'}; left out: {', '.join(others)}"
        )
    return texts


def kind_of(path: Path) -> str:
    """Return what an entry of a folder is: TEXT, or why it is not read."""
    if path.name.startswith("."):
        return "hidden"  # such as ._novel.txt, which macOS writes beside novel.txt
    if path.is_dir():
        return "folder"
    if not path.exists():
        return "dangling link"
    if path.suffix != ".txt" or not path.is_file():
        return "not *.txt"
    return TEXT if os.access(path, os.R_OK) else "unreadable"


def open_bytes(source: str) -> AbstractContextManager[IO[bytes]]:
    """Return the open file of a source: a path, STDIN or BUNDLED. Stdin stays open afterwards."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError("stdin is closed: give the name of a file, or pipe in a text")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(bundled_corpus() if source == BUNDLED else source, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if "://" in source:
            fetch = f"curl -L {shlex.quote(source)} > text.txt"
            raise TextError(f"{source}: is a URL, not a file: fetch it first, as with `{fetch}`") from error
        raise TextError(f"{source or 'the empty name'}: {getattr(error, 'strerror', None) or error}") from error
