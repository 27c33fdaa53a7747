"""A character-level GRU as PyTorch's users write it, for benchmarks.whole.

    python -m benchmarks.torch_script TEXT OUT STEPS

It trains the same network as the defaults of `charrnn train`, with the same batches, optimizer, schedule, clipping and
number of validations, and prints the path of the weights it wrote.
"""

import math
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from charrnn.parallel.cores import core_count

B, T, H, D, L, LR, WARMUP, PARTS = 32, 64, 256, 64, 2, 4e-3, 50, 128


class Network(torch.nn.Module):  # type: ignore[misc]
    """Embedding, stacked GRU, linear output."""

    def __init__(self, V: int) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = torch.nn.Embedding(V, D), torch.nn.GRU(D, H, L), torch.nn.Linear(H, V)

    def forward(self, x: torch.Tensor, h: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (T, B, V) and the state after ids x (T, B)."""
        out, h = self.rnn(self.embed(x), h)
        return self.head(out), h


def streams(ids: torch.Tensor, count: int) -> torch.Tensor:
    """Return ids (N,) as columns of equal length."""
    return ids[: len(ids) // count * count].reshape(count, -1).T


def validate(network: Network, columns: torch.Tensor) -> float:
    """Return the mean loss of columns of ids, read side by side."""
    h, total = None, 0.0
    with torch.inference_mode():
        for begin in range(0, len(columns) - 1, 256):
            x, y = columns[begin : begin + 256], columns[begin + 1 : begin + 257]
            logits, h = network(x[: len(y)], h)
            total += float(cross_entropy(logits.flatten(0, 1), y.flatten())) * int(y.numel())
    return total / int(columns[1:].numel())


def main(text: str, out: str, steps: int) -> None:
    """Train on a text for a number of steps; write the weights and print their path."""
    torch.set_num_threads(core_count())  # benchmarks/__init__.py has limited it to one
    characters = Path(text).read_text("utf-8")
    vocabulary = {c: i for i, c in enumerate(sorted(set(characters)))}
    ids = torch.tensor([vocabulary[c] for c in characters])
    train, held_out = streams(ids[: len(ids) * 9 // 10], B), streams(ids[len(ids) * 9 // 10 :], PARTS)
    network = Network(len(vocabulary))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=0.2, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(1, (n + 1) / WARMUP) * (0.51 + 0.49 * math.cos(math.pi * n / steps))
    )
    h, windows = None, (len(train) - 1) // T
    for step in range(steps):
        begin = step % windows * T
        logits, h = network(train[begin : begin + T], h if begin else None)
        loss = cross_entropy(logits.flatten(0, 1), train[begin + 1 : begin + T + 1].flatten())
        h = h.detach()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rates.step()
        if (step + 1) % max(1, steps // 10) == 0:
            print(step + 1, loss.item(), validate(network, held_out), file=sys.stderr)
    torch.save(network.state_dict(), out)
    print(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
