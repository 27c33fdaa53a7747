"""--unique: samples that differ from each other."""

import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b

from charrnn.core.errors import CharRNNError
from charrnn.sampling.samples import Piece

MAX_SAMPLES = sys.maxsize  # drawn for it, or until MAX_REPEATS in a row were there before
MAX_REPEATS = 10_000


def distinct(pieces: Iterator[Piece], count: int) -> Iterator[Piece]:
    """Yield the first `count` samples that have different texts, each as one piece, numbered by their own index.

    Only digests of the texts are stored. Raises CharRNNError after MAX_REPEATS repeated samples in a row.
    """
    seen, repeats, parts = set[bytes](), 0, list[str]()
    with closing(pieces):  # type: ignore[type-var]  # a generator: its workers end with it
        for piece in pieces if count else ():
            parts.append(piece.text)
            if piece.finish is None:
                continue
            text, parts = "".join(parts), []
            digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if digest in seen:
                repeats += 1
                if repeats == MAX_REPEATS:
                    raise CharRNNError(exhausted(len(seen), count))
                continue
            seen.add(digest)
            repeats = 0
            yield piece._replace(text=text)
            if len(seen) == count:
                return


def exhausted(found: int, count: int) -> str:
    """Return the message for samples that only repeat what was written."""
    advice = "ask for fewer, or raise --temperature"
    return f"--unique: only {found} of {count} samples: the last {MAX_REPEATS:,} had all been written before: {advice}"
