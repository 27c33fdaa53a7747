"""charrnn info: what is in a model file, and how its training went."""

import sys
from dataclasses import asdict
from itertools import accumulate
from typing import TYPE_CHECKING

from charrnn.cli.ending import advice, losses, of_the_first
from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    existing_model,
)
from charrnn.cli.streams import Output
from charrnn.glyphs import width
from charrnn.terminal import card, columns

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint
    from charrnn.vocab import Vocab

LABELS = 18  # columns before the values of the card
ALPHABET = 60  # cells of a terminal for the symbols of a vocabulary: a line of 80 columns


def info(
    model: ModelOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Show what a model file holds.

    For example: charrnn info -m plays
    """
    from charrnn.checkpoint import CheckpointStore
    from charrnn.evaluate import bits
    from charrnn.forecast import memory

    path = existing_model(model, quiet)
    checkpoint, size = CheckpointStore(path).load(), path.stat().st_size
    config, best, output = checkpoint.model.config, checkpoint.best, Output()
    if json:
        output.record(
            {
                "path": str(path),
                **config.settings,
                "parameters": len(checkpoint.model.vector),
                "vocabulary_size": len(checkpoint.vocab),
                "step": checkpoint.step,
                "best_step": best.step if best else None,
                "val_nats_per_char": best.nats if best else None,
                "val_bits_per_char": bits(best.nats) if best else None,
                "corpus": asdict(checkpoint.origin),
                "init_from": checkpoint.init_from,
                "train": asdict(checkpoint.train),
                "history": [
                    {"step": step, "train_nats_per_char": train_loss, "val_nats_per_char": loss}
                    for step, train_loss, loss in checkpoint.history
                ],
                "memory_bytes": memory(checkpoint),
                "file_bytes": size,
            }
        )
    else:
        output.raw(card(str(path), rows(checkpoint, size), sys.stdout))


def rows(checkpoint: "Checkpoint", size: int) -> dict[str, str]:
    """Return the card of a model, for people; its file has so many bytes."""
    from charrnn.evaluate import bits
    from charrnn.forecast import memory

    config, origin, best = checkpoint.model.config, checkpoint.origin, checkpoint.best
    weights, learning = checkpoint.model.vector.nbytes / 1e6, memory(checkpoint) / 1e6
    plot, advised = losses(checkpoint, columns(sys.stdout) - LABELS), advice(checkpoint)
    scored = f"{bits(best.nats):.4f} bits a character, best at step {best.step:,}" if best else "not scored"
    every = [f"{step:,}: {bits(t):.3f} / {bits(v):.3f}" for step, t, v in checkpoint.history[-10:]]
    return {
        "network": f"{config}, embedding {config.embed_size}",
        "parameters": f"{len(checkpoint.model.vector):,}",
        "memory": f"{weights:,.1f} MB of weights, {learning:,.1f} MB while it learns",
        "vocabulary": f"{len(checkpoint.vocab):,} symbols: {alphabet(checkpoint.vocab)}",
        "corpus": f"{' '.join(origin.sources)}, {origin.chars:,} characters, SHA-256 {origin.sha256[:16]}…",
        **({"started from": checkpoint.init_from} if checkpoint.init_from is not None else {}),
        "training": training(checkpoint),
        "held out": scored + (of_the_first(checkpoint) if best else ""),
        **({"losses": plot} if plot else {}),
        **({"advice": advised} if advised and checkpoint.step else {}),
        "file": f"{size / 1e6:,.1f} MB",
        "train / held out": "\n".join(every) or "-",
    }


def training(checkpoint: "Checkpoint") -> str:
    """Return how far a run has come, and how it was trained."""
    run, zoneout = checkpoint.train, checkpoint.model.config.zoneout
    rates = {"dropout": run.dropout, "variational dropout": run.variational_dropout, "zoneout": zoneout}
    told = [
        f"step {checkpoint.step:,} of {run.steps:,} ({run.budget})",
        f"windows of {run.batch_size} x {run.seq_len}",
        f"{run.optimizer}, lr {run.lr:g}, {run.schedule}",
        *(f"{name} {rate:g}" for name, rate in rates.items() if rate),
        f"weight decay {run.weight_decay:g}",
        f"seed {run.seed}",
    ]
    return ", ".join(told)


def alphabet(vocab: "Vocab") -> str:
    """Return the first symbols of a vocabulary that can be seen."""
    shown = [c for c in vocab.characters if c.isprintable() and not c.isspace()]
    room = sum(cells < ALPHABET for cells in accumulate(map(width, shown)))
    return "".join(shown[:room]) + ("…" if len(shown) > room else "")
