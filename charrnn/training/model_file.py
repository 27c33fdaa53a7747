"""The file of the model to train: its name, and the lock that keeps other writers away."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charrnn.checkpoint.paths import folder, model_path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError, TextError, UsageError
from charrnn.data.sources import expand, is_repeatable

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz")
CLASSICS = ("tinyshakespeare", "mobydick", "kjv", "sqlite")  # the texts that corpora/README.md says how to fetch


def open_store(model: str | None, sources: tuple[str, ...]) -> CheckpointStore:
    """Return the store of the model to train.

    Raises TextError for a classic text that does not exist, UsageError if the model file is one of the texts, and
    CheckpointError if its folder does not exist.
    """
    store = CheckpointStore(model_path(model) if model is not None else folder() / f"{default_name(sources)}.npz")
    check_classics(sources)
    if any(os.path.realpath(source) == str(store.path) for source in expand(sources, [])):
        raise UsageError(f"--model {store.name}: is the corpus itself; name another file for the model")
    parent = store.path.parent
    if not parent.is_dir() and parent != Path(os.path.realpath(folder())):  # that one will be made
        raise CheckpointError(f"{store.name}: no such folder: make it first, or give a bare name")
    return store


def default_name(sources: tuple[str, ...]) -> str:
    """Return the name of a model without --model: the stem of its first text, "stdin" for one that cannot be reread."""
    first = sources[0] if sources else "plays"
    if not is_repeatable(first):
        return "stdin"
    path = Path(os.path.abspath(first))  # of a link its own name, not that of the file it leads to
    return (path.with_suffix("") if path.suffix in COMPRESSED_SUFFIXES else path).stem or "model"


def check_classics(sources: tuple[str, ...]) -> None:
    """Raise TextError, with the page that says how to fetch the text, for a classic text that does not exist."""
    for source in sources:
        stem = Path(source).stem.lower()
        name = "tinyshakespeare" if "shakespeare" in stem else stem
        if name in CLASSICS and "://" not in source and not os.path.exists(source):
            raise TextError(f"{source}: no such file: corpora/README.md says how to fetch {name}.txt")


@contextmanager
def sole_writer(store: CheckpointStore, warn: Callable[[str], None]) -> Iterator[None]:
    """Lock the model file; make the folder of models first, and remove it afterwards if it is empty."""
    parent = store.path.parent
    is_new = not parent.is_dir()
    try:
        try:
            parent.mkdir(exist_ok=True)
        except OSError as error:
            advice = "name another one with --model or CHARRNN_CHECKPOINTS"
            raise CheckpointError(f"{store.name}: its folder cannot be made: {error.strerror}: {advice}") from error
        with store.lock() as locked:
            if not locked:
                warn(f"{store.name}: this file system has no locks: do not train this model twice at a time")
            yield
    finally:
        if is_new:
            with suppress(OSError):
                parent.rmdir()
