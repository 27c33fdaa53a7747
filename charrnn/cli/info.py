"""charrnn info: what is in a model file, and how its training went."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    existing_model,
)
from charrnn.cli.streams import Output
from charrnn.terminal import card

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint


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

    path = existing_model(model, quiet)
    checkpoint = CheckpointStore(path).load()
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
            }
        )
    else:
        output.raw(card(str(path), rows(checkpoint)))


def rows(checkpoint: "Checkpoint") -> dict[str, str]:
    """Return the card of a model, for people."""
    from charrnn.evaluate import bits

    config, run, origin, best = checkpoint.model.config, checkpoint.train, checkpoint.origin, checkpoint.best
    losses = [f"{step:,}: {bits(t):.3f} / {bits(v):.3f}" for step, t, v in checkpoint.history[-10:]]
    return {
        "network": f"{config}, embedding {config.embed_size}",
        "parameters": f"{len(checkpoint.model.vector):,}",
        "vocabulary": f"{len(checkpoint.vocab):,} symbols",
        "corpus": f"{' '.join(origin.sources)}, {origin.chars:,} characters, SHA-256 {origin.sha256[:16]}…",
        **({"started from": checkpoint.init_from} if checkpoint.init_from is not None else {}),
        "training": f"step {checkpoint.step:,} of {run.steps:,} ({run.budget}), {run.batch_size} x {run.seq_len}, "
        f"lr {run.lr:g}, seed {run.seed}",
        "held out": f"{bits(best.nats):.4f} bits a character, best at step {best.step:,}" if best else "not scored",
        "train / held out": "\n".join(losses) or "-",
    }
