"""Constraints on a sample, which are asked before every character: the interface, and the sum of several."""

from collections.abc import Sequence
from typing import Literal, Protocol

from charrnn.core.sample import Mask

Finish = Literal["length", "stop", "regex", "grammar"]  # why a sample ended


class Constraint(Protocol):
    """A constraint on one sample. Each sample has its own objects, which see every character drawn for it.

    Where `may_end` is true the sample may end. It ends with the probability that the model gives to the characters
    which the constraint forbids: they can be drawn like any other, and when one is, the sample ends before it.
    A constraint that never sets `may_end` only excludes characters. `finish` is the reason for an end that it allows.
    """

    @property
    def finish(self) -> Finish | None:
        """The reason for an end of the sample here, None if the constraint never ends one."""

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
        `ended`, whether every drawable id ends it, for the reason `finish`.
        """
        self.drawable = self.continuing = self.alphabet
        self.finish: Finish | None = None
        for constraint in self.constraints:
            allowed = constraint.allowed(self.drawable)
            if constraint.may_end:
                self.finish = self.finish or constraint.finish
            if allowed is None:
                continue
            if constraint.may_end:
                self.continuing = self.continuing & allowed
            elif (self.drawable & allowed).any():
                self.drawable = self.drawable & allowed
        self.ended = self.finish is not None and not (self.drawable & self.continuing).any()

    def accept(self, id: int) -> bool:  # noqa: A002
        """Add a drawn id to the text and return True, or return False if the sample ends before it."""
        if self.ended or not self.continuing[id]:
            self.ended = True
            return False
        for constraint in self.constraints:
            constraint.advance(id)
        self.update()
        return True
