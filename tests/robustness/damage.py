"""Damaged model files."""

import io
import math
from pathlib import Path

from charrnn.checkpoint.format import ModelParts, to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from charrnn.data.corpus import Corpus
from tests.helpers.files import corpus_of, tiny_run
from tests.robustness.experiment import Experiment

STRIDE = 1_000_003  # a prime, so that a few attempts are spread over the file and all attempts cover it


class Held(CheckpointStore):
    """A store of a file in memory, so that a million of them can be loaded."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Path("held.npz"))
        self.data = data

    def open_file(self) -> io.BytesIO:
        """Open it for reading."""
        return io.BytesIO(self.data)


def loaded(data: bytes) -> bytes | None:
    """Load a model as training does; return the bytes it would be saved as, None if it is refused.

    A model that is not refused must be the same to the commands that only sample and score.
    """
    in_part = trained_part(data)
    try:
        whole = Held(data).load()
    except CheckpointError:
        return None
    parts = whole.best_model, whole.vocab, whole.config, whole.origin
    assert in_part == content(parts), "sampling and training load different models"
    return to_bytes(whole)


def trained_part(data: bytes) -> tuple[object, ...] | None:
    """Load a model as sampling and scoring do; return its contents, None if it is refused."""
    try:
        return content(Held(data).load_model())
    except CheckpointError:
        return None


def content(parts: ModelParts) -> tuple[object, ...]:
    """Return the contents of a model in a form that can be compared."""
    model, *others = parts
    return model.config, model.vector.tobytes(), *others


def smallest(corpus: Corpus | None = None) -> bytes:
    """Return the bytes of a very small model."""
    small = {"hidden_size": 2, "embed_size": 1}
    return to_bytes(tiny_run(corpus or corpus_of("ab\n" * 20), small, optimizer="sgd", batch_size=1))


class Damage(Experiment):
    """Every bit of a model is flipped, then it is truncated to every length."""

    count: int

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.good = smallest()
        self.trained_part = trained_part(self.good)
        self.count = 9 * len(self.good)
        assert math.gcd(STRIDE, self.count) == 1

    def attempt(self, number: int) -> str:
        """Load a damaged model, which must be refused or equal the original."""
        bits, number = 8 * len(self.good), number * STRIDE % self.count
        if number < bits:
            bad = bytearray(self.good)
            bad[number // 8] ^= 1 << number % 8
        else:
            bad = bytearray(self.good[: number - bits])
        what = f"bit {number}" if number < bits else f"the first {number - bits} bytes"
        try:
            found, in_part = loaded(bytes(bad)), trained_part(bytes(bad))
        except Exception as error:
            return f"{what}: {error!r}"
        right = found in (None, self.good) and in_part in (None, self.trained_part)
        return "" if right else f"{what}: accepted as another model"
