"""Power cuts: what a disk may hold after one, at each moment of a save, and whether that is a whole model.

A disk keeps of a file what was synced, and of what was written since any part; of a folder all names up to its last
sync, and of those made since any first few. That is the least that POSIX promises, and file systems have been seen to
use it (Pillai et al. 2014, "All File Systems Are Not Created Equal"). So the calls of a save are recorded, and every
state that they may leave is made and looked at.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.checkpoint import Checkpoint, CheckpointStore
from charrnn.checkpoint.format import to_bytes
from tests.robustness.calls import Calls, Do, interposed
from tests.robustness.experiment import Experiment, a_run

Names = dict[str, "Inode"]
Files = dict[str, bytes]


@dataclass(eq=False)
class Inode:
    """A file: what was written to it, and how it was when it was synced."""

    data: bytes = b""
    synced: bytes = b""

    def survivors(self) -> tuple[bytes, ...]:
        """What may be left of it: nothing since the sync, half of it, its length without its content, or all."""
        half = (len(self.synced) + len(self.data)) // 2
        return self.synced, self.data[:half], self.synced + bytes(len(self.data) - len(self.synced)), self.data


class Disk(Calls):
    """Records the changes that calls make to the files of a folder, and every state that a power cut may leave."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self.folders: list[Names] = [{name: Inode(data, data) for name, data in files.items()}]  # since its last sync

    def meet(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, and note what it changes."""
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
        """Note a new file, or one that is emptied."""
        if mode.startswith("x"):
            names[path.name] = Inode()
        elif mode.startswith("w"):
            names.setdefault(path.name, Inode()).data = b""

    def written(self, names: Names, file: Any, data: bytes) -> None:
        """Note what a file has more."""
        names[os.path.basename(file.name)].data += data

    def replaced(self, names: Names, old: Path, new: Path) -> None:
        """Note another name."""
        names[new.name] = names.pop(old.name)

    def removed(self, names: Names, path: Path) -> None:
        """Note one name less."""
        names.pop(path.name, None)

    def synced(self, names: Names, path: str) -> None:
        """Note that what was done is done for good."""
        if os.path.isdir(path):
            self.folders = [names]
        else:
            inode = names[os.path.basename(path)]
            inode.synced = inode.data

    def states(self, name: str) -> Iterator[bytes | None]:
        """Yield every content that a file may have after a power cut now."""
        for names in self.folders:
            yield from names[name].survivors() if name in names else (None,)


class Watched(Disk):
    """A disk that keeps, before each call, what a file may be if the power is cut there."""

    def __init__(self, files: Files, name: str) -> None:
        super().__init__(files)
        self.name, self.moments = name, [list(self.states(name))]

    def meet(self, do: Do, name: str, *args: Any) -> Any:
        """Make the call, and note the states after it."""
        result = super().meet(do, name, *args)
        self.moments.append(list(self.states(self.name)))
        return result


class PowerCuts(Experiment):
    """A model is saved where there is none, and where there is one; the power is cut at every moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _, old, new = a_run()
        self.cases: list[tuple[str, bytes | None, set[bytes | None]]] = []
        for before in (None, old):
            self.cases += self.cuts(None if before is None else to_bytes(before), new)
        self.count = len(self.cases)

    def cuts(self, old: bytes | None, new: Checkpoint) -> Iterator[tuple[str, bytes | None, set[bytes | None]]]:
        """Save a model; yield each state after a power cut: when, what is there, and what may be."""
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
        """Look at one of the states."""
        when, state, allowed = self.cases[number]
        found = "no file" if state is None else f"{len(state)} bytes"
        return "" if state in allowed else f"{when}: {found}, neither the model before nor the one after"
