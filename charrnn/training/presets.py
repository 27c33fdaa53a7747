"""Settings by one word: `charrnn train --preset NAME`. docs/decisions.md has the measurements behind them."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # For a first result: one layer learns faster per second, and SOAP learns more per step.
    "fast": {"num_layers": 1, "optimizer": "soap"},
    # For an hour on two cores: the mean of four networks, held back from learning the text by heart. Where the text
    # suits, the first starts from English and the others do not, so that they make different errors.
    "best": {"ensemble": 4, "dropout": 0.15, "optimizer": "soap"},
}
