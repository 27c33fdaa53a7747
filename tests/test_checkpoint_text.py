import os
from pathlib import Path

import pytest

from charrnn.checkpoint import save_text
from charrnn.errors import CharRNNError
from tests.helpers.command import contents


def test_a_text_replaces_a_file_through_its_link_and_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "a.html", tmp_path / "link.html"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    save_text(link, "neu ß\n\ud800")
    assert (link.is_symlink(), file.read_bytes(), file.stat().st_mode & 0o777) == (True, "neu ß\n?".encode(), 0o640)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.html").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CharRNNError, match=r"a\.html: cannot be saved: No space left"):
        save_text(tmp_path / "a.html", "new")
    assert contents(tmp_path) == {"a.html": b"old"}


@pytest.mark.parametrize("name", [".", os.devnull, "nowhere/a.html"])
def test_what_is_no_file_is_never_replaced(name: str, tmp_path: Path) -> None:
    with pytest.raises(CharRNNError, match=r"not a file|No such file"):
        save_text(tmp_path / name, "new")
    assert not Path(os.devnull).is_file()
    assert contents(tmp_path) == {}
