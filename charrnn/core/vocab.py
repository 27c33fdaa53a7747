"""The vocabulary: the code points that a model knows, and their ids 0 … V-1."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UnknownCharacterError, UsageError
from charrnn.core.ops import Ids

CODE_POINTS = 0x110000
NORMALIZATIONS = ("none", "nfc", "nfd")
UNKNOWN = -1  # the id of a character outside a vocabulary that has no unknown symbol

Codes = NDArray[np.unsignedinteger]


def codes_of(text: str) -> Codes:
    """Return the code points of a text, (N,), lone surrogates included, in the narrowest type that fits.

    Most texts need one or two bytes per character, and are processed faster that way than with four.
    """
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass")
    if len(data) == 2 * len(text):
        return np.frombuffer(data, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def text_of(codes: Codes) -> str:
    """Return the text of an array of code points: the inverse of codes_of."""
    return codes.astype("<u4").tobytes().decode("utf-32-le")


def normalized(text: str, form: str) -> str:
    """Return the text in Unicode normal form `nfc` or `nfd`, or unchanged for `none`."""
    if form == "nfc":
        return unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFD", text) if form == "nfd" else text


@dataclass(frozen=True, eq=False)
class Vocab:
    """Code points in ascending order; a symbol's id is its position. With `unknown`, one more id stands for all others.

    `normalize` is the Unicode form in which the training text was read: texts given to a Vocab are brought to it.
    """

    symbols: Codes  # (V,) or, with unknown, (V-1,), uint32
    unknown: bool = False
    normalize: str = "none"

    def __post_init__(self) -> None:
        if self.normalize not in NORMALIZATIONS:
            raise UsageError(f"--normalize {self.normalize}: must be one of {', '.join(NORMALIZATIONS)}")

    @classmethod
    def build(
        cls, counts: NDArray[np.int64], min_count: int = 1, normalize: str = "none", known: "Vocab | None" = None
    ) -> "Vocab":
        """Return the vocabulary for counts[code point]; characters rarer than min_count become the unknown symbol.

        It contains all symbols of a `known` vocabulary, however rare, and its unknown symbol.
        """
        kept = counts >= min_count  # (0x110000,)
        if known is not None:
            kept[known.symbols] = True
        unknown = bool(np.any((counts > 0) & ~kept)) or (known is not None and known.unknown)
        return cls(np.flatnonzero(kept).astype(np.uint32), unknown, normalize)

    def __len__(self) -> int:
        return len(self.symbols) + self.unknown

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        same_form = self.unknown == other.unknown and self.normalize == other.normalize
        return same_form and np.array_equal(self.symbols, other.symbols)

    @property
    def id_dtype(self) -> type[np.unsignedinteger]:
        """The smallest integer type that holds every id."""
        return next(t for t in (np.uint8, np.uint16, np.uint32) if len(self) <= np.iinfo(t).max + 1)

    @cached_property
    def table(self) -> NDArray[np.int32]:
        """Code point -> id, (0x110000,)."""
        table = np.full(CODE_POINTS, len(self.symbols) if self.unknown else UNKNOWN, np.int32)
        table[self.symbols] = np.arange(len(self.symbols), dtype=np.int32)
        return table

    @property
    def newline_id(self) -> int | None:
        """The id of the newline; None if it is not in the vocabulary."""
        found = np.flatnonzero(self.symbols == ord("\n"))
        return int(found[0]) if len(found) else None

    @property
    def start_id(self) -> int:
        """The id that precedes a text's first character: that of the newline, as if a line began.

        In a vocabulary without a newline it is the unknown symbol, or else the first one.
        """
        return max(0, int(self.table[ord("\n")]))

    def normalized(self, text: str) -> str:
        """Return a text in the vocabulary's Unicode form. Every text is normalized once, before it is encoded."""
        return normalized(text, self.normalize)

    def encode(self, text: str) -> Ids:
        """Return the ids of a normalized text, (N,); UNKNOWN for characters outside the vocabulary."""
        return self.table.take(codes_of(text))

    def encode_known(self, text: str) -> Ids:
        """Return the ids of a normalized text.

        Raises UnknownCharacterError, naming the characters, if some are not in the vocabulary.
        """
        ids = self.encode(text)
        if (ids == UNKNOWN).any():
            strange = sorted({c for c, i in zip(text, ids, strict=True) if i == UNKNOWN})
            raise UnknownCharacterError(
                f"the model does not know {named(strange)}: leave them out, or use --unknown skip"
            )
        return ids

    @cached_property
    def characters(self) -> list[str]:
        """Id -> character; U+FFFD, the replacement character, for the unknown symbol."""
        return [*text_of(self.symbols), "\ufffd"][: len(self)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids."""
        return "".join(self.characters[i] for i in ids)


def named(characters: list[str], at_most: int = 5) -> str:
    """Return characters with their code points, `U+00E9 é`: the first few, and the number of the others."""
    shown = [f"U+{ord(c):04X} {c}" if c.isprintable() else f"U+{ord(c):04X}" for c in characters[:at_most]]
    more = len(characters) - at_most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
