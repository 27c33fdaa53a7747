import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality
from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import ENVIRONMENT, NETWORK, TEXT
from tests.helpers.models import tiny_model
from tests.helpers.naive import TWINS, naive_forward

ROOT = Path(__file__).parents[2]
TINY = " ".join(map(str, (*NETWORK, "--steps", 3)))


@pytest.fixture
def tiny(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with rows that take a second."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    rows = {
        "a": quality.Row("network a", TINY, f"{TINY} --lr 0.5"),
        "b": quality.Row("network b", f"{TINY} --cell rnn", ""),
    }
    monkeypatch.setattr(quality, "ROWS", rows)
    monkeypatch.setattr(quality, "BATCHES", 2)
    monkeypatch.setattr(quality, "find_spec", lambda name: None)  # whether or not pyppmd is installed here
    return work


def printed(capfd: pytest.CaptureFixture[str], *args: str) -> list[list[str]]:
    """Return the cells of the printed table, without its header."""
    quality.main(args)
    lines = capfd.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [len(row) for row in cells] == [len(quality.HEADER)] * len(cells)
    assert cells[:2] == [[*quality.HEADER], ["---"] * len(quality.HEADER)]
    return cells[2:]


# ---- nanoGPT's protocol ----


def test_the_loss_of_a_block_is_that_of_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "BLOCK", 5)
    monkeypatch.setattr(quality, "WIDTH", 3)
    model = tiny_model(7, cell="gru", num_layers=2)
    ids = np.random.default_rng(2).integers(0, 7, 11).astype(np.uint8)
    naive = []
    for begin in range(11 - 5):  # every possible block
        x, y = ids[begin : begin + 5], ids[begin + 1 : begin + 6]
        p = naive_forward(model.params, TWINS["gru"], x, [(state[:, 0],) for (state,) in model.zero_state(1)]).p
        naive.append(-np.mean([math.log(p[t, y[t]]) for t in range(5)]))
    costs = quality.block_costs(model, ids, 40)
    which = np.abs(costs[:, None] - naive).argmin(axis=1)
    np.testing.assert_allclose(costs, np.array(naive)[which], rtol=1e-12)
    assert (np.bincount(which, minlength=6) > 5).all()  # of 120, each one about 20 times
    np.testing.assert_array_equal(costs, quality.block_costs(model, ids, 40))


def test_a_text_shorter_than_a_block_is_refused() -> None:
    model, ids = tiny_model(7), np.zeros(quality.BLOCK + 1, np.uint8)
    assert len(quality.block_costs(model, ids, 1)) == quality.WIDTH
    with pytest.raises(SystemExit, match="256 characters are held out"):
        quality.block_costs(model, ids[1:], 1)


# ---- PPMd ----


