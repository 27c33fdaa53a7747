"""Power cuts: what a disk may contain after one at each moment of a save, and whether that is a whole model.

After a power cut a file has everything that was synced, and any part of what was written since. A folder has all names
up to its last sync, and any number of the first changes since. POSIX promises no more, and file systems do lose the
rest (Pillai et al. 2014, "All File Systems Are Not Created Equal"). So the calls of a save are recorded, and every
state that they may leave is constructed and checked.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.state import TrainState
from tests.robustness.calls import Calls, Do, interposed
from tests.robustness.experiment import Experiment, a_run

Names = dict[str, "Inode"]
Files = dict[str, bytes]


@dataclass(eq=False)
class Inode:
    """A file: its contents, and its contents at the last sync."""

    data: bytes = b""
    synced: bytes = b""

    def survivors(self) -> tuple[bytes, ...]:
        """Return what may remain of what was written since the sync: nothing, half, zeros of its length, or all."""
        half = (len(self.synced) + len(self.data)) // 2
        return self.synced, self.data[:half], self.synced + bytes(len(self.data) - len(self.synced)), self.data


class Disk(Calls):
    """Records the changes to the files of a folder, and every state that a power cut may leave."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self.folders: list[Names] = [{name: Inode(data, data) for name, data in files.items()}]  # since its last sync

    def intercept(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, and record what it changes."""
        result = do()
        names = dict(self.folders[-1])
        changes: dict[str, Callable[..., None]] = {
            "opened": self.opened,
            "write": self.written,
            "replace": self.replaced,
            "unlink": self.removed,
        }
        if name == "fsync":
            self.synced(names, os.readlink(f"/proc/self/fd/{args[0]}"))
        elif name in changes:
            changes[name](names, *args)
        if names != self.folders[-1]:
            self.folders.append(names)
        return result

    def opened(self, names: Names, path: Path, mode: str) -> None:
        """Record a new or emptied file."""
        if mode.startswith("x"):
            names[path.name] = Inode()
        elif mode.startswith("w"):
            names.setdefault(path.name, Inode()).data = b""

    def written(self, names: Names, file: Any, data: bytes) -> None:
        """Record data added to a file."""
        names[os.path.basename(file.name)].data += data

    def replaced(self, names: Names, old: Path, new: Path) -> None:
        """Record a rename."""
        names[new.name] = names.pop(old.name)

    def removed(self, names: Names, path: Path) -> None:
        """Record a removal."""
        names.pop(path.name, None)

    def synced(self, names: Names, path: str) -> None:
        """Record that earlier changes are permanent."""
        if os.path.isdir(path):
            self.folders = [names]
        else:
            inode = names[os.path.basename(path)]
            inode.synced = inode.data

    def states(self, name: str) -> Iterator[bytes | None]:
        """Yield all contents that a file may have after a power cut now."""
        for names in self.folders:
            yield from names[name].survivors() if name in names else (None,)


class Watched(Disk):
    """A disk that records what a file may contain if the power is cut between two calls."""

    def __init__(self, files: Files, name: str) -> None:
        super().__init__(files)
        self.name, self.moments = name, [list(self.states(name))]

    def intercept(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, and record the possible states after it."""
        result = super().intercept(do, name, *args)
        self.moments.append(list(self.states(self.name)))
        return result


class PowerCuts(Experiment):
    """A model is saved, with and without an old one; the power is cut at every moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _, old, new = a_run()
        self.cases: list[tuple[str, bytes | None, set[bytes | None]]] = []
        for before in (None, old):
            self.cases += self.cuts(None if before is None else to_bytes(before), new)
        self.count = len(self.cases)

    def cuts(self, old: bytes | None, new: TrainState) -> Iterator[tuple[str, bytes | None, set[bytes | None]]]:
        """Save a model; yield the moment of each power cut, a state after it, and the states that are allowed."""
        path = self.folder / "m.npz"
        path.unlink(missing_ok=True)
        if old is not None:
            path.write_bytes(old)
        disk = Watched({} if old is None else {path.name: old}, path.name)
        with interposed(disk):
            CheckpointStore(path).save(new)
        for moment, states in enumerate(disk.moments):
            done = moment == len(disk.moments) - 1
            when = "when the save is done" if done else f"before call {moment}"
            for state in states:
                yield when, state, {to_bytes(new)} if done else {old, to_bytes(new)}

    def attempt(self, number: int) -> str:
        """Check one of the states."""
        when, state, allowed = self.cases[number]
        found = "no file" if state is None else f"{len(state)} bytes"
        return "" if state in allowed else f"{when}: {found}, neither the old model nor the new one"
