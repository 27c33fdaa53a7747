"""Settings by one word: `charrnn train --preset NAME`. docs/decisions.md has the measurements behind them."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # For a first result: one layer learns faster per second, and SOAP learns more per step.
    "fast": {"num_layers": 1, "optimizer": "soap"},
    # For an hour on two cores: the mean of four large networks, held back from learning the text by heart.
    # Measured with adamw, so that it does not depend on the default optimizer.
    "best": {
        "ensemble": 4,
        "hidden_size": 384,
        "dropout": 0.25,
        "optimizer": "adamw",
        "weight_decay": 0.3,
        "lr": 0.005,
    },
}
