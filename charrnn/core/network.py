"""One network: an embedding, a stack of recurrent layers, an output layer (the head).

    x_t  ->  embed.W  ->  layers.0  ->  …  ->  layers.L-1  ->  head  ->  logits_t        (V, B) at each step

The input projection of layers.0, W_xh x_t + b_h, depends on the symbol alone: it is computed once for each symbol that
occurs in a window, and looked up.

Dropout is applied to the output of every layer, never between time steps. In a network of lines every layer's state is
reset to zero before it reads the symbol `line_end`, so that no line depends on another.
"""

import math

import numpy as np
from numpy.typing import DTypeLike

from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import (
    Cache,
    Cell,
    LayerState,
    Params,
    Shapes,
    State,
    layer_backward,
    layer_cache,
    layer_forward,
    layer_shapes,
    outputs,
    recurrence_backward,
    recurrence_forward,
)
from charrnn.core.config import ModelConfig
from charrnn.core.ops import (
    Array,
    Ids,
    Part,
    bernoulli,
    columns,
    cross_entropy_backward,
    cross_entropy_forward,
    distinct_symbols,
    draw_dropout,
    dropout_backward,
    dropout_forward,
    embedding_backward,
    embedding_forward,
    linear_backward,
    linear_forward,
)

SYMBOL_ROWS = ("embed.W", "head.W_hy", "head.b_y")  # the parameters that have one row per symbol
LOGITS = 1 << 22  # computed at a time in training: with 10,000 symbols those of a whole window would be 82 MB


def network_shapes(config: ModelConfig) -> Shapes:
    """Return name -> shape of every parameter of a network."""
    cell, V, H = CELLS[config.recurrence], config.vocab_size, config.hidden_size
    shapes: Shapes = {"embed.W": (V, config.embed_size)}
    for l in range(config.num_layers):
        D = H if l else config.embed_size
        shapes |= {f"layers.{l}.{name}": shape for name, shape in layer_shapes(cell, D, H).items()}
    return {**shapes, "head.W_hy": (V, H), "head.b_y": (V,)}


