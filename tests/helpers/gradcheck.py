"""A check of hand-written gradients against central differences, in float64.

Each tensor is checked along its own direction, since in one direction through all tensors a large gradient could hide
the error of a small one; then along a few coordinates.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from charrnn.core.ops import Array

STEP = 1e-5
RELATIVE = 1e-6
ROUNDING = 1e-9  # of a loss of size 1, divided by 2·STEP
COORDINATES = 3


def derivative(loss: Callable[[], float], tensor: Array, direction: Array) -> float:
    """Return the derivative of the loss along a direction of a tensor that it reads; the tensor is restored."""
    kept = tensor.copy()
    tensor[...] = kept + STEP * direction
    above = loss()
    tensor[...] = kept - STEP * direction
    below = loss()
    tensor[...] = kept
    return (above - below) / (2 * STEP)


def directions(grad: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield unit vectors: one through every coordinate, then single coordinates.

    The first has random magnitudes and the signs of the gradient, so that no terms cancel and an error anywhere shows.
    """
    direction = np.where(grad < 0, -1, 1) * rng.uniform(0.5, 1.5, grad.shape)
    yield direction / np.linalg.norm(direction)
    for i in rng.choice(grad.size, min(COORDINATES, grad.size), replace=False):
        yield np.eye(1, grad.size, i).reshape(grad.shape)


def check_gradients(loss: Callable[[], float], tensors: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
    """Assert that each of grads is the derivative of the loss with respect to the tensor of the same name.

    Also assert that each gradient is large enough for the check: an error of 0.1 % must not pass as rounding.
    """
    assert tensors.keys() == grads.keys()
    rng, rounding = np.random.default_rng(0), ROUNDING * max(1, abs(loss()))
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float64, name
        assert tensor.shape == grads[name].shape, name
        for i, direction in enumerate(directions(grads[name], rng)):
            expected, found = derivative(loss, tensor, direction), float(np.vdot(grads[name], direction))
            allowed = RELATIVE * abs(expected) + rounding
            assert abs(found - expected) <= allowed, f"{name}: derivative {found!r}, by differences {expected!r}"
            assert i > 0 or 1e-3 * abs(expected) > 2 * allowed, f"{name}: gradient too small to check, {expected!r}"
