import os
import re
from pathlib import Path

import pytest

from charrnn.core.errors import TextError
from charrnn.data.sources import BUNDLED, STDIN, is_repeatable, open_bytes, remembered, shown
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


def test_the_error_of_a_url_says_how_to_fetch_it() -> None:
    url = "https://example.org/a?b&c"
    with pytest.raises(TextError, match=f"^{re.escape(url)}: is a URL.*" + re.escape(f"curl -L '{url}' > text.txt")):
        open_bytes(url)
