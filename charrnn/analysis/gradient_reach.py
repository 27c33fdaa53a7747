"""How far back a network remembers, measured in two ways on the same stretches of a text.

    text   …├──── before: K characters ────┼──── stretch: K characters ────┤ t …       many of them, read side by side

    ‖∂L_t/∂s_{t-k}‖     the gradient of the loss of the character after the stretch, k characters before it
    loss_k              the mean loss of characters if the state is reset k characters before each

The state s is all that is carried from one character to the next: h of every layer, in an LSTM also c. L_t depends on
s_t through the head alone. So one backward pass over the stretch, which starts from the gradient of s_t and adds no
loss from the steps within, yields ∂L_t/∂s_{t-k} as it leaves the k-th step from the end (docs/bptt.md).

For loss_k the stretch is cut into K/k pieces, each read from an empty state: the character after a piece is scored with
exactly k characters of context. Its loss is compared with that of the same character after its whole context, since
losses differ more between characters than between contexts.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from charrnn.core.cells.cell import State
from charrnn.core.errors import TextError
from charrnn.core.model import CharRNN, parameter_shapes, prefixes, views
from charrnn.core.ops import Array, Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.core.score import check_finite
from charrnn.parallel.cores import side_by_side

MAX_LAG = 256  # K, for a text that is long enough
MIN_LAG = 8
MAX_STRETCHES = 128  # spread over the text
GROUP = 32  # stretches that are read together, by one core
STEPS_PER_PASS = 16


class GradientReach(NamedTuple):
    """What was measured: norms by lag, 0 to K, in nats per unit of the state; losses in nats per character."""

    mean: Array  # (K+1,), of the norms of the whole state's gradient over all stretches
    median: Array  # (K+1,)
    parts: dict[str, Array]  # layers.0.h and so on -> the mean norm of that part's gradient, (K+1,)
    stretches: int
    full: float  # the loss with the whole context
    cut: dict[int, float]  # k -> the loss with k characters of context
    positions: dict[int, int]  # k -> the number of characters compared

    @property
    def relative(self) -> Array:
        """The mean norms as multiples of that at lag 0, (K+1,)."""
        relative: Array = self.mean / self.mean[0]
        return relative


def measure_reach(
    model: CharRNN, ids: Ids, max_lag: int = MAX_LAG, max_stretches: int = MAX_STRETCHES
) -> GradientReach:
    """Measure how far back a model remembers in a text (N,), up to `max_lag` characters, a power of two.

    For a short text the largest lag is halved, down to MIN_LAG. Raises TextError if the text is shorter than 17
    characters, DivergedError if a loss is not finite.
    """
    while 2 * max_lag >= len(ids) and max_lag > MIN_LAG:
        max_lag //= 2
    if 2 * max_lag >= len(ids):
        raise TextError(f"{len(ids)} characters that the model knows: too few to measure how far back it remembers")
    begins = np.unique(np.linspace(0, len(ids) - 2 * max_lag - 1, max_stretches).astype(int))
    positions = begins + np.arange(2 * max_lag + 1)[:, None]  # (2K+1, B); the last row is only predicted
    groups = [ids[positions[:, i : i + GROUP]].astype(np.int64) for i in range(0, len(begins), GROUP)]
    found = side_by_side([partial(measure_group, model, text) for text in groups])
    norms = np.concatenate([norms for norms, _, _ in found], axis=2)  # (K+1, parts, B)
    full = np.concatenate([full for _, full, _ in found], axis=1)  # (K, B)
    cut = {k: np.concatenate([cut[k] for _, _, cut in found], axis=1) for k in found[0][2]}  # k: (K/k, B)
    check_finite(float(full.sum() + sum(losses.sum() for losses in cut.values())))
    whole, mean = np.hypot.reduce(norms, axis=1), full.mean(dtype=np.float64)
    lost = {k: (losses - full[k - 1 :: k]).mean(dtype=np.float64) for k, losses in cut.items()}
    return GradientReach(
        whole.mean(axis=1),
        np.median(whole, axis=1),
        dict(zip(state_names(model), norms.mean(axis=2).T, strict=True)),
        full.shape[1],
        float(mean),
        {k: float(mean + more) for k, more in lost.items()},
        {k: losses.size for k, losses in cut.items()},
    )


def state_names(model: CharRNN) -> list[str]:
    """Return the names of the arrays in a model's state, in their order."""
    layers = [f"{prefix}layers.{l}." for prefix in prefixes(model.config) for l in range(model.config.num_layers)]
    return [f"{layer}{part}" for layer in layers for part in model.networks[0].cell.state]


