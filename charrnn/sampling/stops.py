"""Texts that end a sample: found in what comes piece by piece, whatever the pieces."""

from collections.abc import Sequence

from charrnn.errors import UsageError


def check_stops(stops: Sequence[str]) -> None:
    """Raise UsageError for an empty text, which would end every sample before it begins."""
    if "" in stops:
        raise UsageError("--stop: the text is empty: give one character at least")


class Stops:
    """What was written of one sample and is held back, since it could begin one of the texts that end it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = stops
        self.held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """Return what is now certain to be written, and whether a stop has come, before which the sample ends.

        The first stop to be complete ends it; of several that are complete at once, the longest.
        """
        text = self.held + piece
        found = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:
            self.held = ""
            return text[: min(found)[1]], True
        certain = len(text) - max((overlap(text, stop) for stop in self.stops), default=0)
        self.held = text[certain:]
        return text[:certain], False

    def rest(self) -> str:
        """Return what is still held back, when the sample ends otherwise."""
        return self.held


def overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text could be the beginning of a stop."""
    return next(n for n in range(min(len(text), len(stop) - 1), -1, -1) if text.endswith(stop[:n]))
