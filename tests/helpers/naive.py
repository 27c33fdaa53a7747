"""The network as plain loops over its equations: one stream, one step, one column vector at a time, in float64.

    h_t = f(W_xh x_t + W_hh h_{t-1} + b_h)      p_t = softmax(W_hy h_t + b_y)      loss = -Σ_t log p_t[y_t]

Each cell of the library has a twin here. `naive_pass` and `library_pass` both solve a Problem and return a Pass.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core.cells.cell import Cache, LayerState, Params, State
from charrnn.core.model import CharRNN, parameter_shapes, views
from charrnn.core.network import scope
from charrnn.core.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward
from tests.helpers.gradcheck import check_gradients
from tests.helpers.models import tiny_model


class Twin(NamedTuple):
    """A cell's single step. Here x is a vector (D,) and each part of a state a vector (H,), the first being h."""

    step: Callable[[Params, Array, LayerState], LayerState]  # params, x, before -> after
    step_backward: Callable[[Params, Array, LayerState, LayerState, Params], tuple[Array, LayerState]]
    # params, x, before, dafter, grads -> dx, dbefore


class Activation(NamedTuple):
    """An activation function as a formula of its argument a, and its derivative as another one."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid(a: Array) -> Array:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-a))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(np.tanh, lambda a: 1 / np.cosh(a) ** 2),
    "relu": Activation(lambda a: np.where(a > 0, a, 0), lambda a: np.where(a > 0, 1, 0)),
    "sigmoid": Activation(sigmoid, lambda a: 1 / (2 + np.exp(a) + np.exp(-a))),
    "leaky_relu": Activation(lambda a: np.where(a > 0, a, 0.01 * a), lambda a: np.where(a > 0, 1, 0.01)),
    "softsign": Activation(lambda a: a / (1 + np.abs(a)), lambda a: 1 / (1 + np.abs(a)) ** 2),
}


def elman(f: Activation) -> Twin:
    """Return the twin of the Elman cell with an activation function."""

    def pre_activation(p: Params, x: Array, h: Array) -> Array:
        return p["W_xh"] @ x + p["W_hh"] @ h + p["b_h"]

    def step(p: Params, x: Array, before: LayerState) -> LayerState:
        return (f.value(pre_activation(p, x, before[0])),)

    def step_backward(
        p: Params, x: Array, before: LayerState, dafter: LayerState, grads: Params
    ) -> tuple[Array, LayerState]:
        (h,), (dh,) = before, dafter
        da = f.derivative(pre_activation(p, x, h)) * dh
        grads["W_xh"] += np.outer(da, x)
        grads["W_hh"] += np.outer(da, h)
        grads["b_h"] += da
        return p["W_xh"].T @ da, (p["W_hh"].T @ da,)

    return Twin(step, step_backward)


def add_outer(grads: Params, da: Array, x: Array, du: Array, h: Array) -> None:
    """Add the gradients of one step: da xᵀ and da for the input weights and biases, du hᵀ for the recurrent weights."""
    grads["W_xh"] += np.outer(da, x)
    grads["b_h"] += da
    grads["W_hh"] += np.outer(du, h)


def lstm_gates(p: Params, x: Array, h: Array) -> list[Array]:
    """Return the gates i f o g of one step."""
    a = np.split(p["W_xh"] @ x + p["W_hh"] @ h + p["b_h"], 4)
    return [sigmoid(a[0]), sigmoid(a[1]), sigmoid(a[2]), np.tanh(a[3])]


def lstm_step(p: Params, x: Array, before: LayerState) -> LayerState:
    h, c = before
    i, f, o, g = lstm_gates(p, x, h)
    after = f * c + i * g
    return o * np.tanh(after), after


def lstm_step_backward(
    p: Params, x: Array, before: LayerState, dafter: LayerState, grads: Params
) -> tuple[Array, LayerState]:
    (h, c), (dh, dc) = before, dafter
    i, f, o, g = lstm_gates(p, x, h)
    tanh_c = np.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - tanh_c**2)
    di, df, do, dg = dc * g, dc * c, dh * tanh_c, dc * i
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
    add_outer(grads, da, x, da, h)
    return p["W_xh"].T @ da, (p["W_hh"].T @ da, dc * f)


def gru_gates(p: Params, x: Array, h: Array) -> tuple[Array, Array, Array, Array]:
    """Return the gates r z n of one step, and u, the state's part of n before the reset gate."""
    a, v = np.split(p["W_xh"] @ x + p["b_h"], 3), np.split(p["W_hh"] @ h, 3)
    r, z, u = sigmoid(a[0] + v[0]), sigmoid(a[1] + v[1]), v[2] + p["b_n"]
    return r, z, np.tanh(a[2] + r * u), u


