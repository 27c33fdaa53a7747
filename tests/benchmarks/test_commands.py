from pathlib import Path

import pytest

from benchmarks import commands
from benchmarks.commands import Row


def test_every_row_runs_with_next_to_no_input(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(commands.plays(0))
    commands.cost(("train", *commands.NETWORK, "--steps", "2", *commands.MODEL), tmp_path)
    for name in ("train", "eval", "count", "prompt"):
        row = commands.ROWS[name]
        (tmp_path / "in.txt").write_text(row.content(0))
        seconds, memory = commands.cost(row.command(0), tmp_path)
        assert 0 < seconds < 60
        assert memory > 1 << 20


def test_a_command_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"info -m none: .*no such model"):
        commands.cost(("info", "-m", "none"), tmp_path)


def test_inputs_have_the_wanted_size() -> None:
    assert len(commands.plays(700_000)) == 700_000
    assert commands.lines(3000).count("\n") == 3000
    assert len(commands.accents(4000)) == 4 + 3 * 2000


@pytest.mark.parametrize(("power", "code"), [(1.0, 0), (1.5, 1)])
def test_a_time_that_grows_faster_than_its_input_is_reported(
    power: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cost(command: tuple[str, ...], folder: Path) -> tuple[float, int]:
        size = int(command[0]) if command[0].isdigit() else 0
        return 0.5 + (size / 100) ** power, 5_000_000 + 40_000 * size

    monkeypatch.setattr(commands, "cost", cost)
    monkeypatch.setattr(commands, "ROWS", {"x": Row("things", 100, lambda n: (str(n),))})
    assert commands.main([]) == code
    printed = capsys.readouterr()
    cells = [cell.strip() for cell in printed.out.splitlines()[-1].strip("|").split("|")]
    assert cells[:6] == ["things", "100", "800", f"1 to {8**power:.3g}", f"**{power:.2f}**", "1.00"]
    assert cells[6:8] == ["4 to 32 MB", "**1.00**"]
    assert ("x: grows faster than its input" in printed.err) == bool(code)


def test_wrong_usage_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        commands.main(["--rows", "eval,nothing"])
    assert "the rows are train, nfc" in capsys.readouterr().err
