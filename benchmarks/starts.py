"""Compare the default start of `charrnn train`, from the English model, with random weights.

    python -m benchmarks.starts                          # all 12 texts, each with the default budget
    python -m benchmarks.starts --texts de,faq --time 30s
    python -m benchmarks.starts --files mine.txt         # texts of one's own instead

No setting was chosen on these texts, and the English model has read none of them. They come from docutils' source
archive on PyPI and from Debian 12's packages base-files and vim-runtime, which must be installed; each is checked
against its hash. Without --steps or --time both runs have the default budget, 8000 √N characters for a text of N, ten
passes at most. A text that does not start from English has one run, since the other one would be the same.
"""

import argparse
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.english import Package, fetch
from benchmarks.quality import charrnn

DOCUTILS = Package(
    (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "docutils==0.23"),
    "docutils-0.23.tar.gz",
    "746f5060322511280a1e50eb76846ed6bf2342984b2ac04dc42caa1a8d78799e",
    "",
)
LICENSES, VIM = Path("/usr/share/common-licenses"), Path("/usr/share/vim/vim90")
SMALL = 100_000  # characters: the texts below it have a mean of their own
HEADER = ("text", "characters", "English start", "random weights", "difference")


class Text(NamedTuple):
    """A text: what it is, its file on this system or its member in the archive of docutils, and its hash."""

    what: str
    place: Path | str
    sha256: str


TEXTS = {
    "artistic": Text(
        "the Artistic License",
        LICENSES / "Artistic",
        "b7fd9b73ea99602016a326e0b62e6646060d18febdd065ceca8bb482208c3d88",
    ),
    "vim": Text(
        "Vim's manual, chapter 1",
        VIM / "doc/usr_01.txt",
        "594aa09289f6bf8284b7a492df3abe6679e32937e5c2b07a9e176de944e7697a",
    ),
    "gfdl": Text(
        "the GNU Free Documentation License",
        LICENSES / "GFDL-1.3",
        "110535522396708cea37c72a802c5e7e81391139f5f7985631c93ef242b206a4",
    ),
    "es": Text(
        "Vim's tutor, Spanish",
        VIM / "tutor/tutor.es.utf-8",
        "a57e5e1e4ee04e2eaa7e7cc4894c86a471f56b19b5f443c705ebb526d7cc28d6",
    ),
    "de": Text(
        "Vim's tutor, German",
        VIM / "tutor/tutor.de.utf-8",
        "7938bb722e26f9c398907992542c1bc128b5d902e6f152822e19ec8b3eec7fd0",
    ),
    "fr": Text(
        "Vim's tutor, French",
        VIM / "tutor/tutor.fr.utf-8",
        "ce3e51d0d411d0bbed3a289cca1d1efb854e648dce26642c914bc5c4911be5c2",
    ),
    "faq": Text(
        "Docutils' questions and answers",
        "FAQ.rst",
        "da907b3d6af609857a02651e442128015f9d49ea00757349eaa1e2796aa21446",
    ),
    "code": Text(
        "a module of Docutils in Python",
        "docutils/statemachine.py",
        "c66388add67b253e292dbb17eca8fe11e003b734eefb22824d8e66ffa0db6ec7",
    ),
    "rst": Text(
        "the specification of reStructuredText",
        "docs/ref/rst/restructuredtext.rst",
        "1e87032c3ac8b2c60a68777acc6397d5578397c6dc9e9c5898d0eb8c97cacc18",
    ),
    "history": Text(
        "the history of Docutils",
        "HISTORY.rst",
        "1a482f600b53c116ba36ba88a23bc64e1c1885dfa109b3ff25e83a9a9ffb9507",
    ),
    "options": Text(
        "Vim's manual, options",
        VIM / "doc/options.txt",
        "078258dcf29dcef89205afb1e7b4debf676baa997b91a6223643cbac7d76f2f9",
    ),
    "version": Text(
        "Vim's manual, version 7",
        VIM / "doc/version7.txt",
        "83545493d31f1af0027a1bea118f9cece1b4c74e055601663b4989b20a8db926",
    ),
}


