"""The parts of the benchmark of speed that need no PyTorch, which the tests do not install."""

import itertools

import numpy as np
import pytest

from benchmarks import speed
from benchmarks.speed import CELLS_TIMED, DEFAULT, Case, Step, our_step, run_of, seconds
from charrnn.core.model import parameter_shapes
from charrnn.core.train import train


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


def test_a_step_of_the_benchmark_is_a_step_of_training() -> None:
    case = Case("gru", 6, 3, 5)
    state, ids = run_of(case)
    assert len(ids) == 50 * 3 * 5
    with our_step(case, 1) as step:
        assert [step() for _ in range(3)] == [*itertools.islice(train(state, ids), 3)]