def scope(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays whose names start with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def initialize(params: Params, config: ModelConfig, rng: np.random.Generator) -> None:
    """Draw parameters: recurrent matrices orthogonal, others N(0, 1/fan_in), biases 0 or the cell's initial values.

    Orthogonal matrices neither shrink nor blow up what they carry through time (Saxe et al. 2014). A row of the
    embedding is an input of its own, so its numbers have variance 1.
    """
    for name, W in params.items():
        if name.endswith("W_hh"):
            for block in W.reshape(-1, W.shape[1], W.shape[1]):  # one block per gate
                Q, R = np.linalg.qr(rng.standard_normal(block.shape))
                block[...] = Q * np.sign(np.diag(R))
        elif name.endswith("b_h"):
            W.reshape(-1, config.hidden_size)[...] = np.array(CELLS[config.recurrence].biases)[:, None]
        elif W.ndim == 2:
            fan_in = 1 if name == "embed.W" else W.shape[1]
            W[...] = rng.standard_normal(W.shape) / math.sqrt(fan_in)
        else:
            W[...] = 0


# ---- the input projection of the first layer ----


def embedded(W: Array, x: Ids) -> Array:
    """Return the rows of W (V, D) that ids x (T, B) name, as columns (T, D, B)."""
    return embedding_forward(W, x, np.empty((len(x), W.shape[1], x.shape[1]), W.dtype))


def symbols_forward(W: Array, params: Params, x: Ids, out: Array) -> Array:
    """Return a_t = W_xh x_t + b_h, in out (T, G·H, B), for ids x (T, B) whose columns x_t are rows of W (V, D)."""
    symbols, places = distinct_symbols(x)
    W_xh, b_h = params["W_xh"], params["b_h"]
    projected = np.empty((len(symbols), *out.shape[1:]), out.dtype)
    table = columns(linear_forward(W_xh, b_h, embedded(W, symbols), projected))  # (G·H, S·B)
    for t in range(len(x)):  # along rows, in half the time that columns, strided, would take
        table.take(places[t], 1, out[t], "clip")
    return out


def symbols_backward(da: Array, W: Array, params: Params, x: Ids, dW: Array, grads: Params) -> None:
    """Add what da (T, G·H, B) contributes to the gradients of W, W_xh and b_h."""
    symbols, places = distinct_symbols(x)
    drows = np.zeros((symbols.size, da.shape[1]), da.dtype)
    embedding_backward(da, places, drows)
    dprojected = drows.reshape(*symbols.shape, -1).transpose(0, 2, 1)
    dx = linear_backward(dprojected, params["W_xh"], embedded(W, symbols), grads["W_xh"], grads["b_h"])
    embedding_backward(dx, symbols, dW)


# ---- the head in training ----


def steps_per_block(T: int, V: int, B: int) -> int:
    """Return how many of T steps the head computes at a time, at least one, so that there are at most LOGITS logits."""
    return max(1, min(T, LOGITS // (V * B)))


def head_loss(W: Array, b: Array, h: Array, y: Ids, count: int, dW: Array, db: Array) -> tuple[Array, Array]:
    """Compute losses and gradients of the head, one block of steps at a time, for W (V, H), b (V,) and h (T, H, B).

    Return the losses of targets y (T, B) in nats, (T, B), and dh (T, H, B), the gradient of their sum divided by count;
    add the gradients of W and b to dW and db. A target below 0 means no target. The columns of a block are laid side by
    side, as one step of more streams, so that a product reads the weights once for all of them.
    """
    (T, B), V = y.shape, len(W)
    nats, dh, steps = np.empty(y.shape, h.dtype), np.empty_like(h), steps_per_block(T, V, B)
    for start in range(0, T, steps):
        block = slice(start, start + steps)
        x, targets = columns(h[block]), y[block].reshape(1, -1)
        logits = linear_forward(W, b, x[None], np.empty((1, V, targets.size), h.dtype))
        nats[block] = cross_entropy_forward(logits, targets).reshape(-1, B)
        dlogits = cross_entropy_backward(logits, targets, count)[0]
        dW += dlogits @ x.T
        db += dlogits @ np.ones(targets.size, h.dtype)  # forty times as fast as numpy's sum
        dh[block] = (W.T @ dlogits).reshape(len(x), -1, B).transpose(1, 0, 2)
    return nats, dh


class Network:
    """A network: its configuration and its parameters by name, and nothing else.

    `loss_and_gradients` is the pass that training makes. `forward` and `backward` are its two halves, for callers that
    need the logits in between. All of them go through layers_forward and layers_backward.
    """

    def __init__(self, config: ModelConfig, params: Params) -> None:
        self.config = config
        self.params = params

    @property
    def cell(self) -> Cell:
        """The recurrence of every layer."""
        return CELLS[self.config.recurrence]

    @property
    def dtype(self) -> DTypeLike:
        """The type of the parameters."""
        return self.params["embed.W"].dtype

    def zero_state(self, B: int) -> State:
        """Return the state of B streams that have read nothing."""
        zeros = [np.zeros((self.config.hidden_size, B), self.dtype) for _ in self.cell.state]
        return [tuple(z.copy() for z in zeros) for _ in range(self.config.num_layers)]

    def cache(self, T: int, B: int, masks: int = 0) -> Cache:
        """Allocate the workspace for windows of up to T steps of B streams.

        It decides what a pass does: without masks nothing is dropped, and zoneout is its expectation. For training with
        dropout there are masks for T steps, or one mask for the whole window, which draw_masks fills. `forward` needs
        `logits` (T, V, B) besides.
        """
        H, dtype = self.config.hidden_size, self.dtype
        dropout: Cache = {"mask": np.ones((masks, H, B), dtype), "dropped": np.empty((T, H, B), dtype)} if masks else {}
        cache = Cache()
        for l in range(self.config.num_layers):
            layer = layer_cache(self.cell, T, B, H, dtype, self.config.zoneout, self.config.lines)
            cache |= {f"layers.{l}.{n}": a for n, a in layer.items()}
            cache |= {f"layers.{l}.{n}": a.copy() for n, a in dropout.items()}
        return cache

    def cache_bytes(self, T: int, B: int, masks: int = 0) -> int:
        """Return the size of `cache(T, B, masks)`, masks being 0, 1 or T, without allocating it.

        It is linear in T and in B, so it follows from two small caches.
        """
        one, two = (sum(part.nbytes for part in self.cache(t, 1, min(t, masks)).values()) for t in (1, 2))
        return B * (one + (T - 1) * (two - one))

    def draw_masks(self, cache: Cache, rate: float, rng: np.random.Generator, part: Part = None) -> None:
        """Draw which outputs of layers are dropped, at this rate, and which units zone out; part as in bernoulli."""
        for l in range(self.config.num_layers):
            layer = scope(cache, f"layers.{l}.")
            if "mask" in layer:
                draw_dropout(rng, rate, layer["mask"], part)
            if "keep" in layer:
                bernoulli(rng, self.config.zoneout, layer["keep"], part)

    @np.errstate(over="ignore", invalid="ignore")  # callers check the logits of a network that may have diverged
    def forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        """Read a window of ids x (T, B); return the logits (T, V, B), a view into the cache, and the state after it."""
        h, after = self.layers_forward(x, state, cache)
        return linear_forward(self.params["head.W_hy"], self.params["head.b_y"], h, cache["logits"][: len(x)]), after

    def backward(self, dlogits: Array, x: Ids, cache: Cache, grads: Params, dstate: State | None = None) -> State:
        """Go back through the window just read: add to every gradient in grads, return that of the initial state.

        dlogits (T, V, B) is the gradient of the loss; dstate that of the state after the window, zero if None.
        """
        h = layer_output(scope(cache, f"layers.{self.config.num_layers - 1}."), len(x))
        dh = linear_backward(dlogits, self.params["head.W_hy"], h, grads["head.W_hy"], grads["head.b_y"])
        return self.layers_backward(dh, x, cache, grads, dstate)

    @np.errstate(over="ignore", invalid="ignore")  # callers check the loss
    def loss_and_gradients(
        self, x: Ids, y: Ids, count: int, state: State, cache: Cache, grads: Params
    ) -> tuple[Array, State]:
        """Read a window of ids x with targets y, both (T, B), and go back through it.

        Add the gradients of the summed losses divided by count to grads; return the losses in nats, (T, B), 0 where a
        target is below 0, and the state after the window.
        """
        h, after = self.layers_forward(x, state, cache)
        W, b, dW, db = (arrays[name] for arrays in (self.params, grads) for name in ("head.W_hy", "head.b_y"))
        nats, dh = head_loss(W, b, h, y, count, dW, db)
        self.layers_backward(dh, x, cache, grads)
        return nats, after

    def layers_forward(self, x: Ids, state: State, cache: Cache) -> tuple[Array, State]:
        """Read a window of ids x (T, B); return the head's input (T, H, B) and the state after the window."""
        params, T, outs, after = self.params, len(x), list[Array](), list[LayerState]()
        for l, before in enumerate(state):
            name = f"layers.{l}."
            weights, own = scope(params, name), scope(cache, name)
            if "alive" in own:
                own["alive"][:T] = x != self.config.line_end
            if l:
                h, last = layer_forward(self.cell, weights, outs[-1], before, own)
            else:
                a = symbols_forward(params["embed.W"], weights, x, own["a"][:T])
                h, last = recurrence_forward(self.cell, weights, a, before, own)
            after.append(last)
            outs.append(dropout_forward(h, own["mask"][:T], own["dropped"][:T]) if "mask" in own else h)
        return outs[-1], after

    def layers_backward(self, dh: Array, x: Ids, cache: Cache, grads: Params, dstate: State | None = None) -> State:
        """Go back from dh (T, H, B), the gradient of the head's input, as backward does."""
        T, B = x.shape
        dstate = dstate or self.zero_state(B)
        caches = [scope(cache, f"layers.{l}.") for l in range(self.config.num_layers)]
        dstate0: list[LayerState] = []
        for l in reversed(range(self.config.num_layers)):
            name, own = f"layers.{l}.", caches[l]
            weights, dweights = scope(self.params, name), scope(grads, name)
            if "mask" in own:
                dh = dropout_backward(dh, own["mask"][:T])
            if l:
                below = layer_output(caches[l - 1], T)
                dh, first = layer_backward(self.cell, weights, below, dh, dstate[l], own, dweights)
            else:
                da, first = recurrence_backward(self.cell, weights, dh, dstate[l], own, dweights)
                symbols_backward(da, self.params["embed.W"], weights, x, grads["embed.W"], dweights)
            dstate0.insert(0, first)
        return dstate0


def layer_output(own: Cache, T: int) -> Array:
    """Return the output of a layer with this cache in T steps, (T, H, B), with dropout if it has masks."""
    return own["dropped"][:T] if "mask" in own else outputs(own, T)
