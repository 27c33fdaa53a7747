"""Hand-written gradients against central differences, in float64.

Each tensor is checked along a direction of its own, since one direction through all of them could hide a small tensor's
error under a large one's gradient; then along a few of its coordinates.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from charrnn.ops import Array

STEP = 1e-5
RELATIVE = 1e-6
ROUNDING = 1e-9  # of a loss of size 1, divided by 2·STEP
COORDINATES = 3


def derivative(loss: Callable[[], float], tensor: Array, direction: Array) -> float:
    """Return the slope of the loss as the tensor, which it reads, moves along a direction; the tensor is put back."""
    kept = tensor.copy()
    tensor[...] = kept + STEP * direction
    above = loss()
    tensor[...] = kept - STEP * direction
    below = loss()
    tensor[...] = kept
    return (above - below) / (2 * STEP)


def directions(grad: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield unit vectors: one through every coordinate, then single coordinates.

    The first has random lengths but the gradient's own signs. So no terms cancel, and an error anywhere shows.
    """
    through = np.where(grad < 0, -1, 1) * rng.uniform(0.5, 1.5, grad.shape)
    yield through / np.linalg.norm(through)
    for i in rng.choice(grad.size, min(COORDINATES, grad.size), replace=False):
        yield np.eye(1, grad.size, i).reshape(grad.shape)


def check_gradients(loss: Callable[[], float], tensors: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
    """Fail unless each of grads is the derivative of the loss with respect to the tensor of that name.

    Fails too where a gradient is so small that an error of 0.1 % would pass as rounding: such a check proves nothing.
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
            assert i > 0 or 1e-3 * abs(expected) > 2 * allowed, f"{name}: a gradient too small to judge, {expected!r}"
