"""The parts of the benchmark of speed that need no PyTorch, which the tests do not install."""

import itertools
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from benchmarks import speed
from benchmarks.speed import CELLS_TIMED, DEFAULT, Case, Step, our_step, run_of, seconds
from charrnn.core.model import parameter_shapes
from charrnn.core.train import train
from charrnn.parallel import cores


@pytest.fixture(autouse=True)
def same_cores_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the limit that the benchmark sets: it holds for all that this process trains later."""
    monkeypatch.setattr(cores, "limit", cores.limit)


def test_a_step_takes_six_operations_per_weight_and_character() -> None:
    for case in (*CELLS_TIMED, DEFAULT):
        shapes = parameter_shapes(case.model)
        weights = sum(np.prod(shape) for name, shape in shapes.items() if len(shape) == 2 and name != "embed.W")
        assert case.flops == 6 * weights * case.B * case.T


def test_the_nine_networks_are_three_cells_of_three_sizes() -> None:
    sizes = {(case.H, case.B, case.T) for case in CELLS_TIMED}
    assert sizes == {(128, 50, 50), (256, 64, 64), (512, 64, 64)}
    assert {case.cell for case in CELLS_TIMED} == {"rnn", "lstm", "gru"}
    assert len(set(CELLS_TIMED)) == 9
    assert str(DEFAULT) == "GRU 2 x 256, B = 32, T = 64"


def test_programs_are_timed_in_alternation_and_the_median_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = itertools.count()
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr("benchmarks.speed.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("benchmarks.speed.time.sleep", lambda _: None)
    programs: dict[str, Step] = {name: lambda name=name: calls.append(name) for name in "ab"}  # type: ignore[misc]
    assert seconds(programs) == {"a": 1.0, "b": 1.0}
    assert "".join(calls) == "aabb" + "ab" * 3


def test_a_ratio_is_that_of_medians_with_the_quartiles_of_rounds() -> None:
    assert speed.spread([2.0, 4.0, 6.0], [1.0, 1.0, 2.0]) == "4.00 (2.00 to 4.00)"
    assert speed.spread([1.0, 1.0], [1.0, 1.0], 1) == "1.0 (1.0 to 1.0)"


def test_the_faster_number_of_cores_counts() -> None:
    times = {("ours", 1): [3.0, 9.0, 3.0], ("ours", 2): [4.0, 4.0, 4.0], ("theirs", 1): [1.0, 1.0, 1.0]}
    assert speed.best(times, "ours") == ([3.0, 9.0, 3.0], 1)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs Linux")
def test_the_processor_is_named() -> None:
    assert re.fullmatch(r".+, with(out)? AVX-512, \d+ cores", speed.processor())


def test_a_step_of_the_benchmark_is_a_step_of_training() -> None:
    case = Case("gru", 6, 3, 5)
    state, ids = run_of(case)
    assert len(ids) == 50 * 3 * 5
    with our_step(case, 1) as step:
        assert [step() for _ in range(3)] == [*itertools.islice(train(state, ids), 3)]


def test_optimizers_are_timed_by_steps_of_training_in_tens(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def recorded(case: Case, n: int, optimizer: str) -> nullcontext[Step]:
        return nullcontext(lambda: taken.append(optimizer))

    def rounds(programs: Mapping[str, Step]) -> dict[str, list[float]]:
        for program in programs.values():
            program()
        return {"adamw": [10.0, 10.0], "soap": [11.0, 11.0]}

    monkeypatch.setattr(speed, "our_step", recorded)
    monkeypatch.setattr(speed, "rounds", rounds)
    _, row, wide = speed.optimizers()
    assert taken == (["adamw"] * 10 + ["soap"] * 10) * 2
    assert row == ("GRU 2 x 256, B = 32, T = 64", "2.0k/s", "1.9k/s", "1.10 (1.10 to 1.10)")
    assert wide[0] == "GRU 2 x 512, B = 32, T = 64"
