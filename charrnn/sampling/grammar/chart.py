"""What may follow the beginning of a text of a grammar: a chart parser (Earley 1970) whose positions are shared.

An item is the rest of a production that is still to be read, and a continuation: the items that follow where its rule
is complete. A position of a text is the set of its items. Earley's items refer to the position where their production
began; a continuation has only what matters of it, is stored once however it was reached, and stands in for an item
with nothing left to read (as in Leo 1991). So texts that can continue in the same ways share one Position, and the
positions are the states of an automaton that is built as far as samples reach.

Each position knows how many characters at least complete the text after each possible next character:

    need(c) = min over items that c advances of   rest of the terminal + rest of the production + cost(continuation)
    cost(continuation) = min over its items of   rest of the production + cost(its continuation)

so that a sample keeps to its length, and never reaches a point from where it cannot end.
"""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.context_free import NOTHING, WHOLE, CompiledGrammar, Rule, Terminal
from charrnn.sampling.states import Choices, State, WholeConstraint

MAX_POSITIONS = 50_000  # kept for all samples, then forgotten: some 100 MB


class Continuation:
    """What follows a rule where it is complete: any of its items; `cost` characters at least complete the text."""

    items: frozenset["Item"] = frozenset()
    cost = inf


class Item(NamedTuple):
    """The symbols of suffix `rest` are still to be read, then the continuation follows; END has neither.

    `state` is the state of the suffix's first terminal, 0 where none of it has been read. While a position is built,
    a rule in place of a continuation means the one that follows this rule where it begins at the position.
    """

    rest: int
    continuation: Continuation | Rule | None
    state: int = 0


END = Item(NOTHING, None)
Items = frozenset[Item]


def completed(items: Iterable[Item]) -> Items:
    """Return items with those that have nothing left to read replaced by what follows them."""
    queue = list(dict.fromkeys(items))
    found = set(queue)
    for item in queue:  # which grows meanwhile
        if item.rest == NOTHING and isinstance(item.continuation, Continuation):
            queue += item.continuation.items - found
            found |= item.continuation.items
    return frozenset(item for item in found if item.rest != NOTHING or item == END)


class Position(State):
    """A position of a text: the items that can begin there or continue, and what they need."""

    def __init__(self, chart: "Chart", kernel: Items) -> None:
        self.grammar = chart.grammar
        items, waiting = self.predicted(kernel)
        continuations = chart.continuations_of(waiting)
        self.reading: list[tuple[Item, Terminal]] = []  # items with a terminal before the rest
        for rest, after, state in items:
            symbol = self.grammar.first[rest]
            if isinstance(symbol, Terminal):
                after = continuations[after] if isinstance(after, Rule) else after
                self.reading.append((Item(rest, after, state), symbol))
        super().__init__(chart.choices, self.needs(), END in items)

    def predicted(self, kernel: Items) -> tuple[dict[Item, None], dict[Rule, set[Item]]]:
        """Return the items, with all that follow from them before the next character, and what follows each rule.

        A symbol with an empty text is also passed over where it begins, so that an empty production, which ends there
        too, needs no completion (Aycock and Horspool 2002).
        """
        grammar, items, queue = self.grammar, dict.fromkeys(kernel), list(kernel)
        waiting: dict[Rule, set[Item]] = {}  # what follows each rule that can begin here
        for rest, after, state in queue:  # which grows meanwhile
            found = list[Item]()
            if rest == NOTHING:
                found += completed([Item(rest, after)])
            else:
                symbol, following = grammar.first[rest], Item(grammar.next[rest], after)
                if isinstance(symbol, Rule):
                    if symbol not in waiting:
                        found += (Item(each, symbol) for each in grammar.alternatives[symbol])
                    waiting.setdefault(symbol, set()).add(following)
                if grammar.shortest[symbol] == 0 and state == 0:
                    found.append(following)
            new = [item for item in found if item not in items]
            items.update(dict.fromkeys(new))
            queue += new
        return items, waiting

    def needs(self) -> NDArray[np.float64]:
        """Return how many characters at least complete the text after one of each class, (K + 1,); inf if none do."""
        grammar = self.grammar
        need = np.full(grammar.K + 1, inf)  # the last one is for symbols that may not be written
        for (rest, after, state), terminal in self.reading:
            assert isinstance(after, Continuation)
            automaton = grammar.automata[terminal]
            own = automaton.after[state] + (grammar.tails[grammar.next[rest]] + after.cost)
            np.minimum(need[:-1], own[grammar.own_class[terminal]], out=need[:-1])
        return need

    def kernel_after(self, c: int) -> Items:
        """Return the items that a character of class c advances."""
        grammar, kernel = self.grammar, set[Item]()
        for (rest, after, state), terminal in self.reading:
            automaton = grammar.automata[terminal]
            target = automaton.transitions.item(state, grammar.own_class[terminal].item(c))
            if automaton.may_end[target]:
                kernel.add(Item(grammar.next[rest], after))
            if automaton.continues[target]:
                kernel.add(Item(rest, after, target))
        return completed(kernel)


