import hashlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from charrnn.cli.train import CLASSICS

SCRIPT = Path(__file__).parents[1] / "corpora" / "download.py"
DATA = bytes(range(256)) * 1000


def script() -> Any:
    spec = importlib.util.spec_from_file_location("download", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


download = script()


class Server(ThreadingHTTPServer):
    """Sends `data`: the first answers break off after `breaks` bytes each, or tell a wrong length."""

    data = DATA
    breaks: tuple[int, ...] = ()
    ranges = True
    told: int | None = None  # the Content-Length, if it is not the true one
    status = 200

    def start(self) -> None:
        self.asked: list[str | None] = []
        Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        begin = int(re.findall(r"\d+", asked)[0]) if asked and server.ranges else 0
        if begin and begin >= len(server.data):
            self.send_error(416)
            return
        body = server.data[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.data) - 1}/{len(server.data)}")
        self.send_header("Content-Length", str(len(body) if server.told is None else server.told))
        self.end_headers()
        number = len(server.asked) - 1
        self.wfile.write(body[: server.breaks[number]] if number < len(server.breaks) else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.start()
        yield server
        server.shutdown()


@pytest.fixture
def text(server: Server) -> Any:
    url = f"http://127.0.0.1:{server.server_address[1]}/text"
    return download.Text(url, len(DATA), hashlib.sha256(DATA).hexdigest())


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_text_is_fetched_whole_and_is_not_fetched_again(server: Server, text: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert download.fetch(text, path) is True
    assert path.read_bytes() == DATA
    assert download.fetch(text, path) is False
    assert (len(server.asked), files(tmp_path)) == (1, {"a.txt": len(DATA)})


def test_a_download_that_breaks_off_goes_on_where_it_was(server: Server, text: Any, tmp_path: Path) -> None:
    server.breaks = (100_000, 30_000, 1)
    assert download.fetch(text, tmp_path / "a.txt")
    assert server.asked == [None, "bytes=100000-", "bytes=130000-", "bytes=130001-"]
    assert (tmp_path / "a.txt").read_bytes() == DATA


def test_a_part_from_before_is_gone_on_with_also_by_a_server_that_knows_no_parts(
    server: Server, text: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.txt.part").write_bytes(DATA[:999])
    server.ranges = False
    assert download.fetch(text, tmp_path / "a.txt")
    assert server.asked == ["bytes=999-"]
    assert (tmp_path / "a.txt").read_bytes() == DATA
    assert files(tmp_path) == {"a.txt": len(DATA)}


def test_a_server_that_sends_no_more_is_given_up_and_what_came_is_kept(
    server: Server, text: Any, tmp_path: Path
) -> None:
    server.breaks = (1000,) + (0,) * 20
    with pytest.raises(download.DownloadError, match=r"say the same again to go on, 1,000 bytes have come"):
        download.fetch(text, tmp_path / "a.txt")
    assert files(tmp_path) == {"a.txt.part": 1000}
    assert len(server.asked) == 1 + download.TRIES


@pytest.mark.parametrize("told", [100_000, len(DATA) + 500])
def test_a_wrong_length_makes_no_wrong_file(server: Server, text: Any, tmp_path: Path, told: int) -> None:
    server.told = told
    try:
        download.fetch(text, tmp_path / "a.txt")
    except download.DownloadError:
        assert "a.txt" not in files(tmp_path)
    else:
        assert (tmp_path / "a.txt").read_bytes() == DATA


@pytest.mark.parametrize("data", [DATA[:-1] + b"?", DATA * 3, b"<html>"], ids=["changed", "longer", "shorter"])
def test_another_file_is_refused_and_nothing_stays(server: Server, text: Any, tmp_path: Path, data: bytes) -> None:
    server.data = data
    with pytest.raises(download.DownloadError, match="another file"):
        download.fetch(text, tmp_path / "a.txt")
    assert files(tmp_path) == {}


def test_a_missing_page_is_said_once_and_a_foreign_file_is_never_replaced(
    server: Server, text: Any, tmp_path: Path
) -> None:
    server.status = 404
    with pytest.raises(download.DownloadError, match="404"):
        download.fetch(text, tmp_path / "a.txt")
    assert len(server.asked) == 1
    (tmp_path / "a.txt").write_bytes(b"mine")
    with pytest.raises(download.DownloadError, match="another text"):
        download.fetch(text, tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"mine"


def test_the_command_fails_in_one_line_and_names_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare.txt").write_text("mine")
    line = [sys.executable, str(SCRIPT), "tinyshakespeare", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    unknown = subprocess.run([*line[:2], "nothere"], capture_output=True, text=True, timeout=60)
    assert unknown.returncode == 2
    assert "tinyshakespeare" in unknown.stderr


def test_train_names_the_texts_that_can_be_fetched() -> None:
    assert set(CLASSICS) == set(download.TEXTS)


def test_the_readme_of_the_corpora_agrees() -> None:
    page = (SCRIPT.parent / "README.md").read_text("utf-8")
    for name, known in download.TEXTS.items():
        assert f"python corpora/download.py {name}" in page
        assert f"{known.size:,} bytes" in page
        assert re.fullmatch("[0-9a-f]{64}", known.sha256)
