"""Unicode normal forms of a text that comes in blocks, in a time that grows with its length alone."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

from charrnn.core.vocab import CODE_POINTS, normalized

SAFE_CUT = re.compile(r"[\0-\x7f\u3041-\u3096\u4e00-\u9fff]")  # combines with no character before it


def normalized_blocks(blocks: Iterable[str], form: str) -> Iterator[str]:
    """Yield a text that comes in blocks in Unicode normal form, cut where no character combines with the one before."""
    if form == "none":
        yield from blocks
        return
    held: list[str] = []  # pieces, so that a long text without a cut is not scanned again with each block
    for block in blocks:
        cut = next((m.start() for i in range(len(block) - 1, -1, -1) if (m := SAFE_CUT.match(block, i))), None)
        if cut is not None:
            yield normalized(in_order("".join([*held, block[:cut]])), form)
            held.clear()
        held.append(block[cut:])
    yield normalized(in_order("".join(held)), form)


def in_order(text: str) -> str:
    """Return a text with the same normal forms in which long runs of combining characters are in canonical order.

    unicodedata sorts them by insertion: a run of 80,000 takes it 15 seconds, and twice as many a minute.
    """

    def ordered(run: re.Match[str]) -> str:
        parts = "".join(unicodedata.normalize("NFD", character) for character in run[0])
        return "".join(sorted(parts, key=unicodedata.combining))

    return long_runs().sub(ordered, text)


@cache
def long_runs() -> re.Pattern[str]:
    """Return a pattern of runs of combining characters that are too long to be sorted by insertion."""
    marks = "".join(filter(unicodedata.combining, map(chr, range(CODE_POINTS))))
    return re.compile(f"[{re.escape(marks)}]{{64,}}")
