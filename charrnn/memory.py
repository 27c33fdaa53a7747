"""How far back a network remembers, measured twice on the same stretches of a text.

    text   …├──── before: K characters ────┼──── stretch: K characters ────┤ t …       many of them, read side by side

    ‖∂L_t/∂s_{t-k}‖     how the loss of the character after the stretch moves with the state k characters before
    loss_k              what characters cost if the state is emptied k characters before each

The state s is all that is carried from one character to the next: h of every layer, in an LSTM c too. L_t depends on
s_t through the head alone. So one backward pass over the stretch, with that gradient as the one that comes from after
it and none from the outputs within, hands out ∂L_t/∂s_{t-k} as it leaves the k-th step from the end (docs/bptt.md).

For loss_k the stretch falls into K/k pieces, each read from an empty state: the character after a piece is scored with
exactly k characters of context. It is told against the same characters after all that stands before them, since what
characters cost differs more than what they lose.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from charrnn.cells.cell import State
from charrnn.errors import TextError
from charrnn.evaluate.stream import check_finite
from charrnn.model import CharRNN, parameter_shapes, prefixes, views
from charrnn.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.threads import side_by_side

LAGS = 256  # K, of a text that is long enough
FEWEST_LAGS = 8
STRETCHES = 128  # spread over the text
LANES = 32  # stretches that are read together, by one core
STEPS = 16  # characters that a lane reads in one pass


class Memory(NamedTuple):
    """What was measured: norms by lag, 0 to K, in nats per unit of the state; losses in nats a character."""

    mean: Array  # (K+1,), of the norms of the whole state's gradient over all stretches
    median: Array  # (K+1,)
    parts: dict[str, Array]  # layers.0.h and so on -> the mean norm of that part's gradient, (K+1,)
    stretches: int
    full: float  # the loss after all that stands before
    cut: dict[int, float]  # k -> the loss with k characters of context
    positions: dict[int, int]  # k -> characters whose cost was compared

    @property
    def relative(self) -> Array:
        """The mean norms as multiples of that at lag 0, (K+1,)."""
        relative: Array = self.mean / self.mean[0]
        return relative


def measure(model: CharRNN, ids: Ids, lags: int = LAGS, stretches: int = STRETCHES) -> Memory:
    """Measure how far back a model remembers in a text (N,), up to `lags` characters, a power of two.

    A short text has half as many lags, or a quarter, or an eighth. Raises TextError if it is shorter than 17
    characters, DivergedError if the model's losses are not finite.
    """
    while 2 * lags >= len(ids) and lags > FEWEST_LAGS:
        lags //= 2
    if 2 * lags >= len(ids):
        raise TextError(f"{len(ids)} characters that the model knows: too few to tell how far back it remembers")
    begins = np.unique(np.linspace(0, len(ids) - 2 * lags - 1, stretches).astype(int))
    places = begins + np.arange(2 * lags + 1)[:, None]  # (2K+1, B), the last of which is only predicted
    groups = [ids[places[:, i : i + LANES]].astype(np.int64) for i in range(0, len(begins), LANES)]
    found = side_by_side([partial(measure_group, model, text) for text in groups])
    norms = np.concatenate([norms for norms, _, _ in found], axis=2)
    full = np.concatenate([full for _, full, _ in found], axis=1)
    cut = {k: np.concatenate([cut[k] for _, _, cut in found], axis=1) for k in found[0][2]}
    check_finite(float(full.sum() + sum(costs.sum() for costs in cut.values())))
    return summary(model, norms, full, cut)


def summary(model: CharRNN, norms: Array, full: Array, cut: dict[int, Array]) -> Memory:
    """Take means over stretches: of norms (K+1, parts, B), of costs (K, B) and, for each k, (K/k, B)."""
    whole, mean = np.hypot.reduce(norms, axis=1), full.mean(dtype=np.float64)
    lost = {k: (costs - full[k - 1 :: k]).mean(dtype=np.float64) for k, costs in cut.items()}
    return Memory(
        whole.mean(axis=1),
        np.median(whole, axis=1),
        dict(zip(parts_of_state(model), norms.mean(axis=2).T, strict=True)),
        full.shape[1],
        float(mean),
        {k: float(mean + more) for k, more in lost.items()},
        {k: costs.size for k, costs in cut.items()},
    )


def parts_of_state(model: CharRNN) -> list[str]:
    """Return the names of the arrays in a model's state, in their order."""
    layers = [f"{prefix}layers.{l}." for prefix in prefixes(model.config) for l in range(model.config.num_layers)]
    return [f"{layer}{part}" for layer in layers for part in model.networks[0].cell.state]


