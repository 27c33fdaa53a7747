"""The activations of a network's units while it reads: h of every layer after each character.

A unit is named LAYER:UNIT, both counted from 0, as layers are in parameter names. In an ensemble the layers of the
first network come first, in the order of the state: layer l of network k is k·L + l.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charrnn.core.cells.cell import outputs
from charrnn.core.config import ModelConfig
from charrnn.core.errors import UsageError
from charrnn.core.model import CharRNN
from charrnn.core.network import scope
from charrnn.core.ops import Array, Ids
from charrnn.core.score import WINDOW, check_finite
from charrnn.core.vocab import UNKNOWN


class Unit(NamedTuple):
    """A unit of a model: column layer · H + number of the activations."""

    layer: int
    number: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.number}"


def unit_named(name: str, config: ModelConfig) -> Unit:
    """Return the unit with this name. Raises UsageError, with the valid ranges, if the model has no such unit."""
    layers, H = config.ensemble * config.num_layers, config.hidden_size
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", name)
    if not found or int(found[1]) >= layers or int(found[2]) >= H:
        raise UsageError(f"--neuron {name}: must be LAYER:UNIT, layer 0 to {layers - 1} and unit 0 to {H - 1}")
    return Unit(int(found[1]), int(found[2]))


class ActivationReader:
    """Reads a text as one stream and yields the activations of all U units. It starts after the start id."""

    def __init__(self, model: CharRNN, start_id: int) -> None:
        self.model, self.cache = model, model.cache(WINDOW, 1)
        self.size = model.config.ensemble * model.config.num_layers * model.config.hidden_size
        _, self.state = model.forward(np.array([[start_id]]), model.zero_state(1), self.cache)

    def activations(self, ids: Ids) -> Iterator[Array]:
        """Read ids (N,); yield activations (n, U) after up to WINDOW of them at a time, NaN after unknown ones.

        Raises DivergedError if they are not finite.
        """
        for window in (ids[i : i + WINDOW] for i in range(0, len(ids), WINDOW)):
            known = window != UNKNOWN
            x = window[known].astype(np.int64)[:, None]
            _, self.state = self.model.forward(x, self.state, self.cache)
            found = np.full((len(window), self.size), np.nan, self.model.vector.dtype)
            layers = range(self.model.config.num_layers)
            own = [scope(cache, f"layers.{l}.") for cache in self.model.each(self.cache) for l in layers]
            found[known] = np.concatenate([outputs(layer, len(x))[:, :, 0] for layer in own], axis=1)
            check_finite(float(found[known].sum()))
            yield found
