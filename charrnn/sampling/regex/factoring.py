"""Alternatives that begin alike share their beginning: abc|abd becomes ab(c|d), and a list of words becomes a trie.

The automaton of a trie is found in a time that grows with its size. Without factoring, each state would be a set of
all alternatives that are still possible, and each step would look at all of them.
"""

from charrnn.sampling.regex.parser import Alternation, Concat, Lookahead, Node, Repeat

EMPTY_TEXT = Concat(())


def factored(node: Node) -> Node:
    """Return a node that matches the same texts, with common beginnings of its alternatives factored out."""
    match node:
        case Concat(parts):
            return Concat(tuple(factored(part) for part in parts))
        case Alternation(parts):
            return trie([sequence(factored(part)) for part in parts])
        case Repeat(part, least, most):
            return Repeat(factored(part), least, most)
        case Lookahead(part, negative):
            return Lookahead(factored(part), negative)
    return node


def sequence(node: Node) -> tuple[Node, ...]:
    """Return the parts of a node that follow one another."""
    return node.parts if isinstance(node, Concat) else (node,)


def trie(sequences: list[tuple[Node, ...]]) -> Node:
    """Return the alternation of sequences of nodes, each shared beginning in it only once."""
    followers: dict[Node, list[tuple[Node, ...]]] = {}
    for first, *rest in filter(None, sequences):
        followers.setdefault(first, []).append(tuple(rest))
    branches = [beginning(first, rests) for first, rests in followers.items()]
    if () in sequences:
        branches.append(EMPTY_TEXT)
    return branches[0] if len(branches) == 1 else Alternation(tuple(branches))


def beginning(first: Node, rests: list[tuple[Node, ...]]) -> Node:
    """Return a first node followed by any of several sequences, whose shared beginning follows without a choice."""
    shared = [first]
    while all(rests) and len({rest[0] for rest in rests}) == 1:
        shared.append(rests[0][0])
        rests = [rest[1:] for rest in rests]
    if any(rests):
        shared.append(trie(rests))
    return Concat(tuple(shared)) if len(shared) > 1 else shared[0]
