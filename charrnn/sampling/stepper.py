"""A model that goes on by one character at a time, for B texts at once, with nothing to look back on.

The equations are those of Network.forward, with one product a layer and character. Since h_t is multiplied by W_hh for
step t+1 and by the matrix above for step t, these stand one below the other:

    v_l     = [W_hh; W_above] h_t            W_above: W_xh of layer l+1, or head.W_hy
    a_0     = table[:, id]                   table = W_xh embed.Wᵀ + b_h, a column a symbol
    a_{l+1} = the lower part of v_l + b_h    logits likewise, from the highest layer

Every operation is bound to its arrays once, so a step only calls one after the other.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import State, layer_step
from charrnn.model import CharRNN
from charrnn.network import Network, scope
from charrnn.ops import Array, Ids
from charrnn.sampling.filters import Logits

WINDOW = 256  # ids of a prompt read at a time
TABLE_NUMBERS = 1 << 24  # a larger table would take longer to make than it saves, and much memory

Operation = Callable[[], object]


class Stack(NamedTuple):
    """A network and its weights as a step wants them."""

    network: Network
    table: Array | None  # (G·H, V), unless it would be too large
    matrices: list[Array]  # of each layer (G·H + the rows of the matrix above, H)


def stacked(network: Network) -> Stack:
    """Return a network with its matrices in stacks, copied."""
    params, L = network.params, network.config.num_layers
    above = [*(params[f"layers.{l}.W_xh"] for l in range(1, L)), params["head.W_hy"]]
    matrices = [np.concatenate([params[f"layers.{l}.W_hh"], above[l]]) for l in range(L)]
    W_xh, b_h = params["layers.0.W_xh"], params["layers.0.b_h"]
    small = len(params["embed.W"]) * len(W_xh) <= TABLE_NUMBERS
    return Stack(network, W_xh @ params["embed.W"].T + b_h[:, None] if small else None, matrices)


class Start(NamedTuple):
    """Where texts begin: a model that has read a prompt up to its last id."""

    stacks: list[Stack]  # of each network
    states: list[State]  # of each network, one column
    last: int


forgiving = np.errstate(over="ignore", invalid="ignore")  # a model that has diverged is found by what is drawn


@forgiving
def read_prompt(model: CharRNN, prompt: Ids) -> Start:
    """Read the ids of a prompt (N,), N ≥ 1, as the one text that every sample goes on from."""
    state, cache = model.zero_state(1), model.cache(min(WINDOW, len(prompt)), 1)
    for start in range(0, len(prompt) - 1, WINDOW):
        window = prompt[start : min(start + WINDOW, len(prompt) - 1), None]
        _, state = model.forward(window, state, cache)
    return Start([stacked(network) for network in model.networks], model.each_state(state), int(prompt[-1]))


class Stepper:
    """B texts that go on from a prompt, a column each; which, and of how many, decides the last bits of its logits."""

    @forgiving
    def __init__(self, start: Start, B: int) -> None:
        config = start.stacks[0].network.config
        self.last = start.last
        self.line_end = config.line_end
        self.ids = np.full(B, start.last, np.intp)
        self.carried: list[Array] = []  # all of a text's past, a column each: states, and their part of v
        self.operations: list[Operation] = []
        each = np.empty((len(start.stacks), config.vocab_size, B))
        for stack, state, logits in zip(start.stacks, start.states, each, strict=True):
            self.bind(stack, state, logits)
        mean = each[0]
        if len(each) > 1:
            mean = np.empty_like(each[0])
            self.operations.append(partial(np.mean, each, 0, None, mean))
        self.logits: Logits = mean.T
        self.begun = [array.copy() for array in self.carried]

    def bind(self, stack: Stack, state: State, logits: Logits) -> None:
        """Add the operations of a network, and what it carries from step to step; its logits go to (V, B)."""
        network, B = stack.network, len(self.ids)
        params, GH = network.params, network.cell.gates * network.config.hidden_size
        a = np.empty((GH, B), network.dtype)
        self.operations += look_up(stack, self.ids, a)
        for l, W in enumerate(stack.matrices):
            parts = tuple(np.repeat(part, B, axis=1) for part in state[l])  # each (H, B)
            v = np.empty((len(W), B), network.dtype)
            own, up, multiply = v[:GH], v[GH:], partial(np.matmul, W, parts[0], v)
            step = layer_step(network.cell, scope(params, f"layers.{l}."), a, own, parts, network.config.zoneout)
            multiply()
            self.carried += [*parts, own]
            is_last = l == len(stack.matrices) - 1
            b = params["head.b_y" if is_last else f"layers.{l + 1}.b_h"][:, None]
            a = np.empty((GH, B), network.dtype)
            self.operations += [step, multiply, partial(np.add, up, b, logits if is_last else a)]

    def restart(self, b: int) -> None:
        """Let column b begin anew after the prompt, to the same bits as at first."""
        self.ids[b] = self.last
        for array, first in zip(self.carried, self.begun, strict=True):
            array[:, b] = first[:, b]

    def step(self) -> Logits:
        """Read `ids` (B,); return the logits (B, V) of what comes next, which stay until the next step."""
        if self.line_end is not None:
            lines = np.flatnonzero(self.ids == self.line_end)
            for array in self.carried if len(lines) else ():
                array[:, lines] = 0  # what zero states are multiplied to is zero
        for operation in self.operations:
            operation()
        return self.logits


def look_up(stack: Stack, ids: Ids, a: Array) -> list[Operation]:
    """Return what writes to a (G·H, B) the first layer's W_xh x + b_h of ids (B,)."""
    if stack.table is not None:
        return [partial(stack.table.take, ids, 1, a, "clip")]
    params = stack.network.params
    embedded = np.empty((len(ids), params["embed.W"].shape[1]), a.dtype)
    return [
        partial(params["embed.W"].take, ids, 0, embedded, "clip"),
        partial(np.matmul, params["layers.0.W_xh"], embedded.T, a),
        partial(np.add, a, params["layers.0.b_h"][:, None], a),
    ]
