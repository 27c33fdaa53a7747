"""What the units of a network hold while it reads: h of every layer after each character.

A unit is named LAYER:UNIT, both counted from 0 as the parameters' names count layers. Of several networks the first
one's layers come first, in the order of the state: layer l of network k is k·L + l.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import outputs
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.evaluate.stream import WINDOW, check_finite
from charrnn.model import CharRNN
from charrnn.network import scope
from charrnn.ops import Array, Ids
from charrnn.vocab import UNKNOWN


class Unit(NamedTuple):
    """A unit of a model."""

    layer: int
    number: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.number}"


def unit_named(name: str, config: ModelConfig) -> Unit:
    """Return the unit that is named; raises UsageError, telling the ranges, if a model has no such unit."""
    layers, H = config.ensemble * config.num_layers, config.hidden_size
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", name)
    if not found or int(found[1]) >= layers or int(found[2]) >= H:
        raise UsageError(f"--neuron {name}: must be LAYER:UNIT, layer 0 to {layers - 1} and unit 0 to {H - 1}")
    return Unit(int(found[1]), int(found[2]))


def unit_at(column: int, config: ModelConfig) -> Unit:
    """Return the unit of a column of activations."""
    return Unit(*divmod(column, config.hidden_size))


def column_of(unit: Unit, config: ModelConfig) -> int:
    """Return the column of a unit in activations."""
    return unit.layer * config.hidden_size + unit.number


class Reader:
    """Reads a text as one stream and tells what all units hold; it has read the start id, and nothing else."""

    def __init__(self, model: CharRNN, start_id: int) -> None:
        self.model, self.cache = model, model.cache(WINDOW, 1)
        self.size = model.config.ensemble * model.config.num_layers * model.config.hidden_size
        _, self.state = model.forward(np.array([[start_id]]), model.zero_state(1), self.cache)

    def read(self, ids: Ids) -> Iterator[Array]:
        """Read ids (N,); yield activations (n, U) after up to WINDOW of them at a time, NaN after unknown ones.

        Raises DivergedError if they are not finite.
        """
        for window in (ids[i : i + WINDOW] for i in range(0, len(ids), WINDOW)):
            known = window != UNKNOWN
            x = window[known].astype(np.int64)[:, None]
            _, self.state = self.model.forward(x, self.state, self.cache)
            found = np.full((len(window), self.size), np.nan, self.model.vector.dtype)
            found[known] = self.activations(len(x))
            check_finite(float(found[known].sum()))
            yield found

    def activations(self, T: int) -> Array:
        """Return what the last T steps left in the cache, (T, U): layer by layer, network by network."""
        layers = range(self.model.config.num_layers)
        own = [scope(cache, f"layers.{l}.") for cache in self.model.each(self.cache) for l in layers]
        return np.concatenate([outputs(layer, T)[:, :, 0] for layer in own], axis=1)
