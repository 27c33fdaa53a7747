"""Where models are: a name, and the file that it means."""

import os
from pathlib import Path

from charrnn.errors import UsageError


def folder() -> Path:
    """Return where models go that are named without a path."""
    return Path(os.environ.get("CHARRNN_CHECKPOINTS") or "checkpoints")


def model_path(name: str, option: str = "--model") -> Path:
    """Return the file of a model: a path as it is, a bare name in the folder of models.

    Raises UsageError, naming the option, for an empty name.
    """
    if not name:
        raise UsageError(f"{option}: the name is empty")
    is_path = name.endswith(".npz") or "/" in name or os.sep in name
    return Path(name) if is_path else folder() / f"{name}.npz"
