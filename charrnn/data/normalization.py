"""Unicode normal forms of a text that comes in blocks."""

import re
from collections.abc import Iterable, Iterator

from charrnn.core.vocab import normalized

SAFE_CUT = re.compile(r"[\0-\x7f\u3041-\u3096\u4e00-\u9fff]")  # combines with no character before it


def normalized_blocks(blocks: Iterable[str], form: str) -> Iterator[str]:
    """Yield a text that comes in blocks in Unicode normal form, cut where no character combines with the one before."""
    if form == "none":
        yield from blocks
        return
    held = ""
    for block in blocks:
        text = held + block
        cut = next((m.start() for i in range(len(text) - 1, -1, -1) if (m := SAFE_CUT.match(text, i))), 0)
        held = text[cut:]
        yield normalized(text[:cut], form)
    yield normalized(held, form)
