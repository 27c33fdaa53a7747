"""What a run reads of a text: the part to learn from and the part held out, and windows of B streams."""

import numpy as np

from charrnn.config import require_window
from charrnn.errors import TextError
from charrnn.ops import Ids
from charrnn.vocab import UNKNOWN

BLOCK = 1 << 20  # ids searched at a time


def split(ids: Ids, val_fraction: float, line_end: int | None = None) -> tuple[Ids, Ids]:
    """Cut a text in two: what to train on, and the last part, held out; with a line_end, before the next whole line.

    Raises TextError if a part would be empty, naming a fraction that works.
    """
    cut = int(len(ids) * (1 - val_fraction))
    if line_end is not None and 0 < cut < len(ids):
        cut = next_line(ids, cut, line_end)
    if cut < 1 or (val_fraction and cut == len(ids)):
        nothing = "nothing" if line_end is None else "no whole line"
        raise TextError(
            f"{len(ids)} characters leave {nothing} to train on or to hold out: use --val-fraction 0 or more text"
        )
    return ids[:cut], ids[cut:]


def next_line(ids: Ids, at: int, line_end: int) -> int:
    """Return where the first line begins that begins at a place above 0 or after it; with none the text's length."""
    for begin in range(at - 1, len(ids), BLOCK):
        ends = np.flatnonzero(ids[begin : begin + BLOCK] == line_end)
        if len(ends):
            return begin + int(ends[0]) + 1
    return len(ids)


class Streams:
    """The training text as B streams side by side, each a contiguous part of it, read in windows of T characters.

    In an epoch every character is predicted once. Then each stream goes on with the next part, so that the state it
    carries belongs to the text before; only at the end of the text does it not.

    A part may begin inside a line, so that parts are equally long and nothing is padded: in the first epoch the rest of
    that line is read from an empty state, after the character before it; in later ones from its own beginning.
    """

    def __init__(self, ids: Ids, B: int, T: int, start_id: int) -> None:
        require_window(B, T)
        if len(ids) < B * T:
            raise TextError(
                f"{len(ids)} characters to train on are too few for --batch-size {B} --seq-len {T}, "
                f"which read {B * T} at a step: {smaller_window(len(ids), T)}"
            )
        self.ids, self.B, self.T, self.start_id = ids, B, T, start_id
        self.bounds = np.arange(B + 1) * len(ids) // B  # parts differ by one character at most
        self.longest = -(-len(ids) // B)
        self.steps_per_epoch = -(-self.longest // T)

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs x and targets y of a step, each (T, B), int64; the last window of an epoch is shorter.

        Input t is the character before target t; before the first character of the text stands the start id. Where
        a part is one character shorter than the longest, its last target is -1, which is none.
        """
        epoch, window = divmod(step, self.steps_per_epoch)
        parts = (np.arange(self.B) + epoch) % self.B
        begin, end = self.bounds[parts], self.bounds[parts + 1]  # (B,)
        offsets = np.arange(window * self.T, min((window + 1) * self.T, self.longest))
        at = begin + offsets[:, None]  # (T, B)
        x = np.where(at > 0, self.ids[np.maximum(at - 1, 0)], self.start_id).astype(np.int64)
        y = np.where(at < end, self.ids[np.minimum(at, len(self.ids) - 1)].astype(np.int64), UNKNOWN)
        return x, y


def smaller_window(chars: int, T: int) -> str:
    """Say which window would do for so few characters."""
    return f"--batch-size {max(1, chars // T)} --seq-len {min(T, chars)} would do"
