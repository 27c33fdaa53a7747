"""--ignore: parts of lines, such as times and addresses, that are neither learned nor scored."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence

from charrnn.core.errors import UsageError
from charrnn.data.lines import arrivals

IGNORED = "\ufffc"  # the object replacement character, which is read in place of each part


class Ignore:
    """Patterns of the parts of lines to ignore."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = [compiled(pattern) for pattern in patterns]

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Return where the patterns match in a line, in order; matches that overlap or touch are one part."""
        parts = list[tuple[int, int]]()
        found = (match.span() for pattern in self.patterns for match in pattern.finditer(line.removesuffix("\n")))
        for start, end in sorted(found):
            if start == end:
                continue
            if parts and start <= parts[-1][1]:
                start, end = parts[-1][0], max(end, parts.pop()[1])
            parts.append((start, end))
        return parts

    def replaced(self, line: str) -> str:
        """Return a line with IGNORED in place of each part."""
        pieces, at = list[str](), 0
        for start, end in self.spans(line):
            pieces += line[at:start], IGNORED
            at = end
        return "".join([*pieces, line[at:]])

    def positions(self, line: str) -> list[tuple[int, int]]:
        """Return, for each character of the replaced line, which part of the line it stands for: start and end."""
        places, at = list[tuple[int, int]](), 0
        for start, end in [*self.spans(line), (len(line), len(line))]:
            places += [(i, i + 1) for i in range(at, start)]
            places += [(start, end)] if end > start else []
            at = end
        return places


def in_own_text(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return what to ignore in the text of a model with patterns, where IGNORED is in place of each part already."""
    return (IGNORED,) if patterns else ()


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression; raises UsageError for one that is invalid or matches the empty text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may have another meaning in a future version
            found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"--ignore {pattern}: not a regular expression: {error}") from error
    if found.match(""):
        raise UsageError(f"--ignore {pattern}: matches the empty text: write + for at least one character, not *")
    return found


def without_ignored(blocks: Iterable[str], ignore: Ignore) -> Iterator[str]:
    """Yield a text that comes in blocks, line by line as the patterns leave it."""
    for lines in arrivals(blocks):
        yield "".join(map(ignore.replaced, lines))
