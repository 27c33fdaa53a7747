"""A model for programs: load it, let it write, let it score.

import charrnn

model = charrnn.load("plays")
print(model.sample("ROMEO:", 200, seed=1))
print(model.score("Good morrow!").bits_per_char)
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from os import PathLike, fspath

import numpy as np

from charrnn.checkpoint import CheckpointStore
from charrnn.config import require
from charrnn.evaluate import Score, score_ids
from charrnn.model import CharRNN
from charrnn.places import model_path
from charrnn.sampling import alphabet, generate, sample_rng
from charrnn.vocab import Vocab, normalized


@dataclass(frozen=True, eq=False)
class Model:
    """A network that has learnt, and the characters that it knows."""

    network: CharRNN
    vocab: Vocab

    def sample(self, prompt: str = "", length: int = 1000, *, temperature: float = 0.8, seed: int | None = None) -> str:
        """Return the prompt and so many characters that go on from it: what `charrnn sample` writes.

        A seed writes the same text again, on one machine; without one each call writes another. A temperature below 1
        is safer, above 1 wilder, and 0 always takes the likeliest character. Raises UnknownCharacterError for a prompt
        with characters that the model has never seen, UsageError for a value that makes no sense.

        >>> model = load("plays")
        >>> text = model.sample("KING: ", 20, seed=1)
        >>> len(text), text.startswith("KING: ")
        (26, True)
        >>> text == model.sample("KING: ", 20, seed=1)
        True
        """
        require(length >= 0, "length", length, "0 or more")
        require(seed is None or seed >= 0, "seed", seed, "0 or more")
        rng = sample_rng(secrets.randbits(32) if seed is None else seed, 0)
        prompt = normalized(prompt, self.vocab.normalize)
        return prompt + "".join(islice(self.continuation(prompt, rng, temperature), length))

    def continuation(self, prompt: str, rng: np.random.Generator, temperature: float) -> Iterator[str]:
        """Write characters that go on from a prompt, without end, drawn with these random numbers.

        >>> from itertools import islice
        >>> import numpy as np
        >>> characters = load("plays").continuation("KING: ", np.random.default_rng(1), temperature=0.8)
        >>> len(list(islice(characters, 5)))
        5
        """
        ids = np.concatenate([[self.vocab.start_id], self.vocab.encode_known(prompt)])
        characters = alphabet(self.vocab)  # None if it is all symbols
        filters = {"temperature": temperature} | ({} if characters is None else {"allowed": characters})
        return (self.vocab.characters[i] for i in generate(self.network, ids, rng, filters))

    def score(self, text: str) -> Score:
        """Return what a text costs the model, as `charrnn eval` counts it.

        Characters that the model has never seen are counted in `unknown` and left out of everything else.

        >>> score = load("plays").score("The fox, the king and 猫.")
        >>> score.chars, score.unknown
        (23, 1)
        >>> 0 < score.bits_per_char < 20
        True
        """
        return score_ids(self.network, [self.vocab.encode(normalized(text, self.vocab.normalize))], self.vocab.start_id)


def load(name: str | PathLike[str]) -> Model:
    """Return a model by its name, which means `checkpoints/NAME.npz`, or by its path: it has a `/` or ends in `.npz`.

    Its weights are those of the best validation. Raises CheckpointError if there is no such file or it is damaged.

    >>> model = load("plays")
    >>> model.network.config.cell, len(model.vocab)
    ('gru', 66)
    """
    trained = CheckpointStore(model_path(fspath(name), "model")).load_trained()
    return Model(trained.model, trained.vocab)
