"""From ids to windows: the part of a text to train on and the held-out part, and batches of B streams."""

import numpy as np

from charrnn.core.config import require_window
from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.vocab import UNKNOWN

SEARCHED = 1 << 20  # ids searched at a time


def split(ids: Ids, val_fraction: float, line_end: int | None = None) -> tuple[Ids, Ids]:
    """Cut a text in two: the part to train on and the held-out tail; with a line_end, at the start of a line.

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
    """Return where the first line starts at or after a position above 0; the text's length if there is none."""
    for start in range(at - 1, len(ids), SEARCHED):
        ends = np.flatnonzero(ids[start : start + SEARCHED] == line_end)
        if len(ends):
            return start + int(ends[0]) + 1
    return len(ids)


class Batches:
    """The training text as B streams side by side, each a contiguous part of it, read in windows of T characters.

    In an epoch every character is predicted once. Then each stream continues with the next part, so that the state it
    carries belongs to the text before; only at the end of the text it does not.

    A part may start inside a line, so that parts are equally long and nothing is padded: in the first epoch the rest of
    that line is read from a zero state, after the character before it; in later ones from its own start.
    """

    def __init__(self, ids: Ids, B: int, T: int, start_id: int) -> None:
        require_window(B, T)
        if len(ids) < B * T:
            raise TextError(
                f"{len(ids)} characters to train on are too few for --batch-size {B} --seq-len {T}, "
                f"which read {B * T} per step: {smaller_window(len(ids), T)}"
            )
        self.ids, self.B, self.T, self.start_id = ids, B, T, start_id
        self.bounds = np.arange(B + 1) * len(ids) // B  # parts differ by at most one character
        self.longest = -(-len(ids) // B)
        self.steps_per_epoch = -(-self.longest // T)

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """Return the inputs x and targets y of a step, each (T, B), int64; the last window of an epoch is shorter.

        Input t is the character before target t; the start id precedes the first character of the text. Where a part
        is one character shorter than the longest, its last target is -1, which means none.
        """
        epoch, window = divmod(step, self.steps_per_epoch)
        parts = (np.arange(self.B) + epoch) % self.B
        start, end = self.bounds[parts], self.bounds[parts + 1]  # (B,)
        offsets = np.arange(window * self.T, min((window + 1) * self.T, self.longest))
        at = start + offsets[:, None]  # (T, B)
        x = np.where(at > 0, self.ids[np.maximum(at - 1, 0)], self.start_id).astype(np.int64)
        y = np.where(at < end, self.ids[np.minimum(at, len(self.ids) - 1)].astype(np.int64), UNKNOWN)
        return x, y


def smaller_window(chars: int, T: int) -> str:
    """Return advice: the sizes of a window that fits this many characters."""
    return f"--batch-size {max(1, chars // T)} --seq-len {min(T, chars)} would do"
