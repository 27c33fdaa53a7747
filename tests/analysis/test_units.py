import math

import numpy as np
import pytest

from charrnn.analysis.units import ActivationReader, Unit, unit_named
from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError, UsageError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from charrnn.core.score import WINDOW
from charrnn.core.vocab import UNKNOWN
from tests.helpers.files import cell_settings
from tests.helpers.models import H, V, tiny_config, tiny_model

START = 2


def naive_activations(model: CharRNN, ids: Ids) -> Array:
    """h of every layer after each id, one step at a time; NaN after an unknown one."""
    state, rows = model.zero_state(1), []
    for i in [START, *ids.tolist()]:
        if i == UNKNOWN:
            rows.append(np.full(len(state) * H, math.nan))
            continue
        _, state = model.forward(np.array([[i]]), state, model.cache(1, 1))
        rows.append(np.concatenate([layer[0][:, 0] for layer in state]))
    return np.array(rows[1:])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("layers", "ensemble"), [(1, 1), (2, 1), (2, 3)])
def test_activations_equal_those_of_single_steps(cell: str, layers: int, ensemble: int) -> None:
    model = tiny_model(**cell_settings(cell), num_layers=layers, ensemble=ensemble, zoneout=0.1)
    ids = np.random.default_rng(3).integers(UNKNOWN, V, WINDOW + 40)
    reader = ActivationReader(model, START)
    found = [h for block in (ids[:0], ids[:7], ids[7:]) for h in reader.activations(block)]
    assert [len(h) for h in found] == [7, WINDOW, 33]
    np.testing.assert_allclose(np.concatenate(found), naive_activations(model, ids), rtol=1e-12, atol=1e-14)


def test_a_network_of_lines_is_reset_at_each_line() -> None:
    model = tiny_model(line_end=START)
    ids = np.array([3, 4, START, 3, 4, START])
    (h,) = ActivationReader(model, START).activations(ids)
    np.testing.assert_array_equal(h[:2], h[3:5])
    assert not np.array_equal(h[0], h[1])


def test_a_model_that_has_diverged_has_no_activations() -> None:
    model = tiny_model()
    model.vector[:] = math.nan
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(ActivationReader(model, START).activations(np.array([1])))


def test_units_are_counted_layer_by_layer_and_network_by_network() -> None:
    config = tiny_config(num_layers=2, ensemble=2)
    units = [Unit(layer, number) for layer in range(4) for number in range(H)]
    assert [str(unit) for unit in units] == [f"{layer}:{number}" for layer in range(4) for number in range(H)]
    assert [unit_named(str(unit), config) for unit in units] == units


@pytest.mark.parametrize("name", ["", "1", "4:0", f"0:{H}", "-1:0", "1:2:3", "a:b", "1: 2", "²:0", "0:" + "9" * 5000])
def test_a_unit_that_does_not_exist_is_refused_with_the_valid_ranges(name: str) -> None:
    with pytest.raises(UsageError, match=rf"LAYER:UNIT, layer 0 to 3 and unit 0 to {H - 1}"):
        unit_named(name, tiny_config(num_layers=2, ensemble=2))
