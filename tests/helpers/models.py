"""Small networks for tests."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core.config import ModelConfig
from charrnn.core.model import CharRNN, parameter_shapes, size_of

V, D, H, B, T = 7, 6, 4, 3, 5  # pairwise different, so that a transposed axis cannot pass


def tiny_config(vocab_size: int = V, **config: Any) -> ModelConfig:
    """Return the configuration of a network of these sizes, a plain RNN unless another cell is given."""
    settings: dict[str, Any] = {"cell": "rnn", "embed_size": D, "hidden_size": H, "num_layers": 1}
    return ModelConfig(vocab_size, **settings | config)


def tiny_model(vocab_size: int = V, *, seed: int = 0, dtype: DTypeLike = np.float64, **config: Any) -> CharRNN:
    """Return a model with random parameters, biases included: the zeros of a new network would hide errors in them."""
    settings = tiny_config(vocab_size, **config)
    vector = np.random.default_rng(seed).normal(0, 0.5, size_of(parameter_shapes(settings)))
    return CharRNN(settings, vector.astype(dtype))
