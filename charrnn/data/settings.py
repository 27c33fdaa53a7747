"""Reading of settings from TOML files. It must not import NumPy, whose threads depend on the settings."""

import tomllib
from typing import Any

from charrnn.core.errors import TextError, UsageError


def read_settings(path: str) -> dict[str, Any]:
    """Return the entries of a TOML file; raises TextError if it cannot be read, UsageError if it is not TOML."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, a NUL in the path; nested deeply
        if isinstance(error, OSError):
            raise TextError(f"--config {path}: {error.strerror}") from error
        raise UsageError(f"--config {path}: not a TOML file: {' '.join(str(error).split())}") from error
