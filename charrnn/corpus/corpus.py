"""A text as ids on disk.

A text is never in memory as a whole. It is read twice, to count its characters and to write their ids to disk, and its
SHA-256 is taken both times, so that two readings that differ are found.
"""

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.corpus.disk import changed, ids_on_disk
from charrnn.corpus.reading import Reader
from charrnn.errors import TextError
from charrnn.ops import Ids
from charrnn.vocab import CODE_POINTS, Vocab, codes_of, named


@dataclass(frozen=True)
class Corpus:
    """A text as ids, and where it came from."""

    ids: Ids  # (N,), memory-mapped
    vocab: Vocab
    sources: tuple[str, ...]  # as they were given
    sha256: str  # of all bytes read, in order: for one file what sha256sum says
    remarks: tuple[str, ...]  # what reading changed, for people


def load_corpus(
    sources: Iterable[str],
    encoding: str = "utf-8",
    normalize: str = "none",
    min_count: int = 1,
    known: Vocab | None = None,
) -> Corpus:
    """Read texts, build their vocabulary, of which some may be known, and write their ids to disk.

    Raises TextError for a source that cannot be read or decoded, or holds fewer than two different characters.
    """
    sources = tuple(sources)
    remarks: list[str] = []
    digest = hashlib.sha256()
    with ExitStack() as stack:
        reader = Reader(sources, encoding, normalize, stack)
        counts = count_codes(reader.blocks(remarks, digest.update))
        check_variety(counts, " ".join(sources))
        vocab = Vocab.build(counts, min_count, normalize, known)
        if len(vocab) < 2:
            raise TextError(f"{' '.join(sources)}: --min-count {min_count} leaves one symbol only: take a smaller one")
        again = hashlib.sha256()
        ids = ids_on_disk(reader.blocks([], again.update), vocab)
        if again.digest() != digest.digest():
            raise changed()
    return Corpus(ids, vocab, sources, digest.hexdigest(), tuple(remarks))


def count_codes(blocks: Iterable[str]) -> NDArray[np.int64]:
    """Count how often each code point occurs, (0x110000,).

    Where they take a byte each, they are counted two by two, as numbers of 16 bits, which takes half as long.
    """
    counts, pairs = np.zeros(CODE_POINTS, np.int64), np.zeros(0x10000, np.int64)
    for block in blocks:
        codes = codes_of(block)
        if codes.dtype == np.uint8:
            even = len(codes) & ~1
            pairs += np.bincount(codes[:even].view(np.uint16), minlength=len(pairs))
            codes = codes[even:]
        some = np.bincount(codes)
        counts[: len(some)] += some
    first, second = pairs.reshape(256, 256).sum(axis=0), pairs.reshape(256, 256).sum(axis=1)
    counts[:256] += first + second
    return counts


def check_variety(counts: NDArray[np.int64], name: str) -> None:
    """Raise TextError for a text that nothing can be learnt from."""
    different = np.count_nonzero(counts)
    if counts[0xD800:0xE000].any():
        raise TextError(f"{name}: lone surrogates are not characters: name another --encoding")
    if different == 0:
        raise TextError(f"{name}: the text is empty: there is nothing to learn from")
    if different == 1:
        only = named([chr(np.flatnonzero(counts)[0])])
        raise TextError(f"{name}: holds one character only, {only}: a text needs two different ones at least")