def gru_step(p: Params, x: Array, before: LayerState) -> LayerState:
    _, z, n, _ = gru_gates(p, x, before[0])
    return ((1 - z) * n + z * before[0],)


def gru_step_backward(
    p: Params, x: Array, before: LayerState, dafter: LayerState, grads: Params
) -> tuple[Array, LayerState]:
    (h,), (dh,) = before, dafter
    r, z, n, u = gru_gates(p, x, h)
    da_n = dh * (1 - z) * (1 - n**2)
    da_r, da_z, du = da_n * u * r * (1 - r), dh * (h - n) * z * (1 - z), da_n * r
    da, dv = np.concatenate([da_r, da_z, da_n]), np.concatenate([da_r, da_z, du])
    add_outer(grads, da, x, dv, h)
    grads["b_n"] += du
    return p["W_xh"].T @ da, (p["W_hh"].T @ dv + dh * z,)


TWINS: dict[str, Twin] = {
    "lstm": Twin(lstm_step, lstm_step_backward),
    "gru": Twin(gru_step, gru_step_backward),
    **{f"rnn_{name}": elman(activation) for name, activation in ACTIVATIONS.items()},
}


def naive_layer_forward(twin: Twin, params: Params, x: Array, state: LayerState) -> list[LayerState]:
    """Run one stream x (T, D) through a layer; return its T+1 states, the initial one first."""
    states = [state]
    for x_t in x:
        states.append(twin.step(params, x_t, states[-1]))
    return states


def naive_layer_backward(
    twin: Twin, params: Params, x: Array, states: list[LayerState], dh: Array, dstate: LayerState, grads: Params
) -> tuple[Array, LayerState]:
    """Go back from dh (T, H) and the gradient of the last state; return dx (T, D) and that of the initial state."""
    dx = np.empty_like(x)
    for t in reversed(range(len(x))):
        dafter = (dstate[0] + dh[t], *dstate[1:])
        dx[t], dstate = twin.step_backward(params, x[t], states[t], dafter, grads)
    return dx, dstate


class Problem(NamedTuple):
    """A network, its inputs and targets, its initial state, and the gradient of the state after the window."""

    model: CharRNN
    x: Ids  # (T, B)
    y: Ids
    state: State
    dstate: State


class Pass(NamedTuple):
    """The results of a forward and a backward pass. The loss is the summed cross-entropy in nats."""

    loss: float
    logits: Array  # (T, V, B)
    state: State
    grads: Params
    dstate0: State


def network(recurrence: str, num_layers: int = 1, dtype: DTypeLike = np.float64, **config: Any) -> CharRNN:
    """Return a small network with a recurrence of the table CELLS."""
    cell, _, activation = recurrence.partition("_")
    return tiny_model(dtype=dtype, cell=cell, activation=activation or "tanh", num_layers=num_layers, **config)


def random_state(model: CharRNN, B: int, rng: np.random.Generator) -> State:
    """Return a state of B streams, normally distributed."""
    return [tuple(rng.standard_normal(part.shape) for part in layer) for layer in model.zero_state(B)]


def problem(recurrence: str, num_layers: int = 1, T: int = 5, B: int = 3, **config: Any) -> Problem:
    """Return a small problem: random ids, one target missing, a random initial state and a random final gradient."""
    model, rng = network(recurrence, num_layers, **config), np.random.default_rng(4)
    x, y = rng.integers(0, model.config.vocab_size, (2, T, B))
    y[-1, 0] = -1
    return Problem(model, x, y, random_state(model, B, rng), random_state(model, B, rng))


def zero_gradients(model: CharRNN) -> Params:
    """Return gradients of zero by name, views into one vector."""
    return views(np.zeros_like(model.vector), parameter_shapes(model.config))


def library_pass(task: Problem, cache: Cache | None = None, grads: Params | None = None) -> Pass:
    """Run the library over the whole window at once, with a given cache and given gradients or with new ones."""
    model = task.model
    cache = model.cache(*task.x.shape) if cache is None else cache
    grads = zero_gradients(model) if grads is None else grads
    logits, state = model.forward(task.x, task.state, cache)
    kept = logits.copy()
    loss = float(cross_entropy_forward(logits, task.y).sum())
    dlogits = cross_entropy_backward(logits, task.y, 1)
    return Pass(loss, kept, state, grads, model.backward(dlogits, task.x, cache, grads, task.dstate))


