"""Ids on disk: a temporary file without a name, gone with the process, which is mapped into memory."""

import mmap
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from charrnn.corpus.reading import no_space
from charrnn.errors import TextError
from charrnn.ops import Ids
from charrnn.vocab import Vocab, codes_of


class DiskIds(np.memmap[Any, Any]):
    """Ids in a mapped file, (N,), read-only, of which no more is in memory than the last reading took.

    Left alone, every page that was ever read would stay in the memory of the process while there is room: a long run
    would end up with the whole text in it. The pages that are let go stay in the system's cache, from where each costs
    a microsecond to read again. Views of the map are not disturbed: what they need comes back.
    """

    _mmap: mmap.mmap | None  # of np.memmap; None of an array that was copied out of the map

    def __getitem__(self, at: Any) -> Any:
        if self._mmap is not None:
            self._mmap.madvise(mmap.MADV_DONTNEED)
        found = super().__getitem__(at)
        is_copy = isinstance(found, DiskIds) and found._mmap is None
        return found.view(np.ndarray) if is_copy else found


def ids_on_disk(blocks: Iterable[str], vocab: Vocab) -> Ids:
    """Write the ids of a text, in the smallest type that holds them, and map them.

    A character that the vocabulary lacks becomes some id: it is for the caller to see that there is none.
    """
    ids_of = vocab.table.astype(vocab.id_dtype)
    try:
        with tempfile.TemporaryFile() as file:  # the map outlives it
            for block in blocks:
                file.write(ids_of.take(codes_of(block)).data)
            file.flush()
            if not file.tell():
                raise changed()
            return DiskIds(file, vocab.id_dtype, "r")
    except OSError as error:
        raise no_space(error) from error


def changed() -> TextError:
    """Say that the two readings of a text differed."""
    return TextError("the text changed while it was read: start again when it is finished")
