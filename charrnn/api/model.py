"""The Python interface: load a model, sample from it, score texts with it.

import charrnn

model = charrnn.load("plays")
print(model.sample("ROMEO:", 200, seed=1))
print(model.score("Good morrow!").bits_per_char)
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import index
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from charrnn.checkpoint.export import torch_state_dict
from charrnn.checkpoint.paths import model_path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.config import TrainConfig, require
from charrnn.core.errors import CharRNNError, UsageError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array
from charrnn.core.sample import sample_rng
from charrnn.core.score import Score
from charrnn.core.state import Origin
from charrnn.core.vocab import Vocab
from charrnn.evaluation.text import score_ids
from charrnn.parallel.products import single_threaded_products
from charrnn.sampling.alphabet import alphabet
from charrnn.sampling.batched import generate

__all__ = ["CharRNNError", "Model", "load", "to_torch_state_dict"]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its vocabulary and the configuration and text of its training."""

    network: CharRNN
    vocab: Vocab
    config: TrainConfig  # of its training
    origin: Origin  # the text that it was trained on
    path: Path  # its file
    name: str  # as the user gave it

    def sample(self, prompt: str = "", length: int = 1000, *, temperature: float = 0.8, seed: int | None = None) -> str:
        """Return the prompt followed by `length` characters, as `charrnn sample` does.

        The same seed gives the same text on the same machine; without a seed each call gives another text. A
        temperature below 1 is more conservative, above 1 more surprising, and 0 always takes the most likely character.
        As in every text that is read, CR LF counts as LF, and a byte-order mark at the start is dropped.

        Raises UnknownCharacterError for a prompt with characters outside the vocabulary, and UsageError for values out
        of range.

        >>> model = load("plays")
        >>> text = model.sample("KING: ", 20, seed=1)
        >>> len(text), text.startswith("KING: ")
        (26, True)
        >>> text == model.sample("KING: ", 20, seed=1)
        True
        """
        length = whole(length, "length")
        rng = sample_rng(secrets.randbits(32) if seed is None else whole(seed, "seed"), 0)
        prompt = self.vocab.normalized(as_read(prompt, "prompt"))
        with single_threaded_products():
            return prompt + "".join(islice(self.continuation(prompt, rng, temperature), length))

    def continuation(self, prompt: str, rng: np.random.Generator, temperature: float) -> Iterator[str]:
        """Yield characters that continue a prompt, endlessly, drawn from `rng`.

        >>> characters = load("plays").continuation("KING: ", np.random.default_rng(1), temperature=0.8)
        >>> len(list(islice(characters, 5)))
        5
        """
        return continuation(self.network, self.vocab, prompt, rng, temperature)

    def score(self, text: str) -> Score:
        """Return the loss of a text, as `charrnn eval` computes it.

        Characters outside the vocabulary are counted in `unknown` and excluded from everything else. The means are None
        if no character is left.

        >>> score = load("plays").score("The fox, the king and 猫.")
        >>> score.chars, score.unknown
        (23, 1)
        >>> 0 < score.bits_per_char < 20
        True
        """
        ids = self.vocab.encode(self.vocab.normalized(as_read(text, "text")))
        with single_threaded_products():
            return score_ids(self.network, [ids], self.vocab.start_id)


def continuation(
    network: CharRNN, vocab: Vocab, prompt: str, rng: np.random.Generator, temperature: float
) -> Iterator[str]:
    """Yield characters that continue a prompt, endlessly; raises UnknownCharacterError as Model.sample does."""
    ids = np.concatenate([[vocab.start_id], vocab.encode_known(vocab.normalized(as_read(prompt, "prompt")))])
    try:
        temperature = float(temperature)
    except (TypeError, ValueError) as error:
        raise UsageError(f"temperature {temperature!r}: must be a number") from error
    allowed = alphabet(vocab)  # None for all symbols
    filters = {"temperature": temperature} | ({} if allowed is None else {"allowed": allowed})
    return (vocab.characters[i] for i in generate(network, ids, rng, filters))


def as_read(text: str, name: str) -> str:
    """Return a text as it is read from a file: with LF for CR LF, and without a byte-order mark at its start."""
    if not isinstance(text, str):
        raise UsageError(f"{name}: must be a str, not {type(text).__name__}")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def whole(value: int, name: str) -> int:
    """Return a number if it is a whole one, 0 or more; raises UsageError, naming it, if not."""
    try:
        number = index(value)
    except TypeError as error:
        raise UsageError(f"{name} {value!r}: must be a whole number") from error
    require(number >= 0, name, number, "0 or more")
    return number


def load(name: str | PathLike[str]) -> Model:
    """Return the model `checkpoints/NAME.npz` of a name, or the one at a path, which has a `/` or ends in `.npz`.

    Its weights are those of the best validation. Raises CheckpointError if there is no such file or it is damaged.

    >>> model = load("plays")
    >>> model.network.config.cell, len(model.vocab)
    ('gru', 66)
    """
    if not isinstance(name, str | PathLike):
        raise UsageError(f"model: must be a name or a path, not {type(name).__name__}")
    path = model_path(fspath(name), "model")
    return Model(*CheckpointStore(path).load_model(), path, fspath(name))


def to_torch_state_dict(model: Model) -> dict[str, Array]:
    """Return copies of a model's weights under the names of a PyTorch module with `embed`, `rnn` and `head`.

        net.embed = torch.nn.Embedding(V, D)
        net.rnn   = torch.nn.GRU(D, H, L)            or LSTM, or RNN with its nonlinearity
        net.head  = torch.nn.Linear(H, V)

    They are NumPy arrays, so this does not need PyTorch. To load them there:

        net.load_state_dict({name: torch.from_numpy(W) for name, W in charrnn.to_torch_state_dict(model).items()})

    Raises CharRNNError for zoneout and for activations that PyTorch's modules do not have.

    >>> arrays = to_torch_state_dict(load("plays"))
    >>> arrays["embed.weight"].shape, arrays["rnn.weight_hh_l0"].shape
    ((66, 64), (48, 16))
    """
    return torch_state_dict(model.network)
