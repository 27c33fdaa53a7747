"""A model that reads one character at a time, for B texts at once, and keeps nothing for a backward pass.

The equations are those of Network.forward, with one product per layer and character. Since h_t is multiplied by W_hh
for step t+1 and by the matrix above for step t, the two matrices are stacked:

    v_l     = [W_hh; W_above] h_t            W_above: W_xh of layer l+1, or head.W_hy
    a_0     = table[id]                      table = (W_xh embed.Wᵀ + b_h)ᵀ, one row per symbol
    a_{l+1} = the lower part of v_l + b_h    logits likewise, from the top layer

Every operation is bound to its arrays once, so that a step only calls one after the other.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Self

import numpy as np

from charrnn.core.cells.cell import State, layer_step
from charrnn.core.model import CharRNN
from charrnn.core.network import Network, scope
from charrnn.core.ops import Array, Ids, block_size, row_blocks
from charrnn.core.sample import Logits

PROMPT_STEPS = 256  # ids of a prompt per forward pass
ROWS = 48  # of a block, for any number of symbols
MAX_TABLE_SIZE = 1 << 24  # a larger table would take longer to make than it saves, and much memory

Operation = Callable[[], object]
Report = Callable[[int], object]  # called with a number of ids that were read

ignore_overflow = np.errstate(over="ignore", invalid="ignore")  # the draw detects logits that are not finite


class StackedNetwork:
    """A network with stacked copies of its matrices, and the table (V, G·H), None if it would be too large."""

    def __init__(self, network: Network) -> None:
        params, L = network.params, network.config.num_layers
        above = [*(params[f"layers.{l}.W_xh"] for l in range(1, L)), params["head.W_hy"]]
        W_xh, b_h = params["layers.0.W_xh"], params["layers.0.b_h"]
        small = len(params["embed.W"]) * len(W_xh) <= MAX_TABLE_SIZE
        self.network = network
        self.matrices = [np.concatenate([params[f"layers.{l}.W_hh"], above[l]]) for l in range(L)]
        self.table = np.ascontiguousarray((W_xh @ params["embed.W"].T + b_h[:, None]).T) if small else None


def cut_rows(W: Array, B: int) -> Array:
    """Return W (E, D) in row blocks for B columns, with rows of zeros up to a multiple of ROWS if it is cut at all."""
    E, D = len(W) + -len(W) % ROWS, W.shape[1]
    if block_size(E, D, B) == E:
        return W[None]
    return row_blocks(np.concatenate([W, np.zeros((E - len(W), D), W.dtype)]), B)


class PromptState:
    """A model after all ids of a prompt (N,), N ≥ 1, but the last: the point where every sample starts.

    `report` is called with the number of ids of each part that was read; it may raise an exception to stop.
    """

    @ignore_overflow
    def __init__(self, model: CharRNN, prompt: Ids, report: Report = int) -> None:
        self.networks = [StackedNetwork(network) for network in model.networks]
        self.states = [network.zero_state(1) for network in model.networks]  # of each network, one column
        self.last_id = int(prompt[0])
        self.read(prompt[1:], report)

    def after(self, ids: Ids, report: Report = int) -> Self:
        """Return the point where samples start after more ids (N,); this one stays as it is."""
        result = copy(self)
        result.read(ids, report)
        return result

    @ignore_overflow
    def read(self, ids: Ids, report: Report) -> None:
        """Read ids (N,): the last one becomes `last_id`, those before it change the states."""
        if not len(ids):
            return
        inputs = np.concatenate([[self.last_id], ids[:-1]])[:, None]
        networks = [stacked.network for stacked in self.networks]
        caches = [network.cache(min(PROMPT_STEPS, len(inputs)), 1) for network in networks]
        for start in range(0, len(inputs), PROMPT_STEPS):
            window = inputs[start : start + PROMPT_STEPS]
            own = zip(networks, self.states, caches, strict=True)
            self.states = [network.layers_forward(window, state, cache)[1] for network, state, cache in own]
            report(len(window))
        self.last_id = int(ids[-1])


def look_up(table: Array, ids: Ids, a: Array) -> list[Operation]:
    """Return operations that write the rows of a table (V, G·H) named by ids (B,) to a (G·H, B) as columns."""
    if len(ids) == 1:
        rows = list(table[:, :, None])  # views: none has to be made for a character
        return [lambda: np.copyto(a, rows[ids.item()])]
    taken = np.empty((len(ids), table.shape[1]), a.dtype)
    return [partial(table.take, ids, 0, taken, "clip"), partial(np.copyto, a, taken.T)]


class IncrementalModel:
    """B texts that continue the same prompt, one column each.

    The last bits of a text's logits depend on B and on its column, since those of a matrix product do.
    """

    @ignore_overflow
    def __init__(self, prompt: PromptState, B: int) -> None:
        config = prompt.networks[0].network.config
        self.last_id = prompt.last_id
        self.line_end = config.line_end
        self.ids = np.full(B, prompt.last_id, np.intp)
        self.carried: list[Array] = []  # everything that depends on a text's past: states, and their part of v
        self.operations: list[Operation] = []
        each = np.empty((len(prompt.networks), config.vocab_size, B))
        for network, state, logits in zip(prompt.networks, prompt.states, each, strict=True):
            self.add_network(network, state, logits)
        mean = each[0]
        if len(each) > 1:
            mean = np.empty_like(each[0])
            self.operations.append(partial(np.mean, each, 0, None, mean))
        self.logits: Logits = mean.T
        self.initial = [array.copy() for array in self.carried]

    def add_network(self, stacked: StackedNetwork, state: State, logits: Array) -> None:
        """Add the operations of a network, which write its logits (V, B), and the arrays that it carries."""
        network, B = stacked.network, len(self.ids)
        params, GH = network.params, network.cell.gates * network.config.hidden_size
        a = np.empty((GH, B), network.dtype)
        if stacked.table is None:
            x = np.empty((B, params["embed.W"].shape[1]), network.dtype)
            self.operations += [
                partial(params["embed.W"].take, self.ids, 0, x, "clip"),
                partial(np.matmul, params["layers.0.W_xh"], x.T, a),
                partial(np.add, a, params["layers.0.b_h"][:, None], a),
            ]
        else:
            self.operations += look_up(stacked.table, self.ids, a)
        for l, W in enumerate(stacked.matrices):
            parts, blocks = tuple(np.repeat(part, B, axis=1) for part in state[l]), cut_rows(W, B)  # each part (H, B)
            products = np.empty((*blocks.shape[:2], B), network.dtype)
            v = products.reshape(-1, B)
            own, up, multiply = v[:GH], v[GH : len(W)], partial(np.matmul, blocks, parts[0], products)
            step = layer_step(network.cell, scope(params, f"layers.{l}."), a, own, parts, network.config.zoneout)
            multiply()
            self.carried += [*parts, own]
            is_last = l == len(stacked.matrices) - 1
            b = params["head.b_y" if is_last else f"layers.{l + 1}.b_h"][:, None]
            a = np.empty((GH, B), network.dtype)
            self.operations += [step, multiply, partial(np.add, up, b, up if is_last else a)]
        self.operations.append(partial(np.copyto, logits, up))  # apart from the sum: float64 would slow it down

    def restart(self, b: int) -> None:
        """Return column b to the end of the prompt, to the last bit."""
        self.ids[b] = self.last_id
        for array, initial in zip(self.carried, self.initial, strict=True):
            array[:, b] = initial[:, b]

    def step(self) -> Logits:
        """Read `ids` (B,); return the logits (B, V) of the next characters, valid until the next step."""
        if self.line_end is not None:
            lines = np.flatnonzero(self.ids == self.line_end)
            for array in self.carried if len(lines) else ():
                array[:, lines] = 0  # a zero state, and its product
        for operation in self.operations:
            operation()
        return self.logits