def arrays(state: State) -> Params:
    """Return the parts of a state by name."""
    return {f"state.{l}.{i}": part for l, layer in enumerate(state) for i, part in enumerate(layer)}


def check_every_gradient(task: Problem, cache: Cache | None = None) -> None:
    """Compare the library's gradients of all parameters and of the initial state with finite differences."""
    after, result = arrays(task.dstate), library_pass(task, cache)

    def loss() -> float:
        loss, _, state, *_ = library_pass(task, cache)
        return loss + float(sum(np.vdot(after[name], part) for name, part in arrays(state).items()))

    check_gradients(loss, task.model.params | arrays(task.state), result.grads | arrays(result.dstate0))


def naive_pass(task: Problem) -> Pass:
    """Run forward and back through one stream after the other."""
    model, (T, B), loss = task.model, task.x.shape, 0.0
    logits, grads = np.empty((T, model.config.vocab_size, B)), zero_gradients(model)
    state, dstate0 = model.zero_state(B), model.zero_state(B)
    for b in range(B):
        trace = naive_forward(model.params, TWINS[model.config.recurrence], task.x[:, b], column(task.state, b))
        loss -= sum(float(np.log(trace.p[t, y])) for t, y in enumerate(task.y[:, b]) if y >= 0)
        logits[:, :, b] = trace.logits
        dstate = naive_backward(model.params, trace, task.y[:, b], column(task.dstate, b), grads)
        for l in range(len(state)):
            for i in range(len(state[l])):
                state[l][i][:, b] = trace.states[l][-1][i]
                dstate0[l][i][:, b] = dstate[l][i]
    return Pass(loss, logits, state, grads, dstate0)


def column(state: State, b: int) -> State:
    """Return one stream's part of a state."""
    return [tuple(part[:, b] for part in layer) for layer in state]


class Trace(NamedTuple):
    """The values of one stream's forward pass that its backward pass needs."""

    twin: Twin
    x: Ids  # (T,)
    inputs: list[Array]  # of each layer (T, D or H), then of the head
    states: list[list[LayerState]]  # T+1 of each layer
    logits: Array  # (T, V)
    p: Array  # (T, V)


def naive_forward(params: Params, twin: Twin, x: Ids, state: State) -> Trace:
    """Read the ids of one stream."""
    T, inputs, states = len(x), [np.array([params["embed.W"][i] for i in x])], []
    for l in range(len(state)):
        states.append(naive_layer_forward(twin, scope(params, f"layers.{l}."), inputs[l], state[l]))
        inputs.append(np.array([h for h, *_ in states[l][1:]]))
    logits = np.array([params["head.W_hy"] @ inputs[-1][t] + params["head.b_y"] for t in range(T)])
    p = np.array([np.exp(logits[t]) / np.exp(logits[t]).sum() for t in range(T)])
    return Trace(twin, x, inputs, states, logits, p)


def naive_backward(params: Params, trace: Trace, y: Ids, dstate: State, grads: Params) -> State:
    """Add one stream's gradients to grads; return that of its initial state."""
    dh = np.zeros_like(trace.inputs[-1])
    for t in reversed(range(len(y))):
        if y[t] >= 0:
            dlogits = trace.p[t].copy()
            dlogits[y[t]] -= 1
            grads["head.W_hy"] += np.outer(dlogits, trace.inputs[-1][t])
            grads["head.b_y"] += dlogits
            dh[t] = params["head.W_hy"].T @ dlogits
    for l in reversed(range(len(dstate))):
        own, down = scope(params, f"layers.{l}."), scope(grads, f"layers.{l}.")
        dh, dstate[l] = naive_layer_backward(trace.twin, own, trace.inputs[l], trace.states[l], dh, dstate[l], down)
    for t in reversed(range(len(y))):
        grads["embed.W"][trace.x[t]] += dh[t]
    return dstate


def naive_losses(model: CharRNN, ids: Ids, start_id: int) -> list[float]:
    """Return the loss of each character after all before it, in nats: one forward pass of the library per character."""
    state, before, nats = model.zero_state(1), start_id, []
    for i in ids.tolist():
        logits, state = model.forward(np.array([[before]]), state, model.cache(1, 1))
        z = logits[0, :, 0].tolist()
        nats.append(math.log(sum(map(math.exp, z))) - z[i])
        before = i
    return nats
