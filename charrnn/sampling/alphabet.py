"""--only and --ban: the characters that a sample may contain."""

import numpy as np

from charrnn.core.errors import UsageError
from charrnn.core.ops import Ids
from charrnn.core.sample import Mask
from charrnn.core.vocab import Vocab, named


def alphabet(vocab: Vocab, keep: str | None = None, ban: str = "") -> Mask | None:
    """Return the symbols that may be written, (V,): `keep` or all, without `ban` and the unknown symbol; None for all.

    Raises UsageError for characters that the model does not know, and if nothing is left.
    """
    allowed = np.ones(len(vocab), np.bool_)
    if keep is not None:
        allowed[:] = False
        allowed[known_ids(vocab, keep, "--only")] = True
    allowed[known_ids(vocab, ban, "--ban")] = False
    allowed[len(vocab.symbols) :] = False  # the unknown symbol is not a character
    if not allowed.any():
        raise UsageError("--only and --ban leave no character to write: allow at least one")
    return None if allowed.all() else allowed


def known_ids(vocab: Vocab, text: str, option: str) -> Ids:
    """Return the ids of an option's characters; raises UsageError, naming those that the model does not know."""
    text = vocab.normalized(text)
    ids = vocab.encode(text)
    strange = sorted({c for c, i in zip(text, ids, strict=True) if not 0 <= i < len(vocab.symbols)})
    if strange:
        raise UsageError(f"{option}: the model does not know {named(strange)}: leave them out")
    return ids
