"""The exported weights against the equations in PyTorch's documentation, without PyTorch."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.checkpoint.export import torch_state_dict
from charrnn.core.cells import CELLS
from charrnn.core.config import CELL_NAMES
from charrnn.core.errors import CharRNNError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from tests.helpers.models import B, T, V, tiny_model
from tests.helpers.naive import sigmoid

KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
LACKING = ["sigmoid", "leaky_relu", "softsign"]  # activations that torch.nn.RNN does not have


def torch_forward(arrays: dict[str, Array], cell: str, activation: str, layers: int, x: Ids) -> Array:
    """Return the logits (T, V, B) of Linear(RNN(Embedding(x))), computed for one step and one stream at a time."""
    T, B = x.shape
    logits = np.empty((T, len(arrays["head.bias"]), B))
    H = arrays["rnn.weight_hh_l0"].shape[1]
    for b in range(B):
        h: Array = np.zeros((layers, H))
        c: Array = np.zeros((layers, H))
        for t in range(T):
            below: Array = arrays["embed.weight"][x[t, b]]
            for l in range(layers):
                weights = [arrays[f"rnn.{kind}_l{l}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                h[l], c[l] = torch_step(cell, activation, below, h[l], c[l], *weights)
                below = h[l]
            logits[t, :, b] = arrays["head.weight"] @ below + arrays["head.bias"]
    return logits


def torch_step(
    cell: str, activation: str, x: Array, h: Array, c: Array, W_ih: Array, W_hh: Array, b_ih: Array, b_hh: Array
) -> tuple[Array, Array]:
    """Return the state after a step of nn.RNN, nn.LSTM (gates i f g o) or nn.GRU (gates r z n)."""
    below, past = W_ih @ x + b_ih, W_hh @ h + b_hh
    if cell == "rnn":
        return (np.tanh if activation == "tanh" else lambda a: np.maximum(a, 0))(below + past), c
    if cell == "lstm":
        i, f, g, o = np.split(below + past, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (a_r, a_z, a_n), (r_h, z_h, n_h) = np.split(below, 3), np.split(past, 3)
    z, n = sigmoid(a_z + z_h), np.tanh(a_n + sigmoid(a_r + r_h) * n_h)
    return (1 - z) * n + z * h, c


def logits_of(network: CharRNN, x: Ids) -> Array:
    return network.forward(x, network.zero_state(B), network.cache(T, B))[0]


def test_every_cell_is_tested() -> None:
    assert {cell for cell, _ in KINDS} == set(CELL_NAMES)
    assert len(KINDS) + len(LACKING) == len(CELLS)


@pytest.mark.parametrize(("kind", "layers"), [*product(KINDS, (1, 2))], ids=str)
def test_pytorch_would_compute_the_same_logits(kind: tuple[str, str], layers: int) -> None:
    cell, activation = kind
    network = tiny_model(cell=cell, activation=activation, num_layers=layers)
    x = np.random.default_rng(2).integers(0, V, (T, B))
    arrays = torch_state_dict(network)
    assert_allclose(torch_forward(arrays, cell, activation, layers, x), logits_of(network, x), rtol=0, atol=1e-12)


def test_an_ensemble_is_the_mean_of_its_exported_networks() -> None:
    network = tiny_model(cell="lstm", num_layers=1, ensemble=2)
    x = np.random.default_rng(2).integers(0, V, (T, B))
    arrays = torch_state_dict(network)
    each = [
        {n.removeprefix(f"networks.{k}."): W for n, W in arrays.items() if n.startswith(f"networks.{k}.")}
        for k in range(2)
    ]
    mean = sum(torch_forward(own, "lstm", "tanh", 1, x) for own in each) / 2
    assert sum(map(len, each)) == len(arrays) == 14
    assert_allclose(mean, logits_of(network, x), rtol=0, atol=1e-12)


def test_the_arrays_are_copies_with_the_type_of_the_model() -> None:
    network = tiny_model(dtype=np.float32)
    arrays = torch_state_dict(network)
    assert {W.dtype for W in arrays.values()} == {np.dtype(np.float32)}
    assert not any(np.shares_memory(W, network.vector) for W in arrays.values())
    assert sum(W.size for W in arrays.values()) == network.vector.size + arrays["rnn.bias_hh_l0"].size


def test_zoneout_is_refused_because_pytorch_lacks_it() -> None:
    with pytest.raises(CharRNNError, match=r"zoneout 0\.1: .* --zoneout"):
        torch_state_dict(tiny_model(zoneout=0.1))


@pytest.mark.parametrize("activation", LACKING)
def test_an_activation_that_pytorch_lacks_is_refused(activation: str) -> None:
    with pytest.raises(CharRNNError, match=f"activation {activation}: PyTorch's RNN has only tanh and relu"):
        torch_state_dict(tiny_model(cell="rnn", activation=activation))
