import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.core.config import VALIDATION_CHARS, TrainConfig
from charrnn.core.errors import UsageError
from charrnn.training.defaults import Budget, default_batch_size, default_dropout, default_eval_every, default_steps

HUGE = 2**53
NUMBERS = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(), "default"),
        (Budget("steps", 12_345_678), "12345678 steps"),
        (Budget("epochs", 2.5), "2.5 epochs"),
        (Budget("seconds", 150.0), "150 seconds"),
    ],
)
def test_the_text_of_a_budget(budget: Budget, text: str) -> None:
    assert str(budget) == text


@pytest.mark.parametrize(
    ("train_chars", "val_chars", "batch_size", "steps", "eval_every"),
    [
        (18_000, 2_000, 8, 352, 36),  # 20 KB: ten epochs, ten validations
        (900_000, 100_000, 32, 3_706, 371),  # 1 MB: 8 epochs, ten validations
        (45_000_000, 5_000_000, 32, 26_204, 2_621),  # 50 MB: 1.2 epochs, ten validations
        (5_760_000, 640_000, 32, 9_375, 1_563),  # 6.4 MB: 3.3 epochs, six validations
        (9_000_000_000, 1_000_000_000, 32, 370_580, 37_058),  # 10 GB: 0.08 epochs, ten validations
        (6_144, 0, 3, 320, 32),  # streams of 32 windows each
        (900, 100, 1, 141, 15),
        (1, 0, 1, 1, 1),
    ],
)
def test_the_default_budget_suits_the_text(
    train_chars: int, val_chars: int, batch_size: int, steps: int, eval_every: int
) -> None:
    assert default_batch_size(train_chars, seq_len=64) == batch_size
    assert default_steps(train_chars, batch_size, seq_len=64) == steps
    assert default_eval_every(steps, val_chars, batch_size, seq_len=64) == eval_every


@pytest.mark.parametrize(
    ("train_chars", "dropout"), [(1, 0.3), (49_999, 0.3), (50_000, 0.2), (149_999, 0.2), (150_000, 0.1), (500_000, 0.0)]
)
def test_smaller_texts_get_more_dropout(train_chars: int, dropout: float) -> None:
    assert default_dropout(train_chars) == dropout


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(1, 10**8), st.floats(0, 0.99), st.integers(1, 600))
def test_default_budgets_fit_any_text(train_chars: int, val_fraction: float, seq_len: int) -> None:
    batch_size = default_batch_size(train_chars, seq_len)
    steps = default_steps(train_chars, batch_size, seq_len)
    val_chars = int(train_chars * val_fraction / (1 - val_fraction))
    eval_every = default_eval_every(steps, val_chars, batch_size, seq_len)
    TrainConfig(steps, "default", batch_size, seq_len, eval_every=eval_every)
    assert batch_size * seq_len <= train_chars or batch_size == 1
    validations = math.ceil(steps / eval_every)
    assert 1 <= validations <= 10
    assert validations == 1 or validations * min(val_chars, VALIDATION_CHARS) <= 0.2 * steps * batch_size * seq_len


@pytest.mark.parametrize("value", [0, -1, 65537, 10**30, *NUMBERS])
def test_a_window_out_of_range_is_refused_by_every_default(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^--seq-len .*: must be 1 to 65536"):
        default_batch_size(1000, value)
    with pytest.raises(UsageError, match=r"^--seq-len .*: must be 1 to 65536"):
        default_steps(1000, 32, value)
    with pytest.raises(UsageError, match=r"^--batch-size .*: must be 1 to 65536"):
        default_steps(1000, value, 64)


@pytest.mark.parametrize("kind", ["steps", "epochs", "seconds"])
@pytest.mark.parametrize("amount", [0, -1, HUGE, *NUMBERS])
def test_a_budget_out_of_range_is_refused(kind: Any, amount: float) -> None:
    with pytest.raises(UsageError, match=r"^--(steps|epochs|time) .*: must be above 0"):
        Budget(kind, amount)


def test_an_unknown_kind_of_budget_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^budget years: must be steps, epochs or seconds"):
        Budget("years", 1)  # type: ignore[arg-type]
