"""nanoGPT's recipe for a CPU, written anew in plain PyTorch: train, score random blocks, print a row for the README.

    python -m benchmarks.nanogpt tinyshakespeare.txt

The recipe is that of nanoGPT's README and of its config/train_shakespeare_char.py with the options that it gives for a
CPU: a transformer of 4 layers, 4 heads and 128 units, windows of 64 characters, 12 per step, 2,000 steps of AdamW. The
first 90 % of the text are trained on; the loss is the mean over random blocks of 64 characters of the last 10 %. Needs
the extra `bench`.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.parallel.cores import core_count

try:
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention
except ImportError as error:
    raise SystemExit(f"{error}: needs the extra `bench`: pip install -e '.[bench]'") from None

LAYERS, HEADS, WIDTH, WINDOW = 4, 4, 128, 64
STREAMS, STEPS, WARMUP = 12, 2000, 100
LR, FINAL_LR, BETAS, DECAY, CLIP = 1e-3, 1e-4, (0.9, 0.99), 0.1, 1.0
BLOCKS = 4096  # scored


def linear(inputs: int, outputs: int) -> Any:
    """Return a linear layer without bias, as all of them are."""
    return nn.Linear(inputs, outputs, bias=False)


class Transformer:
    """Embeddings of characters and positions, layers of attention, and an output that shares the characters' matrix."""

    def __init__(self, V: int) -> None:
        self.characters, self.positions = nn.Embedding(V, WIDTH), nn.Embedding(WINDOW, WIDTH)
        self.norms = [nn.LayerNorm(WIDTH, bias=False) for _ in range(2 * LAYERS + 1)]
        self.qkv, self.joined = ([linear(WIDTH, n * WIDTH) for _ in range(LAYERS)] for n in (3, 1))
        self.up = [linear(WIDTH, 4 * WIDTH) for _ in range(LAYERS)]
        self.down = [linear(4 * WIDTH, WIDTH) for _ in range(LAYERS)]
        inner = [*self.qkv, *self.joined, *self.up, *self.down]
        self.matrices = [module.weight for module in (self.characters, self.positions, *inner)]
        self.gains = [norm.weight for norm in self.norms]
        for matrix in self.matrices:
            nn.init.normal_(matrix, std=0.02)
        for module in (*self.joined, *self.down):  # each adds to a sum of 2 LAYERS terms
            nn.init.normal_(module.weight, std=0.02 / math.sqrt(2 * LAYERS))

    def logits(self, x: Any) -> Any:
        """Return the logits (B, T, V) after ids x (B, T)."""
        h = self.characters(x) + self.positions(torch.arange(x.shape[1]))
        for l in range(LAYERS):
            parts = self.qkv[l](self.norms[2 * l](h)).chunk(3, dim=2)
            q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)  # each (B, HEADS, T, n)
            attended = scaled_dot_product_attention(q, k, v, is_causal=True)
            h = h + self.joined[l](attended.transpose(1, 2).flatten(2))
            h = h + self.down[l](gelu(self.up[l](self.norms[2 * l + 1](h))))
        return self.norms[-1](h) @ self.characters.weight.T


def lr_at(step: int) -> float:
    """Return the learning rate of a step, counted from 0: a linear warm-up, then half a cosine."""
    if step < WARMUP:
        return LR * (step + 1) / (WARMUP + 1)
    return FINAL_LR + (LR - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def windows(ids: Any, count: int) -> tuple[Any, Any]:
    """Return inputs and targets, each (count, WINDOW), from random places of a text (N,)."""
    places = torch.randint(len(ids) - WINDOW, (count, 1)) + torch.arange(WINDOW + 1)
    return ids[places[:, :-1]], ids[places[:, 1:]]


def train(ids: Any, V: int) -> Transformer:
    """Return a transformer trained on a text (N,) of V characters."""
    network = Transformer(V)
    groups = [{"params": network.matrices, "weight_decay": DECAY}, {"params": network.gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step)
        x, y = windows(ids, STREAMS)
        loss = cross_entropy(network.logits(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*network.matrices, *network.gains], CLIP)
        optimizer.step()
    return network


def block_costs(network: Transformer, ids: Any) -> NDArray[np.float64]:
    """Return the losses of BLOCKS random blocks of a text (N,), in nats per character."""
    costs = []
    with torch.inference_mode():
        for _ in range(BLOCKS // WINDOW):
            x, y = windows(ids, WINDOW)
            costs.append(cross_entropy(network.logits(x).transpose(1, 2), y, reduction="none").mean(1).double().numpy())
    return np.concatenate(costs)


def main() -> None:
    """Train and score as the command line says, and print a row."""
    parser = argparse.ArgumentParser(description="nanoGPT's recipe for a CPU.")
    parser.add_argument("text", type=Path, metavar="TEXT", help="its last tenth is held out")
    text = parser.parse_args().text.read_text("utf-8")
    torch.set_num_threads(core_count())  # benchmarks/__init__.py has limited it to one
    torch.manual_seed(1337)
    started = time.perf_counter()
    characters = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([characters[character] for character in text])
    cut = int(0.9 * len(ids))
    network = train(ids[:cut], len(characters))
    seconds = time.perf_counter() - started
    costs = block_costs(network, ids[cut:])
    error = costs.std(ddof=1) / math.sqrt(len(costs))
    print(f"nanoGPT, its recipe for a CPU: {costs.mean():.4f} ± {error:.4f} nats per character, blocks of 64")
    print(f"{STEPS} steps in {seconds:.1f} s, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
