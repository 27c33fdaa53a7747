import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import texts
from benchmarks.english import Package

POEM = {"title": "春曉", "paragraphs": ["春眠不覺曉，", "處處聞啼鳥。"]}
ARCHIVES = {
    texts.NOVELS: {name: f"{name}\r\nend\r\n" for name in reversed(texts.BOOKS)},
    texts.POEMS: {"poet.tang.1000": json.dumps([POEM] * 2), "poet.tang.0": json.dumps([{**POEM, "title": "一"}])},
    texts.NAMES: {"dist.all.last": "SMITH 1.0 1\nANN 0.1 2\n", "dist.female.first": "ANN 1.0 1\n"},
}


@pytest.fixture(autouse=True)
def _archives(monkeypatch: pytest.MonkeyPatch) -> None:
    def members(package: Package, names: str) -> Iterator[tuple[str, str]]:
        assert names
        yield from ARCHIVES[package].items()

    monkeypatch.setattr(texts, "fetch", lambda package, folder: package)
    monkeypatch.setattr(texts, "members", members)


def always(text: str) -> Callable[[Path], str]:
    return lambda folder: text


def test_novels_follow_each_other_in_one_order() -> None:
    assert texts.novels(Path()).split("\n")[::2] == [*texts.BOOKS, ""]


def test_poems_are_read_in_the_order_of_their_files_up_to_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = (f"{title}\n春眠不覺曉，\n處處聞啼鳥。\n\n" for title in ("一", "春曉"))
    assert texts.poems(Path()) == first + other + other
    monkeypatch.setattr(texts, "POEM_CHARS", len(first))
    assert texts.poems(Path()) == first + other


def test_names_are_different_and_in_lower_case() -> None:
    assert sorted(texts.names(Path()).splitlines()) == ["ann", "smith"]


def test_code_is_of_the_package_that_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(texts, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="PyTorch is missing"):
        texts.code(tmp_path)


def test_wikipedia_ends_with_a_whole_character(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        data = gzip.compress("<page>日本".encode())
        member = tarfile.TarInfo("mingru_pytorch-0.2.1/data/enwik8.gz")
        member.size = len(data)
        archive.addfile(tarfile.TarInfo("mingru_pytorch-0.2.1/data/enwik8.txt"))
        archive.addfile(member, io.BytesIO(data))
    monkeypatch.setattr(texts, "fetch", lambda package, folder: folder / "a.tar.gz")
    for count, text in ((12, "<page>日本"), (11, "<page>日"), (9, "<page>日"), (8, "<page>")):
        monkeypatch.setattr(texts, "WIKIPEDIA_BYTES", count)
        assert texts.wikipedia(tmp_path) == text


def test_each_text_is_written_to_a_file_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("python", "pass\n"), ("wikipedia", "<page>")):
        monkeypatch.setitem(texts.TEXTS, name, always(text))
    paths = list(texts.written(tmp_path / "new"))
    assert [path.name for path in paths] == ["novels.txt", "poems.txt", "python.txt", "names.txt", "wikipedia.txt"]
    assert paths[2].read_bytes() == b"pass\n"