class Encoder:
    """One byte of code for each pair of bytes that begins, and a frame of three bytes."""

    def __init__(self, order: int, memory: int) -> None:
        assert (order, memory) == (6, 1 << 28)
        self.count = 0

    def encode(self, text: bytes) -> bytes:
        before, self.count = self.count, self.count + len(text)
        return bytes((self.count + 1) // 2 - (before + 1) // 2)

    def flush(self) -> bytes:
        return bytes(3)


@pytest.fixture
def _pyppmd(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pyppmd")
    monkeypatch.setattr(module, "Ppmd7Encoder", Encoder, raising=False)
    monkeypatch.setitem(sys.modules, "pyppmd", module)


@pytest.mark.usefixtures("_pyppmd")
def test_ppmd_is_charged_for_what_its_code_grows_by() -> None:
    assert quality.ppmd(b"0123456", b"01234567") == pytest.approx(4 * 8 * math.log(2))  # 4 + 3 bytes become 8 + 3


# ---- the program ----


@pytest.mark.usefixtures("_pyppmd")
def test_where_pyppmd_is_installed_the_table_has_a_row_for_it(
    tiny: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "find_spec", bool)
    *_, row = printed(capfd, "a.txt", "--rows", "a", "--models", "kept")
    assert (row[0], row[5]) == ("PPMd, order 6", "measured here: pyppmd, given the training text")
    assert 2 < float(row[1].split()[0]) < 4  # half a byte per character, in nats


def test_the_table_has_a_row_for_each_kept_result(
    tiny: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARRNN_LR", "-1")  # the user's settings for other runs are ignored
    first = printed(capfd, "a.txt", "--rows", "a", "--models", "kept")
    assert [row[0] for row in first] == ["charrnn, network a", "order-7 Kneser-Ney", "gzip", "bz2", "xz"]
    assert first[0][5] == f"measured here: `charrnn train a.txt {TINY}`"
    both = printed(capfd, "a.txt", "--rows", "b", "--models", "kept")
    assert [row[0] for row in both] == ["charrnn, network a", "charrnn, network b", *(row[0] for row in first[1:])]
    assert both[0][:5] == first[0][:5]
    assert [bool(re.match(r"measured \d{4}-\d\d-\d\d: `", row[5])) for row in both] == [True] * 2 + [False] * 4
    assert printed(capfd, "a.txt", "--table", "--models", "kept") == both
    assert {path.name for path in Path("kept").iterdir()} == {"a.npz", "b.npz", "results.jsonl"}
    Path("b.txt").write_text(TEXT + ".")
    assert printed(capfd, "b.txt", "--table", "--models", "kept") == []


def test_a_result_has_the_loss_of_each_protocol(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    row, *_ = printed(capfd, "a.txt", "--rows", "a")
    (line,) = Path("checkpoints/quality/results.jsonl").read_text().splitlines()
    result = quality.Result(**json.loads(line))
    model = "checkpoints/quality/a.npz"
    best = CheckpointStore(Path(model)).load().best
    assert best
    streamed = result.nats["streamed"]
    assert streamed == best.nats
    assert result.nats["learning"] == quality.scores(model, "--dynamic")[model] != streamed
    assert abs(result.nats["blocks"] - streamed) < 0.2
    assert 0 < result.error < 0.1
    assert result.seconds > 0
    assert {"numpy", "threads", "cores", "charrnn"} <= result.environment.keys()
    assert row[1] == f"{streamed:.4f} ({streamed / math.log(2):.3f})"
    assert row[3] == f"{result.nats['blocks']:.4f} ± {result.error:.4f} ({result.nats['blocks'] / math.log(2):.3f})"


def test_each_row_is_measured_by_an_earlier_commit_too(
    tiny: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = []

    def install(*commit_and_folder: object) -> str:
        installed.append(commit_and_folder)
        return sys.executable

    monkeypatch.setattr(quality, "install", install)
    new, old, *_ = printed(capfd, "a.txt", "--rows", "a", "--beside", "62fc102", "--models", "kept", "--train=--seed 3")
    assert installed == [("62fc102", Path("kept"))]
    assert [new[0], old[0]] == ["charrnn, network a", "62fc102, network a"]
    commands = [f"measured here: `charrnn train a.txt {options} --seed 3`" for options in (TINY, f"{TINY} --lr 0.5")]
    assert [new[5], old[5]] == commands
    assert new[1] != old[1]
    run = CheckpointStore(Path("kept/a-62fc102.npz")).load()
    assert (run.config.lr, run.config.seed) == (0.5, 3)
    again = printed(capfd, "a.txt", "--rows", "a", "--models", "kept")
    assert [row[0] for row in again[:2]] == [new[0], old[0]]


def test_the_program_in_the_working_folder_is_not_the_one_that_is_measured(work: Path) -> None:
    (work / "charrnn").mkdir()
    (work / "charrnn" / "__main__.py").write_text("print('the program in the working folder')")
    assert re.fullmatch(r"charrnn \d+\.\d+\.\d+\n", quality.charrnn("--version"))


def test_a_commit_is_installed_once_with_the_same_numpy(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", "project", "-c", "user.name=a", "-c", "user.email=a"]
    Path("project").mkdir()
    Path("project", "program.py").write_text("before")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"], ["tag", "v1"]):
        subprocess.run([*git, *arguments], check=True)
    Path("project", "program.py").write_text("now")
    python, run, commands = Path("kept", "v1", "bin", "python"), subprocess.run, list[list[Any]]()

    def pip(command: list[Any], **options: Any) -> Any:
        if command[0] == "git":
            return run(command, **options)
        assert Path(command[5], "program.py").read_text() == "before"
        commands.append(command)
        python.parent.mkdir(parents=True)
        python.touch()
        return None

    monkeypatch.setattr(quality, "ROOT", Path("project"))
    monkeypatch.setattr("venv.create", lambda *_, **__: None)
    monkeypatch.setattr("subprocess.run", pip)
    assert [quality.install("v1", Path("kept")) for _ in range(2)] == [str(python.absolute())] * 2
    ((*start, _, numpy),) = commands
    assert start == [python, "-m", "pip", "install", "-q"]
    assert numpy == f"numpy=={np.__version__}"


def test_a_failing_command_ends_the_program_with_its_message_and_code(
    tiny: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "ROWS", {"a": quality.Row("network a", "--lr -1", "")})
    with pytest.raises(SystemExit) as ended:
        quality.main(["a.txt", "--models", "kept"])
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.splitlines()[1].startswith("charrnn: --lr -1")
    assert not Path("kept/results.jsonl").exists()


@pytest.mark.parametrize(
    ("args", "words"), [(["a.txt", "--rows", "a,c"], "--rows c: the rows are a, b"), (["c.txt"], "c.txt: no such file")]
)
def test_an_unknown_row_or_a_missing_text_is_wrong_usage(
    tiny: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        quality.main(args)
    assert words in capsys.readouterr().err


def test_published_figures_are_in_the_column_of_their_protocol() -> None:
    rows = [row.strip("| ").split("|") for row in quality.table([], quality.OTHERS).splitlines()[2:]]
    assert {len(row) for row in rows} == {len(quality.HEADER)}
    (gpu,) = [row for row in rows if "A100" in row[4]]
    assert [cell.strip() for cell in gpu[1:4]] == ["", "", "1.4697 (2.120)"]
    for (_, protocol, nats, _, _), row in zip(quality.OTHERS, rows, strict=True):
        shown = dict(zip(quality.PROTOCOLS, row[1:4], strict=True))
        assert [name for name in shown if nats in shown[name]] == [protocol]


def test_the_readme_has_the_header_of_the_table() -> None:
    assert quality.table([], ()).splitlines()[0] in (ROOT / "benchmarks" / "README.md").read_text("utf-8").splitlines()


def test_every_row_has_a_title_and_options_of_train() -> None:
    for row in quality.ROWS.values():
        assert row.title
        assert all(re.fullmatch(r"(--[a-z-]+ \S+ ?)+", options) for options in (row.options, row.before))
