"""What speed.py compares charrnn with: PyTorch's own modules, and a plain loop in NumPy.

The networks of PyTorch are torch.nn.Embedding, one of nn.RNN, nn.LSTM and nn.GRU, and nn.Linear, trained with its fused
Adam. Their weights are copied from a model, so that losses and gradients can be compared number by number.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from charrnn.checkpoint.export import torch_arrays
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids

Step = Callable[[], object]


class TorchRNN:
    """A PyTorch network with the weights of a model of one network."""

    def __init__(self, model: CharRNN) -> None:
        config = model.config
        kinds = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
        self.embed = torch.nn.Embedding(config.vocab_size, config.embed_size)
        self.rnn = kinds[config.cell](config.embed_size, config.hidden_size, config.num_layers)
        self.head = torch.nn.Linear(config.hidden_size, config.vocab_size)
        self.modules = torch.nn.ModuleDict({"embed": self.embed, "rnn": self.rnn, "head": self.head})
        arrays = torch_arrays(model.params, config)
        self.modules.load_state_dict({name: torch.from_numpy(W) for name, W in arrays.items()})

    def loss(self, x: Any, y: Any, state: Any) -> tuple[Any, Any]:
        """Read a window of ids x and y (T, B); return the mean loss in nats per character, and the state."""
        out, state = self.rnn(self.embed(x), state)
        logits = self.head(out)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1), state

    def gradients(self) -> dict[str, Array]:
        """Return the gradients under PyTorch's names."""
        return {name: parameter.grad.numpy() for name, parameter in self.modules.named_parameters()}


def training(model: CharRNN, x: Ids, y: Ids) -> Step:
    """Return a training step as PyTorch's users write it, always on the same window, with the state carried over."""
    network = TorchRNN(model)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(network.modules.parameters(), lr=1e-3, fused=True)
    state: Any = None

    def step() -> None:
        nonlocal state
        optimizer.zero_grad()
        loss, state = network.loss(x, y, state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.modules.parameters(), 1.0)
        optimizer.step()

    return step


def sampling(model: CharRNN, B: int, temperature: float) -> Iterator[NDArray[np.int64]]:
    """Yield the next character of each of B samples, (B,), without end."""
    network = TorchRNN(model)
    drawn, state = torch.zeros((1, B), dtype=torch.int64), None
    with torch.inference_mode():
        while True:
            out, state = network.rnn(network.embed(drawn), state)
            probs = torch.softmax(network.head(out[0]) / temperature, dim=-1)
            drawn = torch.multinomial(probs, 1).T
            yield drawn[0].numpy()


def scored(model: CharRNN, ids: Ids, parts: int, n: int) -> float:
    """Score a text (N,) with PyTorch on n cores, in equal parts side by side, 256 steps at a time; return its nats."""
    torch.set_num_threads(n)
    network, state, nats = TorchRNN(model), None, 0.0
    text = torch.from_numpy(ids[: len(ids) // parts * parts].astype(np.int64)).reshape(parts, -1).T
    with torch.inference_mode():
        for begin in range(0, len(text) - 1, 256):
            x, y = text[begin : begin + 256], text[begin + 1 : begin + 257]
            loss, state = network.loss(x[: len(y)], y, state)
            nats += loss.item() * y.numel()
    return nats


def plain_loop(V: int, H: int, T: int) -> Step:
    """Return a training step of the Elman RNN as in textbooks: one stream, step by step, with Adagrad."""
    rng = np.random.default_rng(0)
    shapes = {"W_xh": (H, V), "W_hh": (H, H), "W_hy": (V, H), "b_h": (H, 1), "b_y": (V, 1)}
    params = {name: rng.standard_normal(shape) * 0.01 for name, shape in shapes.items()}
    totals = {name: np.zeros(shape) for name, shape in shapes.items()}
    ids = rng.integers(0, V, T + 1)
    last = np.zeros((H, 1))

    def step() -> None:
        nonlocal last
        hs, ps, xs = [last], [], []
        for t in range(T):
            xs.append(np.zeros((V, 1)))
            xs[t][ids[t]] = 1
            hs.append(np.tanh(params["W_xh"] @ xs[t] + params["W_hh"] @ hs[t] + params["b_h"]))
            weights = np.exp(params["W_hy"] @ hs[-1] + params["b_y"])
            ps.append(weights / weights.sum())
        grads = {name: np.zeros(shape) for name, shape in shapes.items()}
        dh_next = np.zeros((H, 1))
        for t in reversed(range(T)):
            dy = ps[t].copy()
            dy[ids[t + 1]] -= 1
            da = (1 - hs[t + 1] ** 2) * (params["W_hy"].T @ dy + dh_next)
            parts = {"W_hy": dy @ hs[t + 1].T, "b_y": dy, "W_xh": da @ xs[t].T, "W_hh": da @ hs[t].T, "b_h": da}
            for name, part in parts.items():
                grads[name] += part
            dh_next = params["W_hh"].T @ da
        for name, grad in grads.items():
            totals[name] += grad**2
            params[name] -= 0.1 * np.clip(grad, -5, 5) / np.sqrt(totals[name] + 1e-8)
        last = hs[-1]

    return step
