import os
import re
from pathlib import Path

import pytest

from charrnn.core.errors import TextError
from charrnn.data.sources import BUNDLED, STDIN, expand, is_repeatable, missing, open_bytes, remembered, shown, unnamed
from tests.data.texts import file_in


def test_files_and_folders_can_be_read_again_and_pipes_cannot(tmp_path: Path) -> None:
    fifo, link, path = str(tmp_path / "fifo"), str(tmp_path / "link"), file_in(tmp_path, b"abc")
    os.mkfifo(fifo)
    os.symlink(fifo, link)
    for source in (path, str(tmp_path), BUNDLED, str(tmp_path / "missing"), "nul\0"):
        assert is_repeatable(source)
    for source in (STDIN, fifo, link, "/dev/stdin", "/dev/fd/63", "/proc/self/fd/0", "/dev/null"):
        assert not is_repeatable(source)
    with open(path) as file:  # a regular file, but only this process has it by this name
        assert remembered([path, f"/dev/fd/{file.fileno()}", fifo]) == (path, STDIN, STDIN)


def test_a_message_names_the_first_sources() -> None:
    assert shown(["a", "b c"]) == "a b c"
    assert shown([*"abcde"]) == "a b c d e"
    assert shown([str(n) for n in range(1, 30_001)]) == "1 2 3 4 5 and 29,995 more"


def test_names_that_are_too_many_for_a_model_file_become_a_number_and_a_digest() -> None:
    names = [f"漢字{n}.txt" for n in range(30_000)]
    *first, rest = remembered(names)
    assert (first, rest[:18]) == (names[:4], "… and 29,996 more ")
    assert remembered(reversed(names))[-1] != rest == remembered(names)[-1]
    assert not is_repeatable(rest)
    assert missing([rest]) == []
    assert remembered(names[:5000]) == tuple(names[:5000])
    assert (unnamed([rest]), unnamed([STDIN])) == (
        "was trained on texts too many to name",
        "was trained from stdin or a pipe",
    )


def test_the_error_of_a_url_says_how_to_fetch_it() -> None:
    url = "https://example.org/a?b&c"
    with pytest.raises(TextError, match=f"^{re.escape(url)}: is a URL.*" + re.escape(f"curl -L '{url}' > text.txt")):
        open_bytes(url)


def test_what_a_folder_leaves_out_is_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.txt", "a.txt", "locked.txt", "._a.txt", ".secret.txt", "C.TXT", "d.md"):
        file_in(tmp_path, b"abc", name)
    (tmp_path / "e.txt").mkdir()
    (tmp_path / "f.txt").symlink_to("nowhere")
    (tmp_path / "g.txt").symlink_to("a.txt")
    os.mkfifo(tmp_path / "h.txt")
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "locked.txt")  # root may read everything
    remarks: list[str] = []
    assert expand([str(tmp_path)], remarks) == [str(tmp_path / name) for name in ("a.txt", "b.txt", "g.txt")]
    left_out = "2 hidden, 3 not *.txt, 1 folder, 1 dangling link, 1 unreadable"
    assert remarks == [f"{tmp_path}: 3 texts; left out: {left_out}"]


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(TextError, match=f"^{re.escape(str(tmp_path))}: Permission denied$"):
        expand([str(tmp_path)], [])


def test_missing_sources_are_found(tmp_path: Path) -> None:
    path = file_in(tmp_path, b"abc")
    assert missing([path, STDIN, BUNDLED, "not/here", str(tmp_path)]) == ["not/here"]
