"""The incremental model is compared with the same model over windows."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import DTypeLike

from charrnn.core import ops
from charrnn.core.cells import CELLS
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.sample import Logits
from charrnn.sampling import incremental
from charrnn.sampling.incremental import PROMPT_STEPS, ROWS, IncrementalModel, PromptState, cut_rows, look_up
from tests.helpers.files import cell_settings
from tests.helpers.models import V, tiny_model

B, T, NEWLINE = 3, 9, 2
NETWORKS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "three layers": {"num_layers": 3},
    "zoneout": {"num_layers": 2, "zoneout": 0.3},
    "lines": {"num_layers": 2, "line_end": NEWLINE},
    "ensemble": {"num_layers": 2, "ensemble": 3},
    "everything": {"num_layers": 2, "zoneout": 0.2, "line_end": NEWLINE, "ensemble": 2},
}
every_cell = pytest.mark.parametrize("cell", CELLS)
every_network = pytest.mark.parametrize("network", NETWORKS)


def model_of(cell: str, network: str, dtype: DTypeLike = np.float64) -> CharRNN:
    return tiny_model(dtype=dtype, **cell_settings(cell), **NETWORKS[network])


def windowed(model: CharRNN, text: Ids) -> Logits:
    """The logits (V,) of the next character after a text."""
    logits, _ = model.forward(text[:, None], model.zero_state(1), model.cache(len(text), 1))
    return logits[-1, :, 0].astype(np.float64)


def texts(prompt_length: int) -> tuple[Ids, Ids]:
    """A prompt (N,), and the characters that follow it in each of B texts, (T, B)."""
    rng = np.random.default_rng(prompt_length)
    return rng.integers(0, V, prompt_length), rng.integers(0, V, (T, B))


def assert_steps_equal_windows(model: CharRNN, prompt_length: int, tolerance: float) -> None:
    prompt, more = texts(prompt_length)
    incremental_model = IncrementalModel(PromptState(model, prompt), B)
    for t in range(T):
        logits = incremental_model.step().copy()
        for b in range(B):
            text = np.concatenate([prompt, more[:t, b]])
            assert_allclose(logits[b], windowed(model, text), rtol=0, atol=tolerance)
        incremental_model.ids[:] = more[t]


@every_network
@every_cell
def test_steps_give_the_logits_of_windows(cell: str, network: str) -> None:
    assert_steps_equal_windows(model_of(cell, network), 4, 1e-13)
    assert_steps_equal_windows(model_of(cell, network, np.float32), 4, 1e-5)


@pytest.mark.parametrize(
    "prompt_length", [1, 2, PROMPT_STEPS, PROMPT_STEPS + 1, PROMPT_STEPS + 2, 2 * PROMPT_STEPS + 9]
)
def test_a_prompt_of_any_length_is_read_to_its_end(prompt_length: int) -> None:
    assert_steps_equal_windows(model_of("gru", "everything"), prompt_length, 1e-13)


@every_network
@every_cell
def test_a_prompt_can_be_read_in_parts_and_reports_what_is_read(cell: str, network: str) -> None:
    model, (prompt, _), read = model_of(cell, network), texts(PROMPT_STEPS + 9), list[int]()
    start = PromptState(model, prompt[:3])
    whole = start.after(prompt[3:], read.append)
    assert read == [PROMPT_STEPS, 6]
    assert start.after(prompt[:0]).last_id == start.last_id == prompt[2]
    for state, length in ((start, 3), (whole, len(prompt))):
        text = IncrementalModel(state, B)
        assert_allclose(text.step()[0], windowed(model, prompt[:length]), rtol=0, atol=1e-13)


def test_reading_can_be_stopped_and_leaves_the_start_as_it_was() -> None:
    def stop(count: int) -> None:
        raise KeyboardInterrupt

    model, (prompt, _) = model_of("gru", "lines"), texts(9)
    start = PromptState(model, prompt[:3])
    with pytest.raises(KeyboardInterrupt):
        start.after(prompt[3:], stop)
    assert_allclose(IncrementalModel(start, B).step()[0], windowed(model, prompt[:3]), rtol=0, atol=1e-13)


@every_cell
def test_the_input_table_is_optional(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "MAX_TABLE_SIZE", V)
    model = model_of(cell, "three layers")
    assert PromptState(model, np.array([1])).networks[0].table is None
    assert_steps_equal_windows(model, 4, 1e-13)


@every_network
@every_cell
def test_a_restarted_text_repeats_itself_to_the_last_bit_and_leaves_the_others_alone(cell: str, network: str) -> None:
    prompt, more = texts(4)
    runs = []
    for restarted in (None, 1):
        model = IncrementalModel(PromptState(model_of(cell, network, np.float32), prompt), B)
        logits = [model.step().copy()]
        for t in range(T):
            model.ids[:] = more[t]
            if t == 3 and restarted is not None:
                model.restart(restarted)
            elif t > 3 and restarted is not None:
                model.ids[restarted] = more[t - 4, restarted]
            logits.append(model.step().copy())
        runs.append(np.array(logits))
    undisturbed, with_restart = runs
    assert_array_equal(with_restart[:, [0, 2]], undisturbed[:, [0, 2]])
    assert_array_equal(with_restart[4:, 1], undisturbed[: T - 3, 1])


@every_cell
def test_steps_reuse_their_arrays(cell: str) -> None:
    model = IncrementalModel(PromptState(model_of(cell, "three layers"), np.array([1])), B)
    first, before = model.step(), [*model.carried]
    assert model.step() is first
    assert all(array is same for array, same in zip(model.carried, before, strict=True))


@pytest.mark.usefixtures("small_kernels")
def test_a_matrix_with_any_number_of_rows_is_cut_into_blocks() -> None:
    W, x = np.random.default_rng(0).standard_normal((769, 256)), np.random.default_rng(1).standard_normal((256, 32))
    blocks = cut_rows(W, 32)
    assert blocks.shape == (17, ROWS, 256)
    products = (blocks @ x).reshape(-1, 32)
    assert_allclose(products[:769], W @ x, rtol=1e-12, atol=1e-12)
    assert not products[769:].any()
    assert cut_rows(W, 1).shape == (1, 769, 256)
    assert np.shares_memory(cut_rows(W[:9], 32), W)


@every_cell
@pytest.mark.usefixtures("small_kernels")
def test_steps_in_row_blocks_give_the_same_logits(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(hidden_size=190, num_layers=2, **cell_settings(cell))
    logits = []
    for blocks in (True, False):
        monkeypatch.setattr(ops, "ROW_BLOCKS", blocks)
        ops.block_size.cache_clear()
        texts = IncrementalModel(PromptState(model, np.array([1, 3])), 40)
        texts.step()
        texts.ids[:] = np.arange(40) % V
        logits.append(texts.step().copy())
    assert_allclose(logits[0], logits[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("B", [1, 3])
def test_the_table_is_read_by_row(B: int) -> None:
    table, ids, a = np.arange(20.0).reshape(5, 4), np.array([3, 0, 4])[:B], np.empty((4, B))
    operations = look_up(table, ids, a)
    for shift in (0, 1):
        ids[:] = (ids + shift) % 5
        for operation in operations:
            operation()
        assert_array_equal(a, table[ids].T)
