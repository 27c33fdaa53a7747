"""A model step by step against the same model over windows."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import DTypeLike

from charrnn.cells import CELLS
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.sampling import stepper
from charrnn.sampling.filters import Logits
from charrnn.sampling.stepper import WINDOW, Stepper, read_prompt
from tests.helpers.files import cell_settings
from tests.helpers.models import V, tiny_model

B, T, NEWLINE = 3, 9, 2
NETWORKS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "three layers": {"num_layers": 3},
    "zoneout": {"num_layers": 2, "zoneout": 0.3},
    "lines": {"num_layers": 2, "line_end": NEWLINE},
    "ensemble": {"num_layers": 2, "ensemble": 3},
    "all of it": {"num_layers": 2, "zoneout": 0.2, "line_end": NEWLINE, "ensemble": 2},
}
every_cell = pytest.mark.parametrize("cell", CELLS)
every_network = pytest.mark.parametrize("network", NETWORKS)


def model_of(cell: str, network: str, dtype: DTypeLike = np.float64) -> CharRNN:
    return tiny_model(dtype=dtype, **cell_settings(cell), **NETWORKS[network])


def windowed(model: CharRNN, text: Ids) -> Logits:
    """The logits (V,) of what comes after a text."""
    logits, _ = model.forward(text[:, None], model.zero_state(1), model.cache(len(text), 1))
    return logits[-1, :, 0].astype(np.float64)


def texts(prompt_length: int) -> tuple[Ids, Ids]:
    """A prompt (N,), and what each of B texts goes on with, (T, B)."""
    rng = np.random.default_rng(prompt_length)
    return rng.integers(0, V, prompt_length), rng.integers(0, V, (T, B))


def assert_steps_equal_windows(model: CharRNN, prompt_length: int, tolerance: float) -> None:
    prompt, more = texts(prompt_length)
    steps = Stepper(read_prompt(model, prompt), B)
    for t in range(T):
        logits = steps.step().copy()
        for b in range(B):
            whole = np.concatenate([prompt, more[:t, b]])
            assert_allclose(logits[b], windowed(model, whole), rtol=0, atol=tolerance)
        steps.ids[:] = more[t]


@every_network
@every_cell
def test_steps_give_the_logits_of_windows(cell: str, network: str) -> None:
    assert_steps_equal_windows(model_of(cell, network), 4, 1e-13)
    assert_steps_equal_windows(model_of(cell, network, np.float32), 4, 1e-5)


@pytest.mark.parametrize("prompt_length", [1, 2, WINDOW, WINDOW + 1, WINDOW + 2, 2 * WINDOW + 9])
def test_a_prompt_of_any_length_is_read_whole(prompt_length: int) -> None:
    assert_steps_equal_windows(model_of("gru", "all of it"), prompt_length, 1e-13)


@every_cell
def test_a_table_too_large_to_keep_is_not_needed(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepper, "TABLE_NUMBERS", V)
    model = model_of(cell, "three layers")
    assert read_prompt(model, np.array([1])).stacks[0].table is None
    assert_steps_equal_windows(model, 4, 1e-13)


@every_network
@every_cell
def test_a_text_that_begins_anew_repeats_itself_to_the_last_bit_and_disturbs_no_other(cell: str, network: str) -> None:
    prompt, more = texts(4)
    runs = []
    for restarted in (None, 1):
        steps = Stepper(read_prompt(model_of(cell, network, np.float32), prompt), B)
        logits = [steps.step().copy()]
        for t in range(T):
            steps.ids[:] = more[t]
            if t == 3 and restarted is not None:
                steps.restart(restarted)
            elif t > 3 and restarted is not None:
                steps.ids[restarted] = more[t - 4, restarted]
            logits.append(steps.step().copy())
        runs.append(np.array(logits))
    whole, anew = runs
    assert_array_equal(anew[:, [0, 2]], whole[:, [0, 2]])
    assert_array_equal(anew[4:, 1], whole[: T - 3, 1])


@every_cell
def test_steps_work_in_the_same_arrays(cell: str) -> None:
    steps = Stepper(read_prompt(model_of(cell, "three layers"), np.array([1])), B)
    first, before = steps.step(), [*steps.carried]
    assert steps.step() is first
    assert all(array is same for array, same in zip(steps.carried, before, strict=True))
