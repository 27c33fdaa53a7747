"""Constraints on a sample, which are asked before every character: the interface, and the sum of several."""

from collections.abc import Sequence
from typing import Protocol

from charrnn.core.sample import Mask


class Constraint(Protocol):
    """A constraint on one sample. Each sample has its own objects, which see every character drawn for it.

    Where `may_end` is true the sample may end. It ends with the probability that the model gives to the characters
    which the constraint forbids: they can be drawn like any other, and when one is, the sample ends before it.
    A constraint that never sets `may_end` only excludes characters.
    """

    @property
    def may_end(self) -> bool:
        """Whether the sample may end here."""

    def allowed(self, drawable: Mask) -> Mask | None:
        """Return which ids may come next, (V,), None for all; `drawable` (V,) are left by the constraints before."""

    def advance(self, id: int) -> None:  # noqa: A002
        """Add an id to the text."""


class Constraints:
    """All constraints of one sample, on top of its alphabet (V,).

    They are asked in order. If one would leave no character, it is ignored for this step, so that there always is
    one; a constraint that must never be ignored raises an error instead.
    """

    def __init__(self, constraints: Sequence[Constraint], alphabet: Mask) -> None:
        self.constraints = constraints
        self.alphabet = alphabet
        self.update()

    def update(self) -> None:
        """Ask every constraint what may come next.

        Set `drawable` (V,), the ids that may be drawn; `continuing` (V,), those of them that do not end the sample; and
        `ended`, whether every drawable id ends it.
        """
        self.drawable = self.continuing = self.alphabet
        may_end = False
        for constraint in self.constraints:
            allowed, may_end = constraint.allowed(self.drawable), may_end or constraint.may_end
            if allowed is None:
                continue
            if constraint.may_end:
                self.continuing = self.continuing & allowed
            elif (self.drawable & allowed).any():
                self.drawable = self.drawable & allowed
        self.ended = may_end and not (self.drawable & self.continuing).any()

    def accept(self, id: int) -> bool:  # noqa: A002
        """Add a drawn id to the text and return True, or return False if the sample ends before it."""
        if self.ended or not self.continuing[id]:
            self.ended = True
            return False
        for constraint in self.constraints:
            constraint.advance(id)
        self.update()
        return True
