import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.config import SCHEDULE_NAMES, TrainConfig
from charrnn.schedule import FINAL, SCHEDULES, lr_at


def rates(steps: int, warmup: int, lr: float = 0.5) -> list[float]:
    config = TrainConfig(steps, f"{steps} steps", lr=lr, warmup=warmup)
    return [lr_at(step, config) for step in range(steps)]


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 1 / 11),  # not 0: the first step should teach something
        (9, 10 / 11),
        (10, 1),
        (40, FINAL + (1 - FINAL) * 0.75),  # a third of the way down: cos(π/3) = 1/2
        (55, FINAL + (1 - FINAL) * 0.5),
        (99, FINAL + (1 - FINAL) * math.sin(math.pi / 180) ** 2),  # the last
    ],
)
def test_the_rate_warms_up_and_falls_along_a_cosine(step: int, share: float) -> None:
    assert rates(100, 10)[step] == pytest.approx(0.5 * share, rel=1e-12)


@pytest.mark.parametrize(("name", "shares"), [("constant", [1, 1, 1]), ("linear", [1, 0.755, 0.51])])
def test_other_schedules_stay_or_fall_along_a_line(name: str, shares: list[float]) -> None:
    config = TrainConfig(110, "110 steps", lr=0.5, warmup=10, schedule=name)
    assert [lr_at(step, config) for step in (10, 35, 60)] == pytest.approx([0.5 * share for share in shares], rel=1e-12)
    assert lr_at(0, config) == pytest.approx(0.5 / 11)


def test_every_schedule_has_a_name_on_the_command_line() -> None:
    assert set(SCHEDULE_NAMES) == SCHEDULES.keys()


@settings(deadline=None, max_examples=50, derandomize=True)
@example(1, 0)
@example(1, 9)
@example(2, 9)
@given(st.integers(1, 90), st.integers(0, 200))
def test_the_rate_rises_to_its_peak_within_the_first_half_and_then_falls(steps: int, warmup: int) -> None:
    curve = rates(steps, warmup)
    peak = min(warmup, steps // 2)
    assert curve[peak] == 0.5
    assert curve[: peak + 1] == sorted(set(curve[: peak + 1]))
    assert curve[peak:] == sorted(set(curve[peak:]), reverse=True)
    assert min(curve[peak:]) > 0.5 * FINAL


def test_the_rate_depends_on_the_step_alone() -> None:
    config = TrainConfig(30, "30 steps", warmup=7)
    steps = [29, 3, 3, 0, 17]
    assert [lr_at(step, config) for step in steps] == [rates(30, 7, config.lr)[step] for step in steps]
