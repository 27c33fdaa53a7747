"""The bundled corpus, and the page that describes it and says how to fetch others."""

import lzma
import re
from pathlib import Path

import pytest

from charrnn.data.corpus import load_corpus
from charrnn.data.reading import read_text
from charrnn.data.sources import BUNDLED, bundled_corpus
from charrnn.training.model_file import CLASSICS

ROOT = Path(__file__).parents[2]
README = (ROOT / "corpora" / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def plays() -> bytes:
    return bundled_corpus().read_bytes()


def titles(text: str) -> list[str]:
    return re.findall(r"^([A-Z][A-Z' ]+)\n\nACT ONE$", text, re.M)


def test_the_bundled_corpus_is_the_one_in_the_repository(plays: bytes) -> None:
    assert plays == (ROOT / "corpora" / "plays.txt").read_bytes()


def test_the_bundled_corpus_is_large_and_plain(plays: bytes) -> None:
    assert len(plays) >= 200_000
    assert plays.isascii()
    assert plays.endswith(b"\n")
    assert set(plays) - set(range(32, 127)) == {ord("\n")}


def test_the_bundled_corpus_is_varied(plays: bytes) -> None:
    ratio = len(lzma.compress(plays, preset=9)) / len(plays)
    assert 0.28 <= ratio <= 0.45
    runs = len(plays) - 80 + 1
    assert len({plays[i : i + 80] for i in range(runs)}) == runs


def test_the_bundled_corpus_is_read_by_its_name(plays: bytes) -> None:
    assert "".join(read_text(BUNDLED, "none", [])).encode() == plays
    corpus = load_corpus([BUNDLED])
    assert (corpus.sources, len(corpus.ids), corpus.remarks) == ((BUNDLED,), len(plays), ())


def test_the_readme_describes_the_bundled_corpus(plays: bytes) -> None:
    names = [name.title().replace("'S", "'s") for name in titles(plays.decode())]
    listed = re.findall(r"^- \*(.+)\*$", README, re.M)
    assert len(names) == 8
    assert [name.lower() for name in listed] == [name.lower() for name in names]
    assert f"{len(plays):,} bytes" in README
    assert f"{len(set(plays))} different characters" in README
    assert "CC0 1.0" in README


# ---- texts to fetch ----


def test_the_readme_has_the_commands_that_fetch_and_check_each_text_that_train_names() -> None:
    fetched = re.findall(r"^curl -C - -L -o (\w+)\.txt https://\S+/\S+\.(?:txt|c)$", README, re.M)
    checked = re.findall(r"^echo '[0-9a-f]{64}  (\w+)\.txt' \| sha256sum -c$", README, re.M)
    assert fetched == checked == [*CLASSICS]
