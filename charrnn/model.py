"""The model: the mean of networks that learn side by side, one as a rule; all parameters in one flat vector.

    logits = 1/K Σ_k logits_k        (T, V, B)

Networks that began differently err differently, so their mean errs less than each (Hansen & Salamon 1990; as deep
ensembles Lakshminarayanan et al. 2017). The mean of logits is a product of experts (Hinton 2002): the probabilities'
geometric mean, scaled to sum to one.

A CharRNN holds configuration and parameters and nothing else: hidden state, activations and gradients are arguments,
so scoring a text in the middle of training cannot disturb the training.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

from charrnn.cells.cell import Cache, Params, Shapes, State
from charrnn.config import ModelConfig
from charrnn.network import Network, initialize, network_shapes, scope
from charrnn.ops import Array, Ids


def prefixes(config: ModelConfig) -> list[str]:
    """Return what stands before the names of each network's parameters and activations: nothing where there is one."""
    return [f"networks.{k}." for k in range(config.ensemble)] if config.ensemble > 1 else [""]


def parameter_shapes(config: ModelConfig) -> Shapes:
    """Return name -> shape of every parameter in the order of the flat vector: all matrices, then all biases.

    So weight decay, which is for matrices only, is one expression on the vector's front.
    """
    shapes = {f"{prefix}{name}": shape for prefix in prefixes(config) for name, shape in network_shapes(config).items()}
    return dict(sorted(shapes.items(), key=lambda item: len(item[1]), reverse=True))


def size_of(shapes: Shapes) -> int:
    """Return how many numbers the named arrays hold together."""
    return sum(math.prod(shape) for shape in shapes.values())


def views(vector: Array, shapes: Shapes) -> Params:
    """Return the named parts of a flat vector (P,), without copying."""
    params, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        params[name] = vector[start:end].reshape(shape)
        start = end
    return params


def initial_parameters(config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Array:
    """Draw the flat vector (P,) of a new model, one network after the other."""
    shapes = parameter_shapes(config)
    vector = np.empty(size_of(shapes), dtype)
    for prefix in prefixes(config):
        initialize(scope(views(vector, shapes), prefix), config, rng)
    return vector


class CharRNN:
    """A model: its configuration and the flat vector (P,) of its parameters, seen by name in `params`.

    Its state is the networks' states one after the other, its cache and gradients theirs under their prefixes.
    """

    def __init__(self, config: ModelConfig, vector: Array) -> None:
        self.config = config
        self.vector = vector
        self.params = views(vector, parameter_shapes(config))
        self.networks = [Network(config, scope(self.params, prefix)) for prefix in prefixes(config)]

    def __reduce__(self) -> tuple[type["CharRNN"], tuple[ModelConfig, Array]]:
        """Copy and pickle so that the parameters of the copy are views of its own vector."""
        return CharRNN, (self.config, self.vector)

    def each(self, arrays: dict[str, Array]) -> list[dict[str, Array]]:
        """Return the part of each network in a cache or in gradients, by the network's own names."""
        return [scope(arrays, prefix) for prefix in prefixes(self.config)]

    def each_state(self, state: State) -> list[State]:
        """Return the state of each network."""
        L = self.config.num_layers
        return [state[k * L : (k + 1) * L] for k in range(len(self.networks))]

    def zero_state(self, B: int) -> State:
        """Return the state of B streams that have read nothing."""
        return [layer for network in self.networks for layer in network.zero_state(B)]

    def cache(self, T: int, B: int, masks: int = 0) -> Cache:
        """Allocate the workspace for windows of up to T steps of B streams; masks as in Network.cache."""
        cache, logits = Cache(), (T, self.config.vocab_size, B)
        for prefix, network in zip(prefixes(self.config), self.networks, strict=True):
            own = {**network.cache(T, B, masks), "logits": np.empty(logits, self.vector.dtype)}
            cache |= {f"{prefix}{name}": array for name, array in own.items()}
        return cache

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
