"""What a text must be like, asked before every character: the interface of a rule, and several seen as one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charrnn.sampling.filters import Mask


class Rule(Protocol):
    """What one text must be like. There is an object a sample, told of each character that is drawn for it.

    Where `may_end` is true the text may end as it stands. It does so with the probability that the model itself gives
    to going on in a way that the rule forbids: what is drawn is then drawn as if there were no rule, and if the rule
    forbids it, the text ends before it. A rule whose `may_end` is never true has no say in when a text ends.
    """

    @property
    def may_end(self) -> bool:
        """Whether the text may end as it stands."""

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return which ids may come next, (V,); None is all of them."""

    def take(self, id: int) -> None:  # noqa: A002  # it is one
        """Note that this id has come."""


class Rules:
    """Several rules of one text as one, after its alphabet.

    They are asked in order. One that leaves nothing of what the alphabet and the rules before it leave is passed over
    for this character, so that there always is one; a rule that must hold at any cost raises an error instead.
    """

    def __init__(self, rules: Sequence[Rule], alphabet: Mask) -> None:
        self.rules = rules
        self.alphabet = alphabet
        self.look()

    def look(self) -> None:
        """Ask every rule what may come next.

        Then `drawable` (V,) is what may be drawn, of which `going_on` (V,) does not end the text; `over` tells whether
        nothing can but end it.
        """
        self.drawable = self.going_on = self.alphabet
        ending = False
        for rule in self.rules:
            allowed, ending = rule.allowed(), ending or rule.may_end
            if allowed is None:
                continue
            if rule.may_end:
                self.going_on = self.going_on & allowed
            elif (self.drawable & allowed).any():
                self.drawable = self.drawable & allowed
        self.over = ending and not (self.drawable & self.going_on).any()

    def take(self, id: int) -> bool:  # noqa: A002
        """Go on with what was drawn and return True; or return False, and it is over: the text ends before it."""
        if self.over or not self.going_on[id]:
            self.over = True
            return False
        for rule in self.rules:
            rule.take(id)
        self.look()
        return True
