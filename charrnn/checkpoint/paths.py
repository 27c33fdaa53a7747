"""From the name of a model to the path of its file."""

import os
from pathlib import Path

from charrnn.core.errors import CheckpointError, UsageError

ENGLISH = "english"  # the name of the model that comes with the program


def folder() -> Path:
    """Return the folder of models that are named without a path."""
    return Path(os.environ.get("CHARRNN_CHECKPOINTS") or "checkpoints")


def english_model() -> Path:
    """Return the file of the English model that comes with the program: in the package, or next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside, beside = package / "checkpoints" / "english.npz", package.parent / "checkpoints" / "english.npz"
    return inside if inside.exists() else beside


def is_english(name: str) -> bool:
    """Return whether a name means the English model: it is called so, unless the folder has a model of that name."""
    return name == ENGLISH and not model_path(name).exists()


def model_path(name: str, option: str = "--model") -> Path:
    """Return the path of a model's file: a path unchanged, a bare name within the folder of models.

    Raises UsageError, naming the option, for an empty name.
    """
    if not name:
        raise UsageError(f"{option}: the name is empty")
    if "\0" in name:
        raise UsageError(f"{option}: the name has a NUL character, which no file name has")
    return Path(name) if name.endswith(".npz") or "/" in name else folder() / f"{name}.npz"


def models() -> list[Path]:
    """Return the files in the folder of models, the newest first."""
    return sorted(
        filter(Path.is_file, folder().glob("[!.]*.npz")), key=lambda path: path.stat().st_mtime_ns, reverse=True
    )


def named_model(name: str, option: str) -> Path:
    """Return the file of the model that an option names; raises CheckpointError if it does not exist."""
    path = model_path(name, option)
    if is_english(name):
        return english_model()
    if not path.exists():
        names = [model.stem for model in models()]
        there = f"{folder()} has {', '.join(names[:10])}{', …' * (len(names) > 10)}; " if names else ""
        raise CheckpointError(
            f"{path}: no such model: {there}train it with `charrnn train`, or name another with {option}"
        )
    return path
