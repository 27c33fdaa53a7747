"""What PyTorch computes with the weights exported, as its documentation says it, without PyTorch."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.cells import CELLS
from charrnn.config import CELL_NAMES
from charrnn.errors import CharRNNError
from charrnn.export import to_torch_state_dict
from charrnn.library import Model
from charrnn.model import CharRNN
from charrnn.ops import Array, Ids
from charrnn.vocab import Vocab
from tests.helpers.models import B, T, V, tiny_model
from tests.helpers.naive import sigmoid

KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def torch_forward(arrays: dict[str, Array], cell: str, activation: str, layers: int, x: Ids) -> Array:
    """The logits (T, V, B) of Linear(RNN(Embedding(x))), one step and one stream at a time."""
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
    """A step of nn.RNN, nn.LSTM (gates i f g o) or nn.GRU (gates r z n): the state after it."""
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


def of(network: CharRNN) -> Model:
    return Model(network, Vocab(np.arange(V, dtype=np.uint32), False, "none"))


def logits_of(network: CharRNN, x: Ids) -> Array:
    return network.forward(x, network.zero_state(B), network.cache(T, B))[0]


def test_every_cell_has_its_conventions_here() -> None:
    assert {cell for cell, _ in KINDS} == set(CELL_NAMES)
    assert len(KINDS) == len(CELLS)


@pytest.mark.parametrize(("kind", "layers"), [*product(KINDS, (1, 2))], ids=str)
def test_pytorch_would_compute_the_same_logits(kind: tuple[str, str], layers: int) -> None:
    cell, activation = kind
    network = tiny_model(cell=cell, activation=activation, num_layers=layers)
    x = np.random.default_rng(2).integers(0, V, (T, B))
    arrays = to_torch_state_dict(of(network))
    assert_allclose(torch_forward(arrays, cell, activation, layers, x), logits_of(network, x), rtol=0, atol=1e-12)


def test_an_ensemble_is_the_mean_of_the_networks_that_are_exported() -> None:
    network = tiny_model(cell="lstm", num_layers=1, ensemble=2)
    x = np.random.default_rng(2).integers(0, V, (T, B))
    arrays = to_torch_state_dict(of(network))
    each = [
        {n.removeprefix(f"networks.{k}."): W for n, W in arrays.items() if n.startswith(f"networks.{k}.")}
        for k in range(2)
    ]
    mean = sum(torch_forward(own, "lstm", "tanh", 1, x) for own in each) / 2
    assert sum(map(len, each)) == len(arrays) == 14
    assert_allclose(mean, logits_of(network, x), rtol=0, atol=1e-12)


def test_the_arrays_are_copies_of_the_models_own_type() -> None:
    network = tiny_model(dtype=np.float32)
    arrays = to_torch_state_dict(of(network))
    assert {W.dtype for W in arrays.values()} == {np.dtype(np.float32)}
    assert not any(np.shares_memory(W, network.vector) for W in arrays.values())
    assert sum(W.size for W in arrays.values()) == network.vector.size + arrays["rnn.bias_hh_l0"].size


def test_zoneout_is_refused_since_pytorch_has_none() -> None:
    with pytest.raises(CharRNNError, match=r"zoneout 0\.1: .* --zoneout"):
        to_torch_state_dict(of(tiny_model(zoneout=0.1)))
