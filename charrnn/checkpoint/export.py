"""Models for others: weights alone, and weights under the names of a PyTorch module.

charrnn.to_torch_state_dict describes the module.

The layout of a weight is the same, (G·H, D), with two differences: PyTorch's LSTM has its gates in the order i f g o,
not i f o g, and every layer has a second bias, b_hh, added to W_hh h. Only the GRU needs it, for b_n.
"""

import json
from dataclasses import asdict, replace

import numpy as np

from charrnn.core.cells.cell import Params
from charrnn.core.config import ModelConfig
from charrnn.core.errors import CharRNNError
from charrnn.core.model import CharRNN, prefixes
from charrnn.core.network import scope
from charrnn.core.ops import Array
from charrnn.core.state import TrainState
from charrnn.core.vocab import Vocab


def weights_alone(state: TrainState, dtype: str) -> TrainState:
    """Return a run as a file of its best weights alone keeps it, in a type of 16 or 32 bits, `<f2` or `<f4`.

    Raises CharRNNError if a weight is too large for 16 bits.
    """
    model = state.best_model
    if not np.all(np.abs(model.vector) <= np.finfo(dtype).max):
        raise CharRNNError("its weights are too large for 16 bits: use --dtype f4")
    return replace(state, model=model, slots={}, carried=[], weights=dtype)


def safetensors_bytes(model: CharRNN, vocab: Vocab, dtype: str) -> bytes:
    """Return the bytes of a safetensors file with PyTorch's names; raises CharRNNError without the library."""
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise CharRNNError("safetensors is not installed: pip install 'charrnn-numpy[export]'") from error
    arrays = {name: np.ascontiguousarray(array.astype(dtype)) for name, array in torch_state_dict(model).items()}
    facts = {"model": asdict(model.config), "characters": vocab.characters, "unknown": vocab.unknown}
    data: bytes = save(arrays, {"format": "pt", "charrnn": json.dumps(facts)})
    return data


def torch_state_dict(model: CharRNN) -> dict[str, Array]:
    """Return copies of a model's weights under the names of a module with `embed`, `rnn` and `head`.

    In an ensemble the names of network K start with `networks.K.`; the model is the mean of their logits. A network
    trained with --lines has ordinary weights, but its state must be reset to zero before each newline. Raises
    CharRNNError for zoneout and for activations that PyTorch's modules do not have.
    """
    config = model.config
    if config.activation not in ("tanh", "relu"):
        raise CharRNNError(f"activation {config.activation}: PyTorch's RNN has only tanh and relu: use one of these")
    if config.zoneout:
        raise CharRNNError(f"zoneout {config.zoneout:g}: PyTorch's modules have no zoneout: train without --zoneout")
    return {
        f"{prefix}{name}": array.copy()
        for prefix in prefixes(config)
        for name, array in torch_arrays(scope(model.params, prefix), config).items()
    }


def torch_arrays(params: Params, config: ModelConfig) -> Params:
    """Return a network's parameters under PyTorch's names, with its order of gates; some are views."""
    arrays = {"embed.weight": params["embed.W"], "head.weight": params["head.W_hy"], "head.bias": params["head.b_y"]}
    for l in range(config.num_layers):
        own = scope(params, f"layers.{l}.")
        b_hh = np.zeros_like(own["b_h"])
        if "b_n" in own:
            b_hh[-len(own["b_n"]) :] = own["b_n"]
        kinds = {"weight_ih": own["W_xh"], "weight_hh": own["W_hh"], "bias_ih": own["b_h"], "bias_hh": b_hh}
        if config.cell == "lstm":  # PyTorch's order of gates is i f g o
            kinds = {kind: W.reshape(4, -1, *W.shape[1:])[[0, 1, 3, 2]].reshape(W.shape) for kind, W in kinds.items()}
        arrays |= {f"rnn.{kind}_l{l}": W for kind, W in kinds.items()}
    return arrays