class Result(NamedTuple):
    """The bits per character held out of a text with both starts."""

    what: str
    characters: int
    english: float | None  # None if the text does not start from English
    random: float

    @property
    def difference(self) -> float:
        """The bits by which the default start is better."""
        return 0.0 if self.english is None else self.random - self.english


def written(text: Text, folder: Path) -> Path:
    """Write a text into a folder; return its path. Exits if it is not the one that is known by its hash."""
    if isinstance(text.place, Path):
        if not text.place.exists():
            sys.exit(f"{text.place}: not found: install base-files and vim-runtime of Debian 12")
        content = text.place.read_bytes()
    else:
        content = member(fetch(DOCUTILS, folder), text.place)
    digest = hashlib.sha256(content).hexdigest()
    if digest != text.sha256:
        sys.exit(f"{text.place}: its SHA-256 is {digest}, not {text.sha256}: another version of the text")
    path = folder / f"{Path(text.place).name}.txt"
    path.write_bytes(content)
    return path


def member(path: Path, name: str) -> bytes:
    """Return the content of a file in an archive, named within its only folder."""
    with tarfile.open(path) as archive:
        file = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/{name}")
        if file is None:
            sys.exit(f"{path}: {name} is not a file")
        return file.read()


def compared(what: str, path: Path, budget: Sequence[str]) -> Result:
    """Train on a text with the default start and, if that is from English, with random weights."""
    source, characters, bits = trained(path, *budget)
    if source is None:
        return Result(what, characters, None, bits)
    return Result(what, characters, bits, trained(path, *budget, "--init-from", "none")[2])


def trained(path: Path, *options: str) -> tuple[str | None, int, float]:
    """Train on a text; return the model that the run started from, the characters, and the best bits held out."""
    with TemporaryDirectory() as folder:
        model = str(Path(folder, "model.npz"))
        events = [*map(json.loads, charrnn("train", str(path), "-m", model, "--json", "-q", *options).splitlines())]
    return events[0]["init_from"], events[0]["chars"], events[-1]["val_bits_per_char"]


def row(result: Result) -> str:
    """Return the row of a text in the table."""
    english = "not used" if result.english is None else f"{result.english:.3f}"
    figures = (f"{result.characters:,}", english, f"{result.random:.3f}", f"{result.difference:+.3f}")
    return line(result.what, *figures)


def line(*cells: str) -> str:
    """Return a line of the table."""
    return f"| {' | '.join(cells)} |"


def mean(results: Iterable[Result]) -> str:
    """Return the row with the mean difference of the texts below SMALL characters, a dash if there is none."""
    small = [result.difference for result in results if result.characters < SMALL]
    return line(f"mean below {SMALL:,} characters", "", "", "", f"{sum(small) / len(small):+.3f}" if small else "-")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the starts on the given texts and print the table."""
    parser = argparse.ArgumentParser(description="Compare the English start with random weights.")
    parser.add_argument("--texts", default=",".join(TEXTS), metavar="NAME,NAME", help=f"of {', '.join(TEXTS)}")
    parser.add_argument("--files", type=Path, nargs="+", metavar="FILE", help="texts of one's own instead")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", help="of each run, instead of the default budget")
    budget.add_argument("--time", help="of each run, instead of the default budget")
    parser.add_argument("--folder", type=Path, default=Path("checkpoints/starts"), help="of the archive and the texts")
    given = parser.parse_args(argv)
    names = given.texts.split(",")
    if unknown := [name for name in names if name not in TEXTS]:
        parser.error(f"--texts {','.join(unknown)}: the texts are {', '.join(TEXTS)}")
    options = [f"--{name}={value}" for name in ("steps", "time") if (value := getattr(given, name))]
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.files:
        chosen = [(path.name, path) for path in given.files]
    else:
        chosen = [(TEXTS[name].what, written(TEXTS[name], given.folder)) for name in names]
    print(line(*HEADER), line(*["---"] * len(HEADER)), sep="\n", flush=True)
    results = []
    for what, path in chosen:
        results.append(compared(what, path, options))
        print(row(results[-1]), flush=True)
    print(mean(results))


if __name__ == "__main__":
    main()
