import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.core.errors import TextError, UsageError
from charrnn.data.settings import read_settings


def test_the_entries_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('lr = 0.5\nlines = true\n# no\nname = "x"\n')
    assert read_settings(str(path)) == {"lr": 0.5, "lines": True, "name": "x"}


def test_a_file_that_cannot_be_read_or_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for content in (b"lr =", b"\xff\xfe", b"a = 1\na = 2"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a TOML file"):
            read_settings(str(path))
    for name in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(TextError, match=name):
            read_settings(name)


def test_it_imports_no_numpy() -> None:
    code = "import sys, charrnn.data.settings; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
