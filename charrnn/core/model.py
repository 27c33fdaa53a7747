"""The model: one network, or the mean of several that are trained side by side; all parameters in one flat vector.

    logits = 1/K Σ_k logits_k        (T, V, B)

Networks with different initial weights make different errors, so their mean makes fewer (Hansen & Salamon 1990; as deep
ensembles Lakshminarayanan et al. 2017). The mean of logits is a product of experts (Hinton 2002): the geometric mean of
the probabilities, scaled to sum to one.

A CharRNN holds configuration and parameters and nothing else: hidden state, activations and gradients are arguments,
so that scoring a text in the middle of training cannot disturb the training.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core.cells.cell import Cache, Params, Shapes, State
from charrnn.core.config import ModelConfig
from charrnn.core.network import Network, initialize, network_shapes, scope
from charrnn.core.ops import Array, Ids


def prefixes(config: ModelConfig) -> list[str]:
    """Return the prefix of each network's names of parameters and activations: empty for a single network."""
    return [f"networks.{k}." for k in range(config.ensemble)] if config.ensemble > 1 else [""]


def parameter_shapes(config: ModelConfig) -> Shapes:
    """Return name -> shape of every parameter in the order of the flat vector: all matrices, then all biases.

    Weight decay, which applies to matrices only, is then one expression on the front of the vector.
    """
    shapes = {f"{prefix}{name}": shape for prefix in prefixes(config) for name, shape in network_shapes(config).items()}
    return dict(sorted(shapes.items(), key=lambda item: len(item[1]), reverse=True))


def size_of(shapes: Shapes) -> int:
    """Return the total number of elements."""
    return sum(math.prod(shape) for shape in shapes.values())


def size_of_matrices(shapes: Shapes) -> int:
    """Return the number of elements in matrices, which come first in the vector of parameters."""
    return size_of({name: shape for name, shape in shapes.items() if len(shape) == 2})


def views(vector: Array, shapes: Shapes) -> Params:
    """Return the named parts of a flat vector (P,) as views."""
    params, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        params[name] = vector[start:end].reshape(shape)
        start = end
    return params


def initial_parameters(config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
    """Return the flat vector (P,) of a new model, drawn network by network."""
    shapes = parameter_shapes(config)
    vector = np.empty(size_of(shapes), dtype)
    for prefix in prefixes(config):
        initialize(scope(views(vector, shapes), prefix), config, rng)
    return vector


class CharRNN:
    """A model: its configuration and the flat vector (P,) of its parameters, with named views in `params`.

    Its state is the list of the networks' states, its cache and gradients are theirs under their prefixes.
    """

    def __init__(self, config: ModelConfig, vector: Array) -> None:
        self.config = config
        self.vector = vector
        self.params = views(vector, parameter_shapes(config))
        self.networks = [Network(config, scope(self.params, prefix)) for prefix in prefixes(config)]

    def __reduce__(self) -> tuple[type["CharRNN"], tuple[ModelConfig, Array]]:
        """Copy and pickle so that the copy's parameters are views of its own vector."""
        return CharRNN, (self.config, self.vector)

    def each(self, arrays: dict[str, Array]) -> list[dict[str, Array]]:
        """Return each network's part of a cache or of gradients, under the network's own names."""
        return [scope(arrays, prefix) for prefix in prefixes(self.config)]

    def each_state(self, state: State) -> list[State]:
        """Return the state of each network."""
        L = self.config.num_layers
        return [state[k * L : (k + 1) * L] for k in range(len(self.networks))]

    def zero_state(self, B: int) -> State:
        """Return the state of B streams before their first character."""
        return [layer for network in self.networks for layer in network.zero_state(B)]

    def cache(self, T: int, B: int, masks: int = 0) -> Cache:
        """Allocate the workspace for windows of up to T steps of B streams; masks as in Network.cache."""
        cache, logits = Cache(), (T, self.config.vocab_size, B)
        for prefix, network in zip(prefixes(self.config), self.networks, strict=True):
            own = {**network.cache(T, B, masks), "logits": np.empty(logits, self.vector.dtype)}
            cache |= {f"{prefix}{name}": array for name, array in own.items()}
        return cache

    def cache_bytes(self, T: int, B: int) -> int:
        """Return the size of `cache(T, B)` without allocating it."""
        logits = T * self.config.vocab_size * B * self.vector.itemsize
        return sum(network.cache_bytes(T, B) + logits for network in self.networks)

    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        """Read a window of ids x (T, B); return the logits (T, V, B), a view into the cache, and the state after it."""
        own = zip(self.networks, self.each_state(state), self.each(cache), strict=True)
        passes = [network.forward(x, before, part) for network, before, part in own]
        logits, *others = (part for part, _ in passes)
        for other in others:
            logits += other
        if others:
            logits /= len(passes)
        return logits, [layer for _, part in passes for layer in part]

    def backward(self, dlogits: Array, x: Ids, cache: Cache, grads: Params, dstate: State | None = None) -> State:
        """Go back through the window just read: add to every gradient in grads, return that of the initial state.

        dlogits (T, V, B) is the gradient of the loss; dstate that of the state after the window, zero if None.
        """
        share = dlogits / len(self.networks)
        dstates = self.each_state(dstate or self.zero_state(x.shape[1]))
        own = zip(self.networks, self.each(cache), self.each(grads), dstates, strict=True)
        firsts = [network.backward(share, x, part, part_grads, last) for network, part, part_grads, last in own]
        return [layer for first in firsts for layer in first]
