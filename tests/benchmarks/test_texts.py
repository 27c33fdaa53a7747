import json
from collections.abc import Iterator
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


def test_each_text_is_written_to_a_file_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(texts.TEXTS, "python", lambda folder: "pass\n")
    paths = list(texts.written(tmp_path / "new"))
    assert [path.name for path in paths] == ["novels.txt", "poems.txt", "python.txt", "names.txt"]
    assert paths[2].read_bytes() == b"pass\n"
