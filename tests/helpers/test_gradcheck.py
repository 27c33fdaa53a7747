from collections.abc import Callable

import numpy as np
import pytest

from charrnn.core.ops import Array
from tests.helpers.gradcheck import check_gradients, derivative

Tensors = dict[str, Array]
Task = tuple[Callable[[], float], Tensors, Tensors]


@pytest.fixture
def task() -> Task:
    """A loss of two tensors, the second with a gradient a thousand times smaller, and the right gradients."""
    rng = np.random.default_rng(1)
    W, b, x = rng.standard_normal((4, 6)), rng.standard_normal(4), rng.standard_normal(6)

    def loss() -> float:
        return float(np.tanh(W @ x).sum() + 1e-3 * np.sin(b).sum())

    return loss, {"W": W, "b": b}, {"W": np.outer(1 - np.tanh(W @ x) ** 2, x), "b": 1e-3 * np.cos(b)}


def test_the_right_gradient_passes_and_the_tensors_are_restored(task: Task) -> None:
    before = {name: tensor.copy() for name, tensor in task[1].items()}
    check_gradients(*task)
    assert all(np.array_equal(task[1][name], before[name]) for name in before)


@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize("factor", [1.001, 0.999, -1, 0])
def test_an_error_of_a_thousandth_in_any_one_tensor_fails(task: Task, name: str, factor: float) -> None:
    loss, tensors, grads = task
    grads[name] *= factor
    with pytest.raises(AssertionError, match=f"{name}: derivative"):
        check_gradients(loss, tensors, grads)


@pytest.mark.parametrize("name", ["W", "b"])
def test_an_error_in_any_one_coordinate_fails(task: Task, name: str) -> None:
    loss, tensors, grads = task
    error = 1e-3 * np.linalg.norm(grads[name])
    for i in range(grads[name].size):
        wrong = grads | {name: grads[name] + error * np.eye(1, grads[name].size, i).reshape(grads[name].shape)}
        with pytest.raises(AssertionError, match=f"{name}: derivative"):
            check_gradients(loss, tensors, wrong)


def test_two_exchanged_rows_fail(task: Task) -> None:
    loss, tensors, grads = task
    grads["W"][[0, 1]] = grads["W"][[1, 0]]
    with pytest.raises(AssertionError, match="W: derivative"):
        check_gradients(loss, tensors, grads)


def test_a_gradient_of_the_wrong_shape_fails_and_a_missing_one_too(task: Task) -> None:
    loss, tensors, grads = task
    with pytest.raises(AssertionError, match="W"):
        check_gradients(loss, tensors, grads | {"W": grads["W"].T})
    with pytest.raises(AssertionError):
        check_gradients(loss, tensors, {"W": grads["W"]})


def test_a_gradient_too_small_to_check_fails(task: Task) -> None:
    loss, tensors, grads = task
    silent = np.zeros(5)
    with pytest.raises(AssertionError, match="too small to check"):
        check_gradients(loss, tensors | {"silent": silent}, grads | {"silent": np.zeros(5)})


def test_float32_is_refused(task: Task) -> None:
    loss, tensors, grads = task
    with pytest.raises(AssertionError, match="W"):
        check_gradients(loss, tensors | {"W": tensors["W"].astype(np.float32)}, grads)


def test_the_derivative_along_a_direction_is_that_of_the_formula() -> None:
    x = np.array([0.3, -0.7])
    along = np.array([0.6, 0.8])
    assert derivative(lambda: float(np.sin(x).sum()), x, along) == pytest.approx(np.cos(x) @ along, rel=1e-9)
