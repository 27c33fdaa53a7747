"""--regex: only characters after which the pattern can still match the whole sample.

A pattern becomes an automaton over the characters that may be written. The length of the shortest match from each of
its states is computed in advance, so that no sample runs into a dead end, neither for lack of a character nor for lack
of space; and a step is a table look-up, whatever the pattern.
"""

from collections.abc import Sequence
from math import inf

import numpy as np

from charrnn.core.errors import UsageError
from charrnn.core.sample import Mask
from charrnn.sampling.regex.automaton import SymbolClasses, build_automaton, shortest_matches
from charrnn.sampling.regex.derivatives import TooComplexError
from charrnn.sampling.regex.parser import Chars, PatternError, compiled, parse, walk
from charrnn.sampling.states import Choices, State, WholeConstraint

CHARS_SHOWN = 60  # of a pattern in an error message


class Pattern:
    """The automaton of a pattern over the symbols of a vocabulary, shared by all samples.

    `symbols` (V,) are the characters of the ids; only those for which `usable` (V,) is true are written. Raises
    UsageError for a pattern that is wrong, not supported, or not matched by any text of usable symbols.
    """

    def __init__(self, pattern: str, symbols: Sequence[str], usable: Mask) -> None:
        self.name = f"--regex {shown(pattern)}"
        try:
            compiled(pattern)
            tree = parse(pattern)
            self.symbols = SymbolClasses(tree, symbols, usable)
            self.transitions, self.may_end = build_automaton(tree, self.symbols)
        except PatternError as error:
            raise UsageError(f"{self.name}: {error}") from error
        except TooComplexError as error:
            advice = "simplify the pattern, or use smaller counts"
            raise UsageError(f"{self.name}: too many cases to distinguish: {advice}") from error
        except RecursionError as error:
            raise UsageError(f"{self.name}: groups are nested, or optional parts in a row, too many times") from error
        self.lengths = shortest_matches(self.transitions, self.may_end)
        if self.lengths[0] == inf:
            wanted = dict.fromkeys(node.atom for node in walk(tree) if isinstance(node, Chars))
            lacking = [atom.source for atom in wanted if not self.symbols.atoms[atom]]
            raise UsageError(f"{self.name}: {why_nothing_matches(lacking)}")
        self.choices = Choices(self.symbols.classes, usable, "regex")
        self.states: dict[int, PatternState] = {}

    def __getstate__(self) -> dict[str, object]:
        """A copy in another process finds the states again."""
        return {**self.__dict__, "states": {}}

    def state(self, number: int) -> "PatternState":
        """Return a state of the automaton by its number."""
        if number not in self.states:
            self.states[number] = PatternState(self, number)
        return self.states[number]

    def follower(self, state: "PatternState", id: int) -> "PatternState":  # noqa: A002
        """Return the state after a symbol, which was allowed at `state`."""
        c = self.choices.class_of[id]
        found = state.followers.get(c)
        if found is None:
            found = state.followers[c] = self.state(self.transitions.item(state.number, c))
        return found


class PatternState(State):
    """A state of a pattern's automaton."""

    def __init__(self, pattern: Pattern, number: int) -> None:
        self.number = number
        need = np.append(pattern.lengths[pattern.transitions[number]], inf)
        super().__init__(pattern.choices, need, pattern.may_end[number])


class PatternConstraint(WholeConstraint[PatternState]):
    """The state of one sample of up to `length` characters, which may end where the pattern matches all of it.

    Raises UsageError if no match fits into the length.
    """

    def __init__(self, pattern: Pattern, length: float = inf) -> None:
        if pattern.lengths[0] > length:
            needed = f"a match has at least {pattern.lengths[0]:.0f} characters"
            raise UsageError(f"{pattern.name}: {needed}: --length {length} is too small")
        super().__init__(pattern, pattern.state(0), length)


def why_nothing_matches(lacking: list[str]) -> str:
    """Return why no text matches, naming the parts of the pattern that no usable character matches, if any."""
    if not lacking:
        return "no text of the characters that may be written matches all of it"
    more = f" and {len(lacking) - 5} more parts of it" if len(lacking) > 5 else ""
    return f"none of the characters that may be written matches {shown(' '.join(lacking[:5]))}{more}"


def shown(text: str) -> str:
    """Return the beginning of a text for a one-line message, with unprintable characters escaped."""
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:CHARS_SHOWN])
    return printable + " …" * (len(text) > CHARS_SHOWN)
