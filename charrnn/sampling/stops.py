"""--stop: texts that end a sample, found in a text that comes in pieces."""

from collections.abc import Sequence


class Stops:
    """The stops of one sample, and the end of its text that is held back because it could be the start of a stop."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = stops
        self.held = ""
        self.found = ""  # the stop that has come

    def push(self, piece: str) -> tuple[str, bool]:
        """Return the text that can be written, and whether a stop has come; the sample ends before it.

        The first stop to be complete ends the sample; of several that are complete at once, the longest.
        """
        text = self.held + piece
        found = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:
            end, at = min(found)
            self.held, self.found = "", text[at:end]
            return text[:at], True
        starts = [n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
        certain = len(text) - max(starts, default=0)
        self.held = text[certain:]
        return text[:certain], False
