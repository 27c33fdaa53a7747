"""What train --dry-run prints: a run as it would be."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from charrnn.cli.options import in_units
from charrnn.cli.streams import Output
from charrnn.config import VALIDATION_CHARS

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint
    from charrnn.corpus import Corpus
    from charrnn.forecast import Forecast


def foretell(name: str, checkpoint: "Checkpoint", text: "Corpus", output: Output, json: bool) -> None:
    """Print what training would do and take: a name and a value a row, tab-separated, or one JSON object."""
    from charrnn.forecast import forecast

    told = forecast(checkpoint, text.ids)
    if json:
        output.record(plan_event(name, checkpoint, text, told))
    else:
        for row in rows(name, checkpoint, text, told).items():
            output.write("\t".join(row) + "\n")


def plan_event(name: str, checkpoint: "Checkpoint", text: "Corpus", told: "Forecast") -> dict[str, Any]:
    """Return the JSON object: every setting by its name, and the forecast."""
    config = checkpoint.model.config
    return {
        "event": "plan",
        "model": name,
        "corpus": text.sources,
        "step": checkpoint.step,
        "init_from": checkpoint.init_from,
        "vocabulary_size": config.vocab_size,
        **config.settings,
        **asdict(checkpoint.train),
        **asdict(told),
    }


def rows(name: str, checkpoint: "Checkpoint", text: "Corpus", told: "Forecast") -> dict[str, str]:
    """Return what a person wants to know, by name."""
    config = checkpoint.train
    part = f", the first {VALIDATION_CHARS:,} scored at a validation" if told.val_chars > VALIDATION_CHARS else ""
    return {
        "model": name,
        "text": " ".join(text.sources),
        "network": str(checkpoint.model.config),
        "parameters": f"{told.parameters:,}",
        "memory": f"{told.memory_bytes / 1e6:,.1f} MB",
        "characters": f"{told.train_chars:,} to learn from, {told.val_chars:,} held out{part}",
        "vocabulary": f"{len(checkpoint.vocab):,} symbols",
        "window": f"{config.batch_size} x {config.seq_len}",
        "steps": f"{config.steps:,}" + (f", {checkpoint.step:,} of them done" if checkpoint.step else ""),
        "epochs": f"{told.epochs:.1f}",
        "speed": f"{told.chars_per_second:,.0f} characters a second",
        "time": in_units(told.seconds),
        "verdict": verdict(told),
    }


def verdict(told: "Forecast") -> str:
    """Say how the network fits the text, and which would."""
    if told.fit == "suits":
        return "the network suits the text"
    size = told.suitable_hidden_size
    return f"{told.fit} for the text" + (f": --hidden-size {size} suits" if size else ", whatever its --hidden-size")
