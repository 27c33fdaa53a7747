from collections.abc import Callable

import numpy as np
import pytest

from charrnn.ops import Array
from tests.helpers.gradcheck import check_gradients, derivative

Tensors = dict[str, Array]
Task = tuple[Callable[[], float], Tensors, Tensors]


@pytest.fixture
def task() -> Task:
    """A loss of a large tensor and of one whose gradient is a thousand times smaller, with the right gradients."""
    rng = np.random.default_rng(1)
    W, b, x = rng.standard_normal((4, 6)), rng.standard_normal(4), rng.standard_normal(6)

    def loss() -> float:
        return float(np.tanh(W @ x).sum() + 1e-3 * np.sin(b).sum())

    return loss, {"W": W, "b": b}, {"W": np.outer(1 - np.tanh(W @ x) ** 2, x), "b": 1e-3 * np.cos(b)}


def test_the_right_gradient_passes_and_leaves_the_tensors_as_they_were(task: Task) -> None:
    before = {name: tensor.copy() for name, tensor in task[1].items()}
    check_gradients(*task)
    assert all(np.array_equal(task[1][name], before[name]) for name in before)


@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize("factor", [1.001, 0.999, -1, 0])
def test_a_gradient_wrong_by_a_thousandth_in_any_one_tensor_fails(task: Task, name: str, factor: float) -> None:
    loss, tensors, grads = task
    grads[name] *= factor
    with pytest.raises(AssertionError, match=f"{name}: derivative"):
        check_gradients(loss, tensors, grads)


@pytest.mark.parametrize("name", ["W", "b"])
def test_a_gradient_wrong_in_any_one_coordinate_fails(task: Task, name: str) -> None:
    loss, tensors, grads = task
    error = 1e-3 * np.linalg.norm(grads[name])
    for i in range(grads[name].size):
        wrong = grads | {name: grads[name] + error * np.eye(1, grads[name].size, i).reshape(grads[name].shape)}
        with pytest.raises(AssertionError, match=f"{name}: derivative"):
            check_gradients(loss, tensors, wrong)


def test_two_coordinates_exchanged_fail(task: Task) -> None:
    loss, tensors, grads = task
    grads["W"][[0, 1]] = grads["W"][[1, 0]]
    with pytest.raises(AssertionError, match="W: derivative"):
        check_gradients(loss, tensors, grads)


def test_a_gradient_of_the_wrong_shape_or_missing_fails(task: Task) -> None:
    loss, tensors, grads = task
    with pytest.raises(AssertionError, match="W"):
        check_gradients(loss, tensors, grads | {"W": grads["W"].T})
    with pytest.raises(AssertionError):
        check_gradients(loss, tensors, {"W": grads["W"]})


def test_a_gradient_too_small_to_judge_fails(task: Task) -> None:
    loss, tensors, grads = task
    silent = np.zeros(5)
    with pytest.raises(AssertionError, match="too small to judge"):
        check_gradients(loss, tensors | {"silent": silent}, grads | {"silent": np.zeros(5)})


def test_float32_is_refused(task: Task) -> None:
    loss, tensors, grads = task
    with pytest.raises(AssertionError, match="W"):
        check_gradients(loss, tensors | {"W": tensors["W"].astype(np.float32)}, grads)


def test_the_derivative_of_a_known_function_is_found() -> None:
    x = np.array([0.3, -0.7])
    along = np.array([0.6, 0.8])
    assert derivative(lambda: float(np.sin(x).sum()), x, along) == pytest.approx(np.cos(x) @ along, rel=1e-9)
