"""Constraints on a sample, which are asked before every character: the interface, and the sum of several."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from charrnn.core.sample import Mask

Finish = Literal["length", "stop", "regex", "grammar"]  # why a sample ended


class Choice(NamedTuple):
    """What may be drawn next: the ids of `drawable` (V,); those in `continuing` (V,) do not end the sample.

    `finish` is the reason for an end here, None if the sample may not end; `ended` whether every drawable id ends it.
    """

    drawable: Mask
    continuing: Mask
    finish: Finish | None
    ended: bool


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
        self.accepted = 0  # ids
        only = constraints[0] if len(constraints) == 1 else None
        self.choose: Callable[[], Choice] = getattr(only, "choice", self.combined)  # a constraint may know it at once
        self.choice = self.choose()

    def combined(self) -> Choice:
        """Ask every constraint what may come next."""
        drawable = continuing = self.alphabet
        finish: Finish | None = None
        for constraint in self.constraints:
            allowed = constraint.allowed(drawable)
            if constraint.may_end:
                finish = finish or constraint.finish
            if allowed is None:
                continue
            if constraint.may_end:
                continuing = continuing & allowed
            elif (drawable & allowed).any():
                drawable = drawable & allowed
        return Choice(drawable, continuing, finish, finish is not None and not (drawable & continuing).any())

    def accept(self, id: int) -> bool:  # noqa: A002
        """Add a drawn id to the text and return True, or return False if the sample ends before it."""
        if self.choice.ended or not self.choice.continuing.item(id):
            self.choice = self.choice._replace(ended=True)
            return False
        for constraint in self.constraints:
            constraint.advance(id)
        self.accepted += 1
        self.choice = self.choose()
        return True
