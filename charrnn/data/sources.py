"""Where texts come from: files, folders, stdin and pipes, and the corpus that comes with the program."""

import os
import shlex
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from charrnn.core.errors import TextError

STDIN = "-"
BUNDLED = "plays.txt (bundled)"  # the source name of the corpus that comes with the program
PER_PROCESS = ("/dev/stdin", "/dev/fd/", "/proc/")  # paths that mean another file in each process
SHOWN = 5  # names of texts in a message


def bundled_corpus() -> Path:
    """Return the path of the corpus that comes with the program: in the package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside, beside = package / "corpora" / "plays.txt", package.parent / "corpora" / "plays.txt"
    return inside if inside.exists() else beside


def is_repeatable(source: str) -> bool:
    """Return whether a source can be read again later: a file or a folder can, stdin, pipes and devices cannot.

    A source that does not exist counts as repeatable: opening it gives the error.
    """
    if source == STDIN or source.startswith(PER_PROCESS):
        return False
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def remembered(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the sources as a model remembers them: STDIN in place of each that cannot be read again."""
    return tuple(source if is_repeatable(source) else STDIN for source in sources)


def shown(sources: Sequence[str]) -> str:
    """Return the names of sources for a message: the first few, and the number of the others."""
    more = len(sources) - SHOWN
    return " ".join(sources[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def expand(sources: Iterable[str]) -> list[str]:
    """Return the sources with each folder replaced by its *.txt files, sorted."""
    files: list[str] = []
    for source in sources:
        texts = [source]
        if source not in (STDIN, BUNDLED) and os.path.isdir(source):
            texts = sorted(str(path) for path in Path(source).glob("*.txt") if path.is_file())
        if not texts:
            raise TextError(f"{source}: no *.txt files in this folder: give the names of the files")
        files += texts
    return files


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
