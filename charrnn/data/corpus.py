"""From texts to ids on disk.

A text is never in memory as a whole. It is read twice, first to count its characters and then to write their ids to
disk. The SHA-256 of its characters is computed both times, so that a change between the two is detected.
"""

import hashlib
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.state import Origin
from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of, named
from charrnn.data.holdout import TAIL, Divider, Holdout, Levels, divider
from charrnn.data.reading import Reader, Reading, byte_blocks, temporary_file_error
from charrnn.data.sources import expand, is_repeatable, missing, open_bytes, remembered, shown

UTF_8 = Reading()
COPIED_BYTES = 1 << 20  # at a time
CHARS_PER_PIECE = 1 << 16  # encoded at a time, to compute a digest
STREAMS = 8  # read at a time: each may bring a megabyte of the map into memory
TEXT_CHANGED = "the text changed while it was read: start again when it is complete"


@dataclass(frozen=True)
class Corpus:
    """A text as ids, and its source."""

    ids: Ids  # (N,), memory-mapped
    vocab: Vocab
    sources: tuple[str, ...]  # as they were given; STDIN for each that cannot be read again
    sha256: str  # of its characters in UTF-8, before normalization; of a plain UTF-8 file the same as from sha256sum
    remarks: tuple[str, ...]  # what reading changed, as messages for the user
    ignore: tuple[str, ...] = ()  # patterns in whose place the text has one character
    holdout: str = "tail"  # the kind of the held-out part
    held_out: int | None = None  # its characters, the last of the ids; None for a tail, which is cut later
    counts: NDArray[np.int64] | None = None  # (V,), occurrences of each symbol

    def with_symbols(self, known: Vocab) -> "Corpus":
        """Return the text, which has no unknown symbol, with the symbols of a known vocabulary too; its ids in memory.

        It is what `load_corpus` returns for that vocabulary, without reading the text again.
        """
        vocab = Vocab(np.union1d(self.vocab.symbols, known.symbols), known.unknown, self.vocab.normalize)
        new_ids = vocab.table[self.vocab.symbols]
        counts = None
        if self.counts is not None:
            counts = np.zeros(len(vocab), np.int64)
            counts[new_ids] = self.counts
        return replace(self, ids=new_ids.astype(vocab.id_dtype)[self.ids[:]], vocab=vocab, counts=counts)


def load_corpus(
    sources: Iterable[str],
    reading: Reading = UTF_8,
    min_count: int = 1,
    known: Vocab | None = None,
    most: int | None = None,
    holdout: Holdout = TAIL,
) -> Corpus:
    """Return the corpus of some texts, read in order as if they were one.

    The vocabulary is built from the texts and contains all symbols of a `known` one. Raises TextError for a source that
    cannot be read or decoded, and for texts with fewer than two different characters. With `most` the sources are names
    in a model file, which may come from another person: only regular files are read, and at most that many characters.
    A held-out part that is no tail is moved to the end.
    """
    sources = tuple(sources)
    remarks: list[str] = []
    digest = hashlib.sha256()
    with ExitStack() as stack:
        reader = Reader(sources, reading, stack)
        counts = count_codes(at_most(most, reader.blocks(remarks, hashing(digest))))
        check_variety(counts, shown(sources))
        vocab = Vocab.build(counts, min_count, reading.normalize, known)
        if len(vocab) < 2:
            raise TextError(f"{shown(sources)}: --min-count {min_count} leaves only one symbol: use a smaller value")
        again, division = hashlib.sha256(), None
        if holdout.reorders:
            division = divider(holdout, shown(sources), reader.lengths, int(counts[ord("\n")]), vocab)
        ids, held_out = ids_on_disk(at_most(most, reader.blocks([], hashing(again))), vocab, division)
        if again.digest() != digest.digest():
            raise TextError(TEXT_CHANGED)
    if division and not 0 < held_out < len(ids):
        raise TextError(f"{shown(sources)}: too short to hold out a part: use --val-fraction 0 or more text")
    kind, count = (holdout.kind, held_out) if division else ("tail", None)
    known_counts = counts[vocab.symbols]
    rare = [len(ids) - known_counts.sum()] if vocab.unknown else []
    symbol_counts = np.append(known_counts, np.array(rare, np.int64))
    notes = (*reader.remarks, *remarks)
    return Corpus(
        ids, vocab, remembered(sources), digest.hexdigest(), notes, reading.ignore, kind, count, symbol_counts
    )


def hashing(digest: "hashlib._Hash") -> Callable[[str], None]:
    """Return a function that adds the characters of a block to a digest, in pieces, which need little memory."""

    def add(block: str) -> None:
        for i in range(0, len(block), CHARS_PER_PIECE):
            digest.update(block[i : i + CHARS_PER_PIECE].encode("utf-8", "surrogatepass"))

    return add


