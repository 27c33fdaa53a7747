"""The weights of a model by PyTorch's names, so that nobody is locked in.

    net.embed = torch.nn.Embedding(V, D)
    net.rnn   = torch.nn.GRU(D, H, L)            or LSTM, or RNN with its nonlinearity
    net.head  = torch.nn.Linear(H, V)

PyTorch's layout of a weight is ours, (G·H, D). It differs in two things: the LSTM's gates stand in the order i f g o,
not i f o g, and every layer has a second bias, b_hh, which is added beside W_hh h. Only the GRU needs it, for b_n.
"""

import numpy as np

from charrnn.cells.cell import Params
from charrnn.config import ModelConfig
from charrnn.errors import CharRNNError
from charrnn.library import Model
from charrnn.model import prefixes
from charrnn.network import scope
from charrnn.ops import Array

OUR_ROWS = {"lstm": (0, 1, 3, 2)}  # where PyTorch's gates, i f g o, stand in ours; of others the order is the same


def to_torch_state_dict(model: Model) -> dict[str, Array]:
    """Return copies of a model's weights by the names of a module with `embed`, `rnn` and `head`, as above.

    They are NumPy arrays, so that PyTorch is not needed to make them:

        net.load_state_dict({name: torch.from_numpy(W) for name, W in charrnn.to_torch_state_dict(model).items()})

    Of an ensemble the names of each network begin with `networks.K.`; the mean of their logits is the model's. A
    network of lines has ordinary weights, and whoever runs it sets its state to zero before each newline. Raises
    CharRNNError for a network with zoneout, which PyTorch's modules lack.

    >>> from charrnn import load
    >>> arrays = to_torch_state_dict(load("plays"))
    >>> arrays["embed.weight"].shape, arrays["rnn.weight_hh_l0"].shape
    ((66, 64), (48, 16))
    """
    config = model.network.config
    if config.zoneout:
        raise CharRNNError(f"zoneout {config.zoneout:g}: PyTorch's modules have none: train a model without --zoneout")
    arrays = Params()
    for prefix in prefixes(config):
        named = torch_arrays(scope(model.network.params, prefix), config)
        arrays |= {f"{prefix}{name}": array.copy() for name, array in named.items()}
    return arrays


def torch_arrays(params: Params, config: ModelConfig) -> Params:
    """Return one network's parameters by PyTorch's names and in its order of gates; some are views."""
    arrays = {"embed.weight": params["embed.W"], "head.weight": params["head.W_hy"], "head.bias": params["head.b_y"]}
    for l in range(config.num_layers):
        own = scope(params, f"layers.{l}.")
        b_hh = np.zeros_like(own["b_h"])
        if "b_n" in own:
            b_hh[-len(own["b_n"]) :] = own["b_n"]
        kinds = {"weight_ih": own["W_xh"], "weight_hh": own["W_hh"], "bias_ih": own["b_h"], "bias_hh": b_hh}
        arrays |= {f"rnn.{kind}_l{l}": reordered(W, config.cell) for kind, W in kinds.items()}
    return arrays


def reordered(W: Array, cell: str) -> Array:
    """Return the rows of a weight or bias (G·H, …), gate by gate in PyTorch's order."""
    if cell not in OUR_ROWS:
        return W
    gates = W.reshape(len(OUR_ROWS[cell]), -1, *W.shape[1:])
    return gates[list(OUR_ROWS[cell])].reshape(W.shape)
