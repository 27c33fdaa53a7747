"""Each file operation of a save fails in each way."""

import os
from pathlib import Path

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from tests.robustness.calls import FAULTS, Calls, Faulty, interposed
from tests.robustness.experiment import Experiment, a_run, ended, fork, leave


class Faults(Experiment):
    """A model is locked, saved and unlocked; one call fails, is incomplete, or is the last one before a kill -9."""

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
        """Make one call fail; the model must be the old or the new one, and the next save must succeed."""
        call, fault = divmod(number, len(FAULTS))
        name, kind = self.calls[call][0], list(FAULTS)[fault]
        for file in self.folder.iterdir():
            file.unlink()
        self.store.path.write_bytes(self.old)
        outcome = self.in_a_process(Faulty(call, kind)) if kind == "SIGKILL" else self.outcome(Faulty(call, kind))
        lost = self.lost(outcome, left_over=name in ("unlink", "stat") or kind == "SIGKILL")
        return f"{kind} at call {call}, {name}: {lost}" if lost else ""

    def outcome(self, faulty: Faulty) -> str:
        """Save with the fault; return the message of the error, or "saved"."""
        try:
            with interposed(faulty):
                self.save()
        except CheckpointError as error:
            return str(error)
        except Exception as error:
            return f"another error: {error!r}"
        return "saved"

    def in_a_process(self, faulty: Faulty) -> str:
        """Save with a fault that kills, in another process."""
        child = fork()
        if not child:
            self.outcome(faulty)
            leave(0)
        return "killed" if ended(child) < 0 else "not killed"

    def lost(self, outcome: str, left_over: bool) -> str:
        """Return a description of the loss, or an empty string."""
        found = self.store.path.read_bytes() if self.store.path.exists() else None
        if outcome.startswith("another"):
            return outcome
        if found not in (self.old, self.new):
            return "the model is neither the old nor the new one"
        if outcome == "saved" and found != self.new:
            return "the model is the old one, and there was no error"
        if not left_over and (beside := [file for file in os.listdir(self.folder) if file.endswith("tmp")]):
            return f"{beside} is left over"
        self.save()
        if self.store.path.read_bytes() != self.new or os.listdir(self.folder) != ["m.npz"]:
            return f"the next save leaves {os.listdir(self.folder)}"
        return ""