def measure_group(model: CharRNN, text: Ids) -> tuple[Array, Array, dict[int, Array]]:
    """Measure some stretches, (2K+1, B) with what stands before them.

    Return the norms (K+1, parts, B), the costs of the characters after each of a stretch, (K, B), and for every power
    of two k up to K those of each k-th, with k characters of context, (K/k, B).
    """
    lags, x, y = len(text) // 2, text[:-1], text[1:]
    _, state = read(model, x[:lags], y[:lags], model.zero_state(x.shape[1]))
    x, y = x[lags:], y[lags:]
    full, _ = read(model, x, y, state)
    cut = {k: costs_with_context(model, x, y, k) for k in powers_of_two(lags)}
    return gradient_norms(model, x, y[-1], state), full, cut


def powers_of_two(most: int) -> list[int]:
    """Return 1, 2, 4 … up to `most`."""
    return [1 << i for i in range(most.bit_length())]


def read(model: CharRNN, x: Ids, y: Ids, state: State) -> tuple[Array, State]:
    """Read x (T, B) from a state; return what y (T, B) costs in nats, (T, B), and the state after it."""
    cache, nats = model.cache(min(STEPS, len(x)), x.shape[1]), []
    for begin in range(0, len(x), STEPS):
        logits, state = model.forward(x[begin : begin + STEPS], state, cache)
        nats.append(cross_entropy_forward(logits, y[begin : begin + STEPS]))
    return np.concatenate(nats), state


def costs_with_context(model: CharRNN, x: Ids, y: Ids, k: int) -> Array:
    """Return what each k-th of y (K, B) costs in nats after the k characters of x (K, B) before it, (K/k, B)."""
    K, B = x.shape
    x, y = (ids.reshape(K // k, k, B).transpose(1, 0, 2).reshape(k, -1) for ids in (x, y))  # (k, K/k·B)
    columns = [slice(i, i + LANES) for i in range(0, x.shape[1], LANES)]
    lots = [(x[:, some], y[:, some]) for some in columns]
    nats = [read(model, *lot, model.zero_state(lot[0].shape[1]))[0][-1] for lot in lots]
    return np.concatenate(nats).reshape(K // k, B)


@np.errstate(over="ignore", under="ignore", invalid="ignore")  # a gradient that explodes is a result
def gradient_norms(model: CharRNN, x: Ids, y: Ids, state: State) -> Array:
    """Return the norm of ∂L/∂s_{T-k} for k = 0 … T, each part of s and each stream: (T+1, parts, B).

    L is what y (B,) costs after x (T, B) has been read from a state s_0. In float64: what vanishes within a stretch
    is soon below the least number of float32. Of each step only the state before it is kept, from which it is read
    again when its turn comes to go back.
    """
    model = CharRNN(model.config, model.vector.astype(np.float64))
    cache, states = model.cache(1, x.shape[1]), [state]
    for row in x:
        logits, after = model.forward(row[None], states[-1], cache)
        states.append(after)
    cross_entropy_forward(logits, y[None])
    dlogits = cross_entropy_backward(logits, y[None], 1)
    dstate = through_heads(model, dlogits[0])
    norms, dlogits = [lengths(dstate)], np.zeros_like(dlogits)
    grads = views(np.zeros_like(model.vector), parameter_shapes(model.config))
    for row, before in zip(reversed(x), reversed(states[:-1]), strict=True):
        model.forward(row[None], before, cache)
        dstate = model.backward(dlogits, row[None], cache, grads, dstate)
        norms.append(lengths(dstate))
    return np.array(norms)


def through_heads(model: CharRNN, dlogits: Array) -> State:
    """Return the gradient of the last state from that of the logits (V, B): only the highest h has one."""
    dstate = model.zero_state(dlogits.shape[1])
    for network, own in zip(model.networks, model.each_state(dstate), strict=True):
        own[-1][0][:] = network.params["head.W_hy"].T @ dlogits / len(model.networks)
    return dstate


def lengths(state: State) -> list[Array]:
    """Return the norm of each part of a state in each stream, (parts, B).

    Not by squares, which vanish twice as soon.
    """
    return [np.hypot.reduce(part, axis=0) for layer in state for part in layer]
