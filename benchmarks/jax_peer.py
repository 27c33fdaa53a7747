"""A stack of GRU layers in JAX, for benchmarks.speed: one compiled pass with jax.lax.scan over the steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids

Step = Callable[[], object]


def training(model: CharRNN, x: Ids, y: Ids) -> Step:
    """Return a pass of a GRU model over ids x and y (T, B): the mean loss and the gradients of all parameters."""
    params = {name: jnp.asarray(W) for name, W in model.params.items()}
    compiled = jax.jit(jax.value_and_grad(lambda params: loss(params, model.config.num_layers, x, y)))
    return lambda: jax.block_until_ready(compiled(params))


def loss(params: dict[str, Any], layers: int, x: Ids, y: Ids) -> Any:
    """Return the mean loss in nats of a GRU with charrnn's parameters, from a zero state; activations are (T, B, H)."""
    h = params["embed.W"][x]
    for l in range(layers):
        W_xh, W_hh, b_h, b_n = (params[f"layers.{l}.{name}"] for name in ("W_xh", "W_hh", "b_h", "b_n"))
        h = recurrence(h @ W_xh.T + b_h, W_hh.T, b_n)
    logits = h @ params["head.W_hy"].T + params["head.b_y"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1).mean()


def recurrence(a: Any, W: Any, b_n: Any) -> Any:
    """Return the outputs (T, B, H) of the equations of core.cells.gru for inputs a (T, B, 3H)."""
    H = len(b_n)

    def step(h: Any, a_t: Any) -> tuple[Any, Any]:
        v = h @ W
        r, z = jnp.split(jax.nn.sigmoid(a_t[:, : 2 * H] + v[:, : 2 * H]), 2, axis=1)
        n = jnp.tanh(a_t[:, 2 * H :] + r * (v[:, 2 * H :] + b_n))
        h = n + z * (h - n)
        return h, h

    return jax.lax.scan(step, jnp.zeros((a.shape[1], H), a.dtype), a)[1]
