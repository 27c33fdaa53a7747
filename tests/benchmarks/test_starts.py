import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from benchmarks import starts
from benchmarks.english import PACKAGES
from benchmarks.starts import TEXTS, Result, Text, mean, member, row, written
from tests.helpers.command import ENVIRONMENT

WORDS = "it was the best of times and the worst of them\n" * 12


def test_texts_are_of_twelve_places_and_none_was_learnt() -> None:
    assert len({text.sha256 for text in TEXTS.values()}) == len({text.place for text in TEXTS.values()}) == 12
    assert "docutils" not in " ".join(package.archive for package in PACKAGES)


def test_a_text_with_another_hash_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    source, content = tmp_path / "Artistic", b"a licence\n"
    with pytest.raises(SystemExit, match="not found"):
        written(Text("a", source, ""), tmp_path)
    source.write_bytes(content)
    path = written(Text("a", source, hashlib.sha256(content).hexdigest()), tmp_path)
    assert (path.name, path.read_bytes()) == ("Artistic.txt", content)
    with pytest.raises(SystemExit, match="another version"):
        written(Text("a", source, "0"), tmp_path)


def test_a_text_of_an_archive_is_named_within_its_folder(tmp_path: Path) -> None:
    info = tarfile.TarInfo("p-1.0/docs/a.rst")
    info.size = 3
    with tarfile.open(tmp_path / "p-1.0.tar.gz", "w:gz") as archive:
        archive.addfile(info, io.BytesIO(b"one"))
    assert member(tmp_path / "p-1.0.tar.gz", "docs/a.rst") == b"one"


def test_the_mean_is_of_small_texts_and_one_without_english_has_no_difference() -> None:
    results = [Result("a", 5000, 2.5, 3.0), Result("b", 99_999, 2.0, 2.125), Result("c", 400_000, None, 1.5)]
    assert [row(result) for result in results] == [
        "| a | 5,000 | 2.500 | 3.000 | +0.500 |",
        "| b | 99,999 | 2.000 | 2.125 | +0.125 |",
        "| c | 400,000 | not used | 1.500 | +0.000 |",
    ]
    assert mean(results) == "| mean below 100,000 characters |  |  |  | +0.312 |"
    assert mean(results[2:]).endswith("| - |")


def test_the_program_trains_twice_where_english_is_the_default_and_once_elsewhere(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    Path("words.txt").write_text(WORDS)
    Path("signs.txt").write_text("".join(f"{n} + {n} = {2 * n};\n" for n in range(60)))
    starts.main(["--files", "words.txt", "signs.txt", "--steps", "1"])
    out, err = capfd.readouterr()
    header, rule, words, signs, last = [line.strip("| ").split(" | ") for line in out.splitlines()]
    assert (header, rule) == ([*starts.HEADER], ["---"] * 5)
    assert words[:2] == ["words.txt", str(len(WORDS))]
    assert float(words[4]) == pytest.approx(float(words[3]) - float(words[2]), abs=0.0011)
    assert float(words[4]) > 1  # after one step, random weights know nothing
    assert (signs[0], signs[2], signs[4]) == ("signs.txt", "not used", "+0.000")
    assert float(last[-1]) == pytest.approx(float(words[4]) / 2, abs=0.001)
    assert err.count("$ charrnn train") == 3
