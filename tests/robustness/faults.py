"""Every file operation of a save goes wrong, one after the other, in every way."""

import os
from pathlib import Path

from charrnn.checkpoint import CheckpointStore
from charrnn.checkpoint.format import to_bytes
from charrnn.errors import CheckpointError
from tests.robustness.calls import FAULTS, Calls, Faulty, interposed
from tests.robustness.experiment import Experiment, a_run, ended, fork, leave


class Faults(Experiment):
    """A model is locked, saved and unlocked; one call fails, is cut short, or is the last one before a kill -9."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store, (_, old, self.model) = CheckpointStore(folder / "m.npz"), a_run()
        self.old, self.new = to_bytes(old), to_bytes(self.model)
        calls = Calls()
        self.store.path.write_bytes(self.old)
        with interposed(calls):
            self.save()
        self.calls = calls.made
        self.count = len(self.calls) * len(FAULTS)

    def save(self) -> None:
        """Save as a run does."""
        with self.store.lock():
            self.store.save(self.model)

    def attempt(self, number: int) -> str:
        """Let one call go wrong; the model is the one before or the one after, and the next save succeeds."""
        call, fault = divmod(number, len(FAULTS))
        name, kind = self.calls[call][0], list(FAULTS)[fault]
        for file in self.folder.iterdir():
            file.unlink()
        self.store.path.write_bytes(self.old)
        told = self.in_a_process(Faulty(call, kind)) if kind == "SIGKILL" else self.told(Faulty(call, kind))
        lost = self.lost(told, left_over=name in ("unlink", "stat") or kind == "SIGKILL")
        return f"{kind} at call {call}, {name}: {lost}" if lost else ""

    def told(self, faulty: Faulty) -> str:
        """Save with the fault; return what the program says of it."""
        try:
            with interposed(faulty):
                self.save()
        except CheckpointError as error:
            return str(error)
        except Exception as error:
            return f"another error: {error!r}"
        return "saved"

    def in_a_process(self, faulty: Faulty) -> str:
        """Save with the fault in another process, which it kills."""
        child = fork()
        if not child:
            self.told(faulty)
            leave(0)
        return "killed" if ended(child) < 0 else "not killed"

    def lost(self, told: str, left_over: bool) -> str:
        """Return what is lost now."""
        found = self.store.path.read_bytes() if self.store.path.exists() else None
        if told.startswith("another"):
            return told
        if found not in (self.old, self.new):
            return "the model is neither the one before nor the one after"
        if told == "saved" and found != self.new:
            return "the model is the one before, and nothing was said"
        if not left_over and (beside := [file for file in os.listdir(self.folder) if file.endswith("tmp")]):
            return f"{beside} is left over"
        self.save()
        if self.store.path.read_bytes() != self.new or os.listdir(self.folder) != ["m.npz"]:
            return f"the next save leaves {os.listdir(self.folder)}"
        return ""