class Chart:
    """The positions and continuations of all samples of a grammar, each stored once."""

    def __init__(self, grammar: CompiledGrammar) -> None:
        self.grammar = grammar
        self.choices = Choices(grammar.classes, grammar.classes < grammar.K, "grammar")
        self.positions: dict[Items, Position] = {}
        self.continuations: dict[object, Continuation] = {}
        self.start = Position(
            self,
            frozenset(Item(each, self.continuation(frozenset([END]))) for each in grammar.alternatives[Rule(WHOLE)]),
        )

    def __reduce__(self) -> tuple[type["Chart"], tuple[CompiledGrammar]]:
        """A copy in another process has the grammar, and finds the positions again."""
        return Chart, (self.grammar,)

    def follower(self, state: Position, id: int) -> Position:  # noqa: A002
        """Return the position after a symbol, which was allowed at `state`."""
        c = self.choices.class_of[id]
        found = state.followers.get(c)
        if found is None:
            kernel = state.kernel_after(c)
            if len(self.positions) >= MAX_POSITIONS:
                self.forget()
            if kernel not in self.positions:
                self.positions[kernel] = Position(self, kernel)
            found = state.followers[c] = self.positions[kernel]
        return found

    def forget(self) -> None:
        """Drop all positions but the start; those of samples under way stay alive through their constraints."""
        for position in [self.start, *self.positions.values()]:
            position.followers.clear()
        self.positions.clear()
        self.continuations.clear()

    # ---- continuations ----

    def continuations_of(self, waiting: dict[Rule, set[Item]]) -> dict[Rule, Continuation]:
        """Return the continuation of each rule that begins at a position, from the items that wait for it there.

        An item may name another of these rules. Those that name each other in a cycle, as in a left recursion, are
        distinguished by all that they lead to.
        """
        found: dict[Rule, Continuation] = {}
        open_rules = without_tails(waiting)
        while open_rules:
            ready = {
                rule: items
                for rule, items in open_rules.items()
                if not any(item.continuation in open_rules for item in items)
            }
            for rule, items in ready.items():
                found[rule] = self.continuation(resolved(items, found))
                del open_rules[rule]
            if not ready:
                found |= self.cyclic({rule: resolved(items, found) for rule, items in open_rules.items()})
                break
        return found

    def continuation(self, items: Items) -> Continuation:
        """Return the continuation with these items."""
        if items not in self.continuations:
            made = self.continuations[items] = Continuation()
            made.items, made.cost = items, self.cost(items)
        return self.continuations[items]

    def cyclic(self, open_rules: dict[Rule, Items]) -> dict[Rule, Continuation]:
        """Return the continuations of rules whose items name each other."""
        found, made = dict[Rule, Continuation](), dict[Rule, Continuation]()
        for rule in open_rules:
            reached = [rule]
            for each in reached:  # which grows meanwhile
                named = (item.continuation for item in open_rules[each])
                reached += {other for other in named if isinstance(other, Rule)} - {*reached}
            key = (rule, frozenset((each, open_rules[each]) for each in reached))
            if key not in self.continuations:
                self.continuations[key] = made[rule] = Continuation()
            found[rule] = self.continuations[key]
        for rule, continuation in made.items():
            continuation.items = resolved(open_rules[rule], found)
        for _ in made:  # a shortest way passes each of them at most once
            for continuation in made.values():
                continuation.cost = self.cost(continuation.items)
        return found

    def cost(self, items: Items) -> float:
        """Return how many characters at least complete the text after any of the items."""
        return min(
            self.grammar.tails[rest] + after.cost if isinstance(after, Continuation) else 0 for rest, after, _ in items
        )


def without_tails(waiting: dict[Rule, set[Item]]) -> dict[Rule, set[Item]]:
    """Return what follows each rule, with items that have nothing left to read replaced by what follows them."""
    found = {rule: set(completed(items)) for rule, items in waiting.items()}
    ends = {
        rule: [item.continuation for item in items if item.rest == NOTHING and isinstance(item.continuation, Rule)]
        for rule, items in waiting.items()
    }
    changed = any(ends.values())
    while changed:
        changed = False
        for rule, others in ends.items():
            size = len(found[rule])
            found[rule].update(*(found[other] for other in others))
            changed |= len(found[rule]) > size
    return found


def resolved(items: Iterable[Item], found: dict[Rule, Continuation]) -> Items:
    """Return items with the continuations that have been found in place of their rules."""
    return frozenset(
        item._replace(continuation=found[item.continuation])
        if isinstance(item.continuation, Rule) and item.continuation in found
        else item
        for item in items
    )


class GrammarConstraint(WholeConstraint[Position]):
    """The state of one sample of up to `length` characters, which may end where the text so far is in the grammar.

    The ids of a prompt (N,) are the beginning of the text. Raises UsageError if no text of the grammar begins with
    them, or none fits into the length.
    """

    def __init__(self, chart: Chart, prompt: Iterable[int] = (), length: float = inf) -> None:
        position, name = chart.start, chart.grammar.name
        for n, id in enumerate(prompt):  # noqa: A001
            if not position.choice(inf).continuing[id]:
                advice = "--no-echo makes the prompt a context that the grammar does not apply to"
                raise UsageError(f"{name}: no text begins with the first {n + 1} characters of the prompt: {advice}")
            position = chart.follower(position, id)
        needed = 0 if position.may_end else float(position.need.min()) + 1
        if needed > length:
            raise UsageError(f"{name}: a text needs {needed:.0f} characters: --length {length} is too small")
        super().__init__(chart, position, length)
