"""--regex: only characters after which the pattern can still match the whole of what is written.

A pattern becomes an automaton over the characters that may be written at all. How many characters a match takes at
least from each of its states is counted out beforehand, so there is no dead end, neither for want of a character nor
for want of room; and a step is a look into a table, whatever the pattern.
"""

from collections.abc import Sequence
from math import inf

import numpy as np

from charrnn.errors import UsageError
from charrnn.rules.automaton import alphabet, automaton, fewest_steps
from charrnn.rules.syntax import Chars, PatternError, compiled, parse, walk
from charrnn.rules.terms import TooComplexError
from charrnn.sampling.filters import Mask

SHOWN = 60  # characters of a pattern that an error repeats


class Pattern:
    """A pattern over the symbols of a vocabulary, for any number of samples.

    `symbols` (V,) are the characters of the ids; those of which `usable` (V,) is false are never written. Raises
    UsageError for a pattern that is wrong, that cannot be followed, or that no text of usable symbols matches.
    """

    def __init__(self, pattern: str, symbols: Sequence[str], usable: Mask) -> None:
        self.name = f"--regex {shown(pattern)}"
        self.masks: dict[bytes, Mask] = {}
        try:
            compiled(pattern)
            tree = parse(pattern)
            self.alphabet = alphabet(tree, symbols, usable)
            self.arrows, self.ends = automaton(tree, self.alphabet)
        except PatternError as error:
            raise UsageError(f"{self.name}: {error}") from error
        except (TooComplexError, RecursionError) as error:
            advice = "make the pattern simpler, or its counts smaller"
            raise UsageError(f"{self.name}: too many cases to keep apart: {advice}") from error
        self.steps = fewest_steps(self.arrows, self.ends)
        if self.steps[0] == inf:
            wanted = dict.fromkeys(node.atom for node in walk(tree) if isinstance(node, Chars))
            lacking = [atom.source for atom in wanted if not self.alphabet.atoms[atom]]
            raise UsageError(f"{self.name}: {why_nothing_matches(lacking)}")

    def rule(self, length: float = inf) -> "PatternRule":
        """Return the rule of one sample of at most so many characters; raise UsageError if no match is so short."""
        if self.steps[0] > length:
            needed = f"a match has {self.steps[0]:.0f} characters at least"
            raise UsageError(f"{self.name}: {needed}: --length {length} is too small")
        return PatternRule(self, length)

    def mask(self, live: Mask) -> Mask:
        """Return the symbols (V,) of some classes (K,)."""
        key = live.tobytes()
        if key not in self.masks:
            self.masks[key] = np.append(live, False)[self.alphabet.classes]
            self.masks[key].setflags(write=False)
        return self.masks[key]


class PatternRule:
    """Where one sample is in a pattern. It may end where the pattern matches what was written."""

    def __init__(self, pattern: Pattern, length: float) -> None:
        self.pattern, self.left, self.state = pattern, length, 0
        self.may_end = pattern.ends[0]

    def allowed(self) -> Mask:
        """Return the symbols (V,) after which a match can be completed in the room that is left.

        With none left, those after which it could be otherwise: so a text that is complete differs from one cut short.
        """
        pattern = self.pattern
        return pattern.mask(pattern.steps[pattern.arrows[self.state]] < (self.left or inf))

    def take(self, id: int) -> None:  # noqa: A002  # as every rule calls it
        """Go on by a symbol that was allowed."""
        self.state = int(self.pattern.arrows[self.state, self.pattern.alphabet.classes[id]])
        self.left -= 1
        self.may_end = self.pattern.ends[self.state]


def why_nothing_matches(lacking: list[str]) -> str:
    """Say what is missing: the parts of a pattern that no character stands for, if there are such."""
    if not lacking:
        return "no text of the characters that may be written matches it whole"
    more = f" and {len(lacking) - 5} more parts of it" if len(lacking) > 5 else ""
    return f"among the characters that may be written there is none for {shown(' '.join(lacking[:5]))}{more}"


def shown(text: str) -> str:
    """Return a text as part of a line: its beginning, what cannot be printed escaped."""
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:SHOWN])
    return printable + " …" * (len(text) > SHOWN)
