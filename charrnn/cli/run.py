"""A run from its first save to its last."""

from typing import TYPE_CHECKING

from charrnn.cli.streams import Interrupt
from charrnn.cli.watch import Clock, Watch
from charrnn.errors import CheckpointError, DivergedError
from charrnn.terminal import say

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint, CheckpointStore
    from charrnn.corpus import Corpus
    from charrnn.plan import Deadline

PROOF = 64  # characters that a model is to score before it is saved


def run(
    checkpoint: "Checkpoint",
    text: "Corpus",
    store: "CheckpointStore",
    saves: Clock,
    watch: Watch,
    interrupt: Interrupt,
    deadline: "Deadline | None",
) -> None:
    """Train, saving before the first step, on the way and at the end, so that there is always a whole model."""
    from charrnn.step import StepReport
    from charrnn.train import EvalReport, train

    saved = keep(checkpoint, text, store, watch)
    try:
        for report in train(checkpoint, text.ids):
            watch.show(report)
            if interrupt.number:
                break
            to_save = saves.due(report.step) if isinstance(report, StepReport) else report.best
            if deadline and (to_save or (isinstance(report, EvalReport) and report.loss is not None)):
                deadline.refit(checkpoint)
            if to_save:
                saved = try_to_keep(checkpoint, text, store, watch, saved)
                saves.restart()
        if saved != progress(checkpoint):
            keep(checkpoint, text, store, watch)
    except DivergedError as error:
        raise DivergedError(f"{error}; {store.name} keeps the model of step {saved[0]}") from error
    finally:
        watch.close()
    if interrupt.number:
        watch.note(f"stopped at step {checkpoint.step:,} and saved: --resume goes on with {store.name}")


def progress(checkpoint: "Checkpoint") -> tuple[int, int]:
    """Return what changes whenever a checkpoint does: the steps and the validations done."""
    return checkpoint.step, len(checkpoint.history)


def keep(checkpoint: "Checkpoint", text: "Corpus", store: "CheckpointStore", watch: Watch) -> tuple[int, int]:
    """Save, and return the progress saved; raises DivergedError for weights that are numbers, but give no scores.

    The loss of a step is that of the weights before it: what its update made of them nobody has seen yet.
    """
    from charrnn.evaluate import score_ids

    try:
        score_ids(checkpoint.model, [text.ids[:PROOF]], checkpoint.vocab.start_id)
    except DivergedError as error:
        raise DivergedError(f"step {checkpoint.step}: {error}") from error
    store.save(checkpoint)
    watch.saved()
    return progress(checkpoint)


def try_to_keep(
    checkpoint: "Checkpoint", text: "Corpus", store: "CheckpointStore", watch: Watch, saved: tuple[int, int]
) -> tuple[int, int]:
    """Save on the way: a failure is a warning, since the old file is whole and a later save may succeed."""
    try:
        return keep(checkpoint, text, store, watch)
    except CheckpointError as error:
        say(f"warning: {error}; training goes on, the file has step {saved[0]}")
        return saved