def is_text_of(origin: Origin, text: Corpus) -> bool:
    """Return whether a corpus has the characters of the text that a model was trained on.

    Files of version 1 may have the SHA-256 of the bytes, which is another one if these are not plain UTF-8.
    """
    if text.sha256 == origin.sha256:
        return True
    return len(text.ids) == origin.chars and bytes_sha256(text.sources) == origin.sha256


def bytes_sha256(sources: Iterable[str]) -> str | None:
    """Return the SHA-256 of the bytes of some files, read in order; None if they cannot be read again."""
    digest, names = hashlib.sha256(), list(sources)
    if missing(names) or not all(map(is_repeatable, names := expand(names, []))):
        return None
    for name in names:
        with open_bytes(name) as file:
            for block in byte_blocks(file, name):
                digest.update(block)
    return digest.hexdigest()


def at_most(most: int | None, blocks: Iterable[str]) -> Iterator[str]:
    """Yield a text in blocks, or only its first `most` + 1 characters: then it is not the text of the model."""
    chars = 0
    for block in blocks:
        yield block if most is None else block[: most + 1 - chars]
        chars += len(block)
        if most is not None and chars > most:
            return


def ids_on_disk(blocks: Iterable[str], vocab: Vocab, division: Divider | None = None) -> tuple[Ids, int]:
    """Write the ids of a text in the smallest integer type that holds them; return them as a memory map.

    With a division, the parts that it holds out come last; return their number of characters too. A character outside
    the vocabulary gets an arbitrary id: the caller must check that there is none.
    """
    ids_of = vocab.table.astype(vocab.id_dtype)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3 if division else 1)]
            for block in blocks:
                ids = ids_of.take(codes_of(block))
                write_parts(files, ids, division.levels(ids) if division else None)
            trained = files[0].tell()
            for file in files[1:]:
                file.seek(0)
                shutil.copyfileobj(file, files[0], COPIED_BYTES)
            files[0].flush()
            if not files[0].tell():
                raise TextError(TEXT_CHANGED)
            held_out = (files[0].tell() - trained) // ids_of.itemsize
            return DiskIds(files[0], vocab.id_dtype, "r"), held_out  # the map outlives the file
    except OSError as error:
        raise temporary_file_error(error) from error


def write_parts(files: Sequence[IO[bytes]], ids: Ids, levels: Levels | None) -> None:
    """Write ids (N,) to the files of their levels (N,), or all to the first one."""
    if levels is None or not levels.any():
        files[0].write(ids.data)
        return
    for level, file in enumerate(files):
        file.write(ids[levels == level].data)


class DiskIds(np.memmap[Any, Any]):
    """Ids in a mapped file, (N,), read-only, with only the part that was read last in memory.

    By default every page that was ever read stays in the process's memory while there is room, so that a long run would
    end up with the whole text in memory. So each access first releases all pages. They remain in the system's cache,
    from where reading one again takes a microsecond. Views of the map stay valid: their pages are read again. A place
    may bring a megabyte around it into memory, so windows of many streams are read some streams at a time.
    """

    _mmap: mmap.mmap | None  # set by np.memmap; None for an array that was copied out of the map

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, np.ndarray) and at.ndim == 2 and at.shape[1] > STREAMS:  # (T, B)
            return np.concatenate([self[at[:, b : b + STREAMS]] for b in range(0, at.shape[1], STREAMS)], axis=1)
        if self._mmap is not None:
            self._mmap.madvise(mmap.MADV_DONTNEED)
        found = super().__getitem__(at)
        is_copy = isinstance(found, DiskIds) and found._mmap is None
        return found.view(np.ndarray) if is_copy else found


def count_codes(blocks: Iterable[str]) -> NDArray[np.int64]:
    """Return the number of occurrences of each code point, (0x110000,).

    Code points of one byte each are counted in pairs, as 16-bit numbers, which takes half the time.
    """
    counts, pairs = np.zeros(CODE_POINTS, np.int64), np.zeros(0x10000, np.int64)
    for block in blocks:
        codes = codes_of(block)
        if codes.dtype == np.uint8:
            even = len(codes) & ~1
            pairs += np.bincount(codes[:even].view(np.uint16), minlength=len(pairs))
            codes = codes[even:]
        in_block = np.bincount(codes)
        counts[: len(in_block)] += in_block
    first, second = pairs.reshape(256, 256).sum(axis=0), pairs.reshape(256, 256).sum(axis=1)
    counts[:256] += first + second
    return counts


def check_variety(counts: NDArray[np.int64], name: str) -> None:
    """Raise TextError for a text that a model cannot be trained on."""
    different = np.count_nonzero(counts)
    if counts[0xD800:0xE000].any():
        raise TextError(f"{name}: lone surrogates are not characters: use another --encoding")
    if different == 0:
        raise TextError(f"{name}: the text is empty: there is nothing to train on")
    if different == 1:
        only = named([chr(np.flatnonzero(counts)[0])])
        raise TextError(f"{name}: contains only one character, {only}: a text needs at least two different ones")
