"""The files of --html, --svg and --csv, to which pictures and curves are written instead of the terminal."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.checkpoint.store import save_text
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError

if TYPE_CHECKING:
    from charrnn.api.model import Model


def picture_files(pictures: Mapping[str, str], texts: Sequence[str], models: Sequence["Model"]) -> dict[str, Path]:
    """Return the files to draw into, by option; raises UsageError for one that cannot be written or is in use."""
    sources = [source for model in models for source in model.origin.sources]
    return new_files(pictures, [*map(Path, [*texts, *sources]), *(model.path for model in models)])


def new_files(names: Mapping[str, str], used: Iterable[Path]) -> dict[str, Path]:
    """Return the files to write, by option; raises UsageError for one that cannot be written or is among those used."""
    used, files = [*used], dict[str, Path]()
    for option, name in names.items():
        path = Path(name)
        if name in ("", "-") or path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{option} {name}: must be a file in an existing folder")
        if any(is_part_of(path, other) for other in (*used, *files.values())):
            raise UsageError(f"{option} {name}: is in use by this command: name another file")
        if path.suffix == ".npz":
            raise UsageError(f"{option} {name}: is the name of a model: name another file")
        files[option] = path
    return files


def save_pictures(files: Mapping[str, Path], html: Callable[[], str], svg: Callable[[], str], output: Output) -> None:
    """Write the files, each whole or not at all, and note their names."""
    for option, path in files.items():
        save_text(path, html() if option == "--html" else svg())
        output.note(f"picture: {path}")


def is_part_of(path: Path, other: Path) -> bool:
    """Return whether two paths are one file, or the first is a text in the folder that the other names."""
    place = os.path.realpath(path)
    return place == os.path.realpath(other) or (
        path.suffix == ".txt" and other.is_dir() and os.path.dirname(place) == os.path.realpath(other)
    )
