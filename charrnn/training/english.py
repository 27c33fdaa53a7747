"""Which texts start from the English model that comes with the program, if nobody says otherwise."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from string import ascii_letters
from typing import Any

import numpy as np

from charrnn.core.config import ModelConfig
from charrnn.core.vocab import Vocab
from charrnn.data.corpus import Corpus

MOST_CHARS = 5_000_000  # of a text; docs/decisions.md has the measurements
BLOCK = 1 << 20  # characters that are counted at a time
LEAST_KNOWN = 0.95  # of its characters
LEAST_LETTERS = 0.5  # of its characters: from a to z, in either case


def suits(text: Corpus, given: Mapping[str, Any], network: ModelConfig, vocab: Vocab) -> bool:
    """Return whether a text is not large and in Latin letters, and no given setting asks for another network."""
    settings = {**network.settings, "normalize": vocab.normalize}
    if given.get("dropout") != 0:
        del settings["ensemble"]  # it can start several networks, which dropout makes different
    other = any(name in settings and value != settings[name] for name, value in given.items())
    if other or len(text.ids) > MOST_CHARS or text.vocab.unknown:
        return False
    characters = np.array(text.vocab.characters)[: len(text.vocab.symbols)]
    starts = range(0, len(text.ids), BLOCK)
    blocks = (np.bincount(text.ids[start : start + BLOCK], minlength=len(characters)) for start in starts)
    counts = reduce(add, blocks) / len(text.ids)
    known = counts[np.isin(text.vocab.symbols, vocab.symbols)].sum()
    letters = counts[np.isin(characters, [*ascii_letters])].sum()
    return bool(known >= LEAST_KNOWN and letters >= LEAST_LETTERS)
