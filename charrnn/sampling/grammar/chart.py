"""What may follow the beginning of a text of a grammar: a chart parser (Earley 1970) whose positions are shared.

An item is a production with a dot in it: the symbols before the dot have been read. A position of the text is the set
of its items. An item refers to the position where its production began, its origin; two texts with equal items and
origins can continue in the same ways, so they share one Position, and a step is a look-up wherever any sample has been.

Each position knows how many characters at least complete the text after each possible next character:

    need(c) = min over items that c advances of   rest of the terminal + rest of the production + cost(origin, its rule)
    cost(p, A) = min over items of p with A after the dot of   what follows A in it + cost(its origin, its rule)

so that a sample keeps to its length, and never reaches a point from where it cannot end.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.core.sample import Mask
from charrnn.sampling.constraint import Finish
from charrnn.sampling.grammar.context_free import WHOLE, CompiledGrammar, Rule, Terminal

MAX_POSITIONS = 50_000  # kept for all samples, then forgotten: some 100 MB


class Item(NamedTuple):
    """Production `number` with `dot` symbols read, begun at `origin`, None for the item's own position.

    `state` is the state of the terminal after the dot, 0 where none of it has been read.
    """

    number: int
    dot: int
    origin: Optional["Position"]
    state: int = 0


class Position:
    """A position of a text: the items that can begin there or continue, and what they need."""

    def __init__(self, grammar: CompiledGrammar, kernel: Iterable[Item]) -> None:
        self.grammar = grammar
        self.waiting: defaultdict[Rule, list[Item]] = defaultdict(list)  # items with a rule after the dot
        self.reading: list[tuple[Item, Terminal]] = []  # items with a terminal after the dot
        self.may_end = False
        self.followers: dict[int, Position] = {}  # by class
        self.masks: dict[float, Mask] = {}  # by the length that is left
        self.add_items(kernel)
        self.cost = self.costs()
        self.need = self.needs()
        finite = self.need[self.need < inf]
        self.most = float(finite.max()) if len(finite) else 0.0

    def add_items(self, kernel: Iterable[Item]) -> None:
        """Add items, and all that follow from them before the next character."""
        items = dict.fromkeys(kernel)
        queue = list(items)
        for item in queue:  # which grows meanwhile
            for following in self.without_reading(item):
                if following not in items:
                    items[following] = None
                    queue.append(following)

    def without_reading(self, item: Item) -> Iterator[Item]:
        """Yield the items that follow from an item before the next character: those of Earley's paper.

        A symbol with an empty text is also passed over where it begins, so that an empty production, which ends there
        too, needs no completion (Aycock and Horspool 2002).
        """
        grammar, (number, dot, origin, state) = self.grammar, item
        rule, parts = grammar.productions[number]
        if dot == len(parts):
            self.may_end |= rule.name == WHOLE
            for parent in origin.waiting[rule] if origin else ():
                yield Item(parent.number, parent.dot + 1, parent.origin or origin)
            return
        symbol = parts[dot]
        if isinstance(symbol, Terminal):
            self.reading.append((item, symbol))
        else:
            if symbol not in self.waiting:
                yield from (Item(each, 0, None) for each in grammar.of_rule[symbol])
            self.waiting[symbol].append(item)
        if grammar.shortest[symbol] == 0 and state == 0:
            yield Item(number, dot + 1, origin)

    def cost_after(self, item: Item, cost: dict[Rule, float]) -> float:
        """Return how many characters complete the text after the rule of an item."""
        rule = self.grammar.productions[item.number][0]
        if rule.name == WHOLE:
            return 0
        return (cost if item.origin is None else item.origin.cost).get(rule, inf)

    def costs(self) -> dict[Rule, float]:
        """Return how many characters at least complete the text after each rule that this position waits for."""
        cost = dict.fromkeys(self.waiting, inf)
        changed = True
        while changed:
            changed = False
            for rule, items in self.waiting.items():
                for item in items:
                    found = self.grammar.tails[item.number][item.dot + 1] + self.cost_after(item, cost)
                    if found < cost[rule]:
                        cost[rule], changed = found, True
        return cost

    def needs(self) -> NDArray[np.float64]:
        """Return how many characters at least complete the text after one of each class, (K + 1,); inf if none do."""
        need = np.full(self.grammar.K + 1, inf)  # the last one is for symbols that may not be written
        for item, terminal in self.reading:
            rest = self.grammar.tails[item.number][item.dot + 1] + self.cost_after(item, self.cost)
            np.minimum(need[:-1], self.grammar.after[terminal][item.state] + rest, out=need[:-1])
        return need

    def kernel_after(self, c: int) -> frozenset[Item]:
        """Return the items that a character of class c advances."""
        grammar, kernel = self.grammar, set[Item]()
        for (number, dot, origin, state), terminal in self.reading:
            if grammar.after[terminal][state, c] < inf:
                target = grammar.transitions[terminal][state][c]
                begun = origin or self
                if grammar.may_end[terminal][target]:
                    kernel.add(Item(number, dot + 1, begun))
                if grammar.after[terminal][target].min(initial=inf) < inf:
                    kernel.add(Item(number, dot, begun, target))
        return frozenset(kernel)

    def allowed(self, left: float) -> Mask:
        """Return the symbols (V,) after which the text can be completed within `left` characters, the symbol included.

        If nothing is left, those after which it could be completed at all: so a complete text differs from a cut one.
        """
        bound = min(left or inf, self.most + 1)
        if bound not in self.masks:
            self.masks[bound] = (self.need < bound)[self.grammar.classes]
            self.masks[bound].setflags(write=False)
        return self.masks[bound]


class Chart:
    """The positions of all samples of a grammar, each stored once."""

    def __init__(self, grammar: CompiledGrammar) -> None:
        self.grammar = grammar
        self.positions: dict[frozenset[Item], Position] = {}
        self.start = Position(grammar, [Item(number, 0, None) for number in grammar.of_rule[Rule(WHOLE)]])

    def __reduce__(self) -> tuple[type["Chart"], tuple[CompiledGrammar]]:
        """A copy in another process has the grammar, and finds the positions again."""
        return Chart, (self.grammar,)

    def follower(self, position: Position, id: int) -> Position:  # noqa: A002
        """Return the position after a symbol, which was allowed at `position`."""
        c = int(self.grammar.classes[id])
        if c not in position.followers:
            kernel = position.kernel_after(c)
            if len(self.positions) >= MAX_POSITIONS:
                self.forget()
            if kernel not in self.positions:
                self.positions[kernel] = Position(self.grammar, kernel)
            position.followers[c] = self.positions[kernel]
        return position.followers[c]

    def forget(self) -> None:
        """Drop all positions but the start; those of samples under way stay alive through their constraints."""
        for position in [self.start, *self.positions.values()]:
            position.followers.clear()
        self.positions.clear()


class GrammarConstraint:
    """The state of one sample of up to `length` characters, which may end where the text so far is in the grammar.

    The ids of a prompt (N,) are the beginning of the text. Raises UsageError if no text of the grammar begins with
    them, or none fits into the length.
    """

    finish: Finish = "grammar"

    def __init__(self, chart: Chart, prompt: Iterable[int] = (), length: float = inf) -> None:
        self.chart, self.position, self.left = chart, chart.start, inf
        for n, id in enumerate(prompt):  # noqa: A001
            if not self.position.allowed(inf)[id]:
                advice = "--no-echo makes the prompt a context that the grammar does not apply to"
                raise UsageError(
                    f"{chart.grammar.name}: no text begins with the first {n + 1} characters of the prompt: {advice}"
                )
            self.advance(id)
        self.left = length
        needed = 0 if self.may_end else float(self.position.need.min()) + 1
        if needed > length:
            raise UsageError(
                f"{chart.grammar.name}: a text needs {needed:.0f} characters: --length {length} is too small"
            )

    @property
    def may_end(self) -> bool:
        """Whether the text so far is in the grammar."""
        return self.position.may_end

    def allowed(self, drawable: Mask) -> Mask:
        """Return the symbols (V,) after which the text can be completed within the remaining length."""
        return self.position.allowed(self.left)

    def advance(self, id: int) -> None:  # noqa: A002  # as in Constraint
        """Add an id, which was allowed, to the text."""
        self.position = self.chart.follower(self.position, id)
        self.left -= 1
