"""The table of activation functions of the plain RNN, each with its derivative.

The derivative is computed from the value f = φ(a), since forward keeps f and not a. A new activation is one pair of
functions and one line in ACTIVATIONS; the tests run over the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from charrnn.core.ops import ONE, Array, squash

LEAK = 0.01  # slope of leaky_relu below 0 (Maas et al. 2013)


class Activation(NamedTuple):
    """φ(a, out) writes the value; derivative(f, out) writes φ'(a) from f = φ(a). `out` may be the argument itself."""

    value: Callable[[Array, Array], object]
    derivative: Callable[[Array, Array], object]


def tanh_derivative(f: Array, out: Array) -> None:
    """φ' = 1 - f²."""
    np.multiply(f, f, out=out)
    np.subtract(ONE, out, out=out)


def relu(a: Array, out: Array) -> None:
    """φ = max(a, 0)."""
    np.maximum(a, 0, out=out)


def relu_derivative(f: Array, out: Array) -> None:
    """φ' = 1 where f > 0, else 0."""
    np.greater(f, 0, out=out, casting="unsafe")


def sigmoid(a: Array, out: Array) -> None:
    """φ = 1 / (1 + exp(-a)) = ½ + ½ tanh(a/2), which cannot overflow."""
    np.copyto(out, a)
    squash(out, len(out))


def sigmoid_derivative(f: Array, out: Array) -> None:
    """φ' = f (1 - f)."""
    out[...] = f * (1 - f)


def leaky_relu(a: Array, out: Array) -> None:
    """φ = a where a > 0, else LEAK·a."""
    np.maximum(a, LEAK * a, out=out)


def leaky_relu_derivative(f: Array, out: Array) -> None:
    """φ' = 1 where f > 0, else LEAK."""
    np.greater(f, 0, out=out, casting="unsafe")
    out *= 1 - LEAK
    out += LEAK


def softsign(a: Array, out: Array) -> None:
    """φ = a / (1 + |a|)."""
    np.divide(a, 1 + np.abs(a), out=out)


def softsign_derivative(f: Array, out: Array) -> None:
    """φ' = 1 / (1 + |a|)² = (1 - |f|)²."""
    np.square(1 - np.abs(f), out=out)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(np.tanh, tanh_derivative),
    "relu": Activation(relu, relu_derivative),
    "sigmoid": Activation(sigmoid, sigmoid_derivative),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative),
    "softsign": Activation(softsign, softsign_derivative),
}
