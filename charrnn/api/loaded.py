"""A model as its file gives it, and the text of its training."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from charrnn.core.config import TrainConfig
from charrnn.core.errors import CheckpointError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Array, Ids
from charrnn.core.state import Origin, TrainState
from charrnn.core.vocab import Vocab


def ignored(text: str) -> None:
    """Take a note that nobody reads."""


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A trained network with its vocabulary and the configuration and text of its training. It never changes."""

    network: CharRNN
    vocab: Vocab
    config: TrainConfig  # of its training
    origin: Origin  # the text that it was trained on
    path: Path  # its file
    name: str  # as the user gave it

    def own_text(
        self, to_score: bool = False, option: str | None = None, note: Callable[[str], None] = ignored
    ) -> tuple[Ids, Ids]:
        """Read the text of its training again; return the ids that it was trained on and the held-out ones.

        Raises TextError, with advice to leave out `option` or to name a text to score, if that is not possible.
        """
        from charrnn.training.own_text import own_text

        return own_text(self.name, self.network.config, self.config, self.vocab, self.origin, to_score, option, note)

    def run(self) -> TrainState:
        """Read the run in its file; raises CheckpointError if the file has another network by now."""
        from charrnn.checkpoint.store import CheckpointStore

        state = CheckpointStore(self.path).load()
        best = state.best_model
        if best.config != self.network.config or not np.array_equal(best.vector, self.network.vector):
            raise CheckpointError(f"{self.name}: has been replaced by another network: load it again")
        return state

    @cached_property
    def bases(self) -> Array | None:
        """The slot Q of SOAP in its file, in which dynamic evaluation learns; None if there is none.

        Raises CheckpointError if the file has been replaced by another network since it was read.
        """
        Q = self.run().slots.get("Q")
        return Q if Q is not None and Q.any() else None  # there are none before the first step

    def training_text(self, option: str, note: Callable[[str], None]) -> Ids:
        """Read the text that it was trained on again, for an option that needs it."""
        return self.own_text(False, option, note)[0]
