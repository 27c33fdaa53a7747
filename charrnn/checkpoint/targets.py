"""Models in other files: a copy of a whole run, and what others can use."""

import os
from contextlib import suppress
from pathlib import Path

from charrnn.checkpoint.export import safetensors_bytes, weights_alone
from charrnn.checkpoint.page import model_page
from charrnn.checkpoint.paths import folder
from charrnn.checkpoint.store import CheckpointStore, save_bytes, save_text
from charrnn.core.errors import CheckpointError, UsageError

KINDS = (".npz", ".safetensors", ".html")
DTYPES = ("f2", "f4")


def check_target(target: str) -> None:
    """Raise UsageError unless a file has the suffix of a kind of export."""
    if Path(target).suffix not in KINDS:
        raise UsageError(f"{target}: must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def export_model(source: Path, target: str, dtype: str | None, force: bool) -> str:
    """Write the model in a file for others, as the suffix of the target says; return the type of its weights.

    The type is f2 or f4, by default f4 for .safetensors and otherwise f2. Raises CheckpointError for a target that
    exists, unless `force` is given.
    """
    check_target(target)
    path = Path(target)
    dtype = dtype or ("f4" if path.suffix == ".safetensors" else "f2")
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype}: must be {' or '.join(DTYPES)}")
    store, kind = new_file(source, target, force), f"<{dtype}"
    state = CheckpointStore(source).load()
    alone = weights_alone(state, kind)
    if path.suffix == ".npz":
        with store.lock():
            store.save(alone)
    elif path.suffix == ".html":
        save_text(path, model_page(alone.model, state.vocab, source.stem, kind))
    else:
        save_bytes(path, safetensors_bytes(alone.model, state.vocab, kind))
    return dtype


def save_copy(source: Path, target: Path, force: bool) -> None:
    """Write the whole run in a file to another one; raises CheckpointError for one that exists, unless `force`."""
    store = new_file(source, str(target), force)
    state = CheckpointStore(source).load()
    if store.path.parent == Path(os.path.realpath(folder())):  # which a run makes too
        with suppress(OSError):  # the lock says what is wrong
            store.path.parent.mkdir(exist_ok=True)
    with store.lock():
        store.save(state)


def new_file(source: Path, target: str, force: bool) -> CheckpointStore:
    """Return a file to write; raises UsageError for the model itself, CheckpointError for one that exists."""
    store = CheckpointStore(Path(target))
    if store.path == CheckpointStore(source).path:
        raise UsageError(f"{target}: is the model itself: name another file")
    if store.exists() and not force:
        raise CheckpointError(f"{target}: already exists: use --force to replace it")
    return store
