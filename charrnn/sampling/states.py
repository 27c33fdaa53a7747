"""Samples that an automaton determines as a whole: the states that a pattern and a grammar have in common.

A state knows how many characters at least complete a text after each possible next one, so no sample runs into a dead
end, neither for lack of a character nor for lack of space. What may be drawn in it is computed once for all samples.
"""

from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from charrnn.core.sample import Mask
from charrnn.sampling.constraint import Choice, Finish


class Choices:
    """The choices of all states over the same symbols; equal ones are stored once.

    `classes` (V,) are the classes of the symbols, -1 or a last one for those that may not be written.
    """

    def __init__(self, classes: NDArray[np.int64], usable: Mask, finish: Finish) -> None:
        self.classes, self.usable, self.finish = classes, usable, finish
        self.class_of: list[int] = classes.tolist()
        self.made: dict[tuple[bytes, bool], Choice] = {}

    def of(self, fits: NDArray[np.bool_], may_end: bool) -> Choice:
        """Return the choice among the classes that fit; the last class has the symbols that never do."""
        key = (fits.tobytes(), may_end)
        if key not in self.made:
            allowed = fits[self.classes]
            allowed.setflags(write=False)
            finish, ended = (self.finish, not fits.any()) if may_end else (None, False)
            self.made[key] = Choice(self.usable if may_end else allowed, allowed, finish, ended)
        return self.made[key]


class State:
    """A state of an automaton: `need` (K + 1,) characters complete a text after one of each class, inf if none do."""

    def __init__(self, choices: Choices, need: NDArray[np.float64], may_end: bool) -> None:
        self.choices, self.need, self.may_end = choices, need, may_end
        self.most = float(need.max(where=np.isfinite(need), initial=0))
        self.followers: dict[int, Self] = {}  # by class
        self.by_length: dict[float, Choice] = {}

    def choice(self, left: float) -> Choice:
        """Return the symbols after which the text can be completed within `left` characters, the symbol included.

        If nothing is left, those after which it could be completed at all: so a complete text differs from a cut one.
        """
        bound = left if 0 < left <= self.most else self.most + 1
        found = self.by_length.get(bound)
        if found is None:
            found = self.by_length[bound] = self.choices.of(self.need < bound, self.may_end)
        return found


S = TypeVar("S", bound=State)


class Automaton(Protocol[S]):
    """Something with states. A state may be computed when it is first asked for."""

    def follower(self, state: S, id: int) -> S:  # noqa: A002
        """Return the state after a symbol, which was allowed at `state`."""


class WholeConstraint(Generic[S]):
    """The state of one sample with `left` characters still to write, which may end where the automaton lets it."""

    def __init__(self, automaton: Automaton[S], state: S, left: float) -> None:
        self.automaton, self.state, self.left = automaton, state, left

    @property
    def finish(self) -> Finish:
        """The reason for an end of the sample."""
        return self.state.choices.finish

    @property
    def may_end(self) -> bool:
        """Whether the text so far is complete."""
        return self.state.may_end

    def choice(self) -> Choice:
        """Return what may be drawn next."""
        return self.state.choice(self.left)

    def allowed(self, drawable: Mask) -> Mask:
        """Return the symbols (V,) after which the text can be completed within the remaining length."""
        return self.choice().continuing

    def advance(self, id: int) -> None:  # noqa: A002  # as in Constraint
        """Add an id, which was allowed, to the text."""
        self.state = self.automaton.follower(self.state, id)
        self.left -= 1
