"""From the name of a model to the path of its file."""

import os
from pathlib import Path

from charrnn.core.errors import UsageError


def folder() -> Path:
    """Return the folder of models that are named without a path."""
    return Path(os.environ.get("CHARRNN_CHECKPOINTS") or "checkpoints")


def model_path(name: str, option: str = "--model") -> Path:
    """Return the path of a model's file: a path unchanged, a bare name within the folder of models.

    Raises UsageError, naming the option, for an empty name.
    """
    if not name:
        raise UsageError(f"{option}: the name is empty")
    if "\0" in name:
        raise UsageError(f"{option}: the name has a NUL character, which no file name has")
    return Path(name) if name.endswith(".npz") or "/" in name else folder() / f"{name}.npz"
