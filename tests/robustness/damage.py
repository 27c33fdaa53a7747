"""Model files that were damaged, or made to deceive."""

import io
import math
from pathlib import Path
from typing import cast

from charrnn.checkpoint import CheckpointStore, Trained
from charrnn.checkpoint.format import to_bytes
from charrnn.corpus import Corpus
from charrnn.errors import CheckpointError
from tests.helpers.files import corpus_of, tiny_run
from tests.robustness.experiment import Experiment

STRIDE = 1_000_003  # a prime, so that a few attempts are spread over the file, and all of them are every one


class Held:
    """A path to a file that is held in memory, so that a million of them can be loaded."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, mode: str) -> io.BytesIO:
        """Open it to be read."""
        return io.BytesIO(self.data)


def held(data: bytes) -> CheckpointStore:
    """A store of a file that is held in memory."""
    store = CheckpointStore(Path("held.npz"))
    store.path = cast(Path, Held(data))
    return store


def loaded(data: bytes) -> bytes | None:
    """Load a model as training does; return the bytes that it would be saved as, None if it is refused.

    What is not refused must be the same to the commands that only write and score.
    """
    in_part = learnt(data)
    try:
        whole = held(data).load()
    except CheckpointError:
        return None
    assert in_part == content(whole.trained), "the model that writes is not the one that learns"
    return to_bytes(whole)


def learnt(data: bytes) -> tuple[object, ...] | None:
    """Load a model as writing and scoring do; return all that is in it, None if it is refused."""
    try:
        return content(held(data).load_trained())
    except CheckpointError:
        return None


def content(trained: Trained) -> tuple[object, ...]:
    """All that is in a model, to be compared."""
    config, weights = trained.model.config, trained.model.vector.tobytes()
    return config, weights, trained.vocab, trained.train, trained.origin


def smallest(corpus: Corpus | None = None) -> bytes:
    """The bytes of the smallest model of use."""
    small = {"hidden_size": 2, "embed_size": 1}
    return to_bytes(tiny_run(corpus or corpus_of("ab\n" * 20), small, optimizer="sgd", batch_size=1))


class Damage(Experiment):
    """Every bit of a model is flipped, then it is cut off at every length."""

    count: int

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.good = smallest()
        self.learnt = learnt(self.good)
        self.count = 9 * len(self.good)
        assert math.gcd(STRIDE, self.count) == 1

    def attempt(self, number: int) -> str:
        """Load a damaged model: it is refused, or it is the right one all the same."""
        bits, number = 8 * len(self.good), number * STRIDE % self.count
        if number < bits:
            bad = bytearray(self.good)
            bad[number // 8] ^= 1 << number % 8
        else:
            bad = bytearray(self.good[: number - bits])
        what = f"bit {number}" if number < bits else f"the first {number - bits} bytes"
        try:
            found, in_part = loaded(bytes(bad)), learnt(bytes(bad))
        except Exception as error:
            return f"{what}: {error!r}"
        right = found in (None, self.good) and in_part in (None, self.learnt)
        return "" if right else f"{what}: accepted as another model"
