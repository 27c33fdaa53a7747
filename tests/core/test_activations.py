from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.core.cells.activations import ACTIVATIONS
from charrnn.core.ops import Array
from tests.helpers.naive import ACTIVATIONS as FORMULAS

POINTS = np.array([-30, -2, -0.5, -1e-3, 1e-3, 0.5, 2, 30])
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def applied(function: Callable[[Array, Array], object], a: Array) -> Array:
    """Return the array that a function writes to `out`."""
    out = np.full_like(a, np.nan)
    function(a, out)
    return out


def test_every_activation_has_a_formula() -> None:
    assert ACTIVATIONS.keys() == FORMULAS.keys()


@every_activation
def test_the_value_follows_the_formula(name: str) -> None:
    assert_allclose(applied(ACTIVATIONS[name].value, POINTS), FORMULAS[name].value(POINTS), rtol=1e-12, atol=1e-15)


@every_activation
def test_the_derivative_follows_from_the_value_and_agrees_with_finite_differences(name: str) -> None:
    value, derivative = ACTIVATIONS[name]
    found = applied(derivative, applied(value, POINTS))
    above, below = applied(value, POINTS + 1e-6), applied(value, POINTS - 1e-6)
    assert_allclose(found, (above - below) / 2e-6, rtol=0, atol=1e-8)
    assert_allclose(found, FORMULAS[name].derivative(POINTS), rtol=1e-12, atol=1e-12)
    assert np.abs(found).max() > 0.1


@every_activation
def test_value_and_derivative_may_overwrite_their_argument(name: str) -> None:
    for function in ACTIVATIONS[name]:
        argument = POINTS / 31
        expected = applied(function, argument)
        function(argument, argument)
        assert_array_equal(argument, expected)


@every_activation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_arguments_give_finite_values_of_the_same_type(name: str, dtype: type[np.floating]) -> None:
    value, derivative = ACTIVATIONS[name]
    with np.errstate(over="raise", invalid="raise"):
        f = applied(value, np.array([-1e30, 1e30], dtype))
        slope = applied(derivative, f)
    assert f.dtype == slope.dtype == dtype
    assert np.isfinite([f, slope]).all()


@pytest.mark.parametrize(("name", "expected"), [("relu", 0), ("leaky_relu", 0.01)])
def test_at_zero_the_derivative_is_that_of_negative_arguments(name: str, expected: float) -> None:
    assert_allclose(applied(ACTIVATIONS[name].derivative, np.zeros(1)), expected, rtol=1e-12)
