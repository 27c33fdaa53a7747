"""The card of a model in a notebook."""

from collections.abc import Sequence

from charrnn.api.loaded import LoadedModel
from charrnn.api.results import Validation
from charrnn.core.score import bits
from charrnn.plots.html import card


def model_card(model: LoadedModel, history: Sequence[Validation]) -> str:
    """Return a model as HTML: its network, its text and its training, and the last validation if it has any."""
    config, run, origin = model.network.config, model.config, model.origin
    rows = {
        "network": f"{config}, embedding {config.embed_size}",
        "parameters": f"{len(model.network.vector):,}",
        "vocabulary": f"{len(model.vocab):,} symbols",
        "text": f"{' '.join(origin.sources)}, {origin.chars:,} characters",
        "training": f"{run.optimizer}, lr {run.lr:g}, seed {run.seed} ({run.budget})",
    }
    if history:
        best = min(history, key=lambda each: each.val_nats_per_char)
        rows["held out"] = f"{bits(best.val_nats_per_char):.4f} bits per character, best at step {best.step:,}"
    return card(model.name, rows | {"file": str(model.path)})