def measure_group(model: CharRNN, text: Ids) -> tuple[Array, Array, dict[int, Array]]:
    """Measure a group of stretches, (2K+1, B) with the K characters before each.

    Return the norms (K+1, parts, B), the losses with the whole context, (K, B), and for every power of two k up to K
    the losses of each k-th character with k characters of context, (K/k, B).
    """
    K, x, y = len(text) // 2, text[:-1], text[1:]
    _, state = stream_losses(model, x[:K], y[:K], model.zero_state(x.shape[1]))
    x, y = x[K:], y[K:]
    full, _ = stream_losses(model, x, y, state)
    cut = {k: losses_with_context(model, x, y, k) for k in (1 << i for i in range(K.bit_length()))}
    return gradient_norms(model, x, y[-1], state), full, cut


def stream_losses(model: CharRNN, x: Ids, y: Ids, state: State) -> tuple[Array, State]:
    """Read x (T, B) from a state; return the losses of targets y (T, B) in nats, (T, B), and the state after them."""
    cache, nats = model.cache(min(STEPS_PER_PASS, len(x)), x.shape[1]), []
    for begin in range(0, len(x), STEPS_PER_PASS):
        steps = slice(begin, begin + STEPS_PER_PASS)
        logits, state = model.forward(x[steps], state, cache)
        nats.append(cross_entropy_forward(logits, y[steps]))
    return np.concatenate(nats), state


def losses_with_context(model: CharRNN, x: Ids, y: Ids, k: int) -> Array:
    """Return the losses (K/k, B) of each k-th target of y (K, B) after only the k characters of x (K, B) before it."""
    K, B = x.shape
    x, y = (ids.reshape(K // k, k, B).transpose(1, 0, 2).reshape(k, -1) for ids in (x, y))  # (k, K/k·B)
    groups = [(x[:, i : i + GROUP], y[:, i : i + GROUP]) for i in range(0, x.shape[1], GROUP)]
    nats = [stream_losses(model, *group, model.zero_state(group[0].shape[1]))[0][-1] for group in groups]
    return np.concatenate(nats).reshape(K // k, B)


@np.errstate(over="ignore", under="ignore", invalid="ignore")  # a gradient that explodes is a result
def gradient_norms(model: CharRNN, x: Ids, y: Ids, state: State) -> Array:
    """Return the norm of ∂L/∂s_{T-k} for k = 0 … T, each part of s and each stream: (T+1, parts, B).

    L is the loss of y (B,) after x (T, B) has been read from a state s_0. Computed in float64: a gradient that vanishes
    within a stretch soon falls below the smallest number of float32. Only the state before each step is kept; the step
    is read again when the backward pass reaches it.
    """
    model = CharRNN(model.config, model.vector.astype(np.float64))
    cache, states = model.cache(1, x.shape[1]), [state]
    for row in x:
        logits, after = model.forward(row[None], states[-1], cache)
        states.append(after)
    cross_entropy_forward(logits, y[None])
    dlogits = cross_entropy_backward(logits, y[None], 1)
    dstate = model.zero_state(x.shape[1])  # 0 but for h of the top layers
    for network, own in zip(model.networks, model.each_state(dstate), strict=True):
        own[-1][0][:] = network.params["head.W_hy"].T @ dlogits[0] / len(model.networks)
    norms, dlogits = [part_norms(dstate)], np.zeros_like(dlogits)
    grads = views(np.zeros_like(model.vector), parameter_shapes(model.config))
    for row, before in zip(reversed(x), reversed(states[:-1]), strict=True):
        model.forward(row[None], before, cache)
        dstate = model.backward(dlogits, row[None], cache, grads, dstate)
        norms.append(part_norms(dstate))
    return np.array(norms)


def part_norms(state: State) -> list[Array]:
    """Return the norm of each part of a state in each stream, (parts, B); not from squares, which underflow earlier."""
    return [np.hypot.reduce(part, axis=0) for layer in state for part in layer]
