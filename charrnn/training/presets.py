"""Settings by one word: `charrnn train --preset NAME`. docs/decisions.md has the measurements behind them."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # For a first result: one layer learns faster per second, and SOAP learns more per step.
    "fast": {"num_layers": 1, "optimizer": "soap"},
    # For an hour on two cores: the mean of four networks. Where the text suits, all start from English: dropout, and a
    # rate higher than a single network's, make them err in different places.
    "best": {"ensemble": 4, "dropout": 0.1, "lr": 0.004, "optimizer": "soap"},
}
