"""Moments that come again and again during a run."""

import re
import time

from charrnn.training.durations import duration


class Timer:
    """A moment that comes every N steps, or every so often in time, as an option says: 200 or 30s."""

    def __init__(self, every: str, option: str) -> None:
        self.steps = int(every) if re.fullmatch("[0-9]{1,18}", every) else 0
        self.seconds = duration(every, option) if not self.steps else 0.0
        self.began = time.monotonic()

    def due(self, step: int) -> bool:
        """Return whether the moment has come, after a step."""
        return step % self.steps == 0 if self.steps else time.monotonic() - self.began >= self.seconds

    def restart(self) -> None:
        """Count the seconds from now."""
        self.began = time.monotonic()
