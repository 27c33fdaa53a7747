"""The training loop of the command: reports are shown, and a signal ends the run after the step that it is at."""

from contextlib import closing

from charrnn.cli.reporter import Reporter
from charrnn.cli.streams import Interrupt
from charrnn.core.state import TrainState
from charrnn.training.run import Run
from charrnn.training.start import is_finished


def report_run(run: Run, reporter: Reporter, interrupt: Interrupt) -> None:
    """Train and report it; note where the run is saved if it ends early, whatever has ended it."""
    try:
        with run.rescued(), closing(reporter):
            for report in run.reports():
                reporter.show(report)
                run.stopping = interrupt.number is not None
        run.stopped = run.stopped or interrupt.number is not None
    finally:
        if run.stopped:
            reporter.output.note(
                f"stopped at step {run.saved_step:,} and saved: continue {run.store.name} with --resume"
            )


def finished_notes(state: TrainState) -> list[str]:
    """Return what to say of a run that was finished when it was resumed, and how to train on; empty for other runs."""
    if not state.step or not is_finished(state):
        return []
    if state.step < state.config.steps:
        return [f"finished at step {state.step:,} by --patience {state.config.patience}: a larger one would train on"]
    budget = "" if state.config.budget == "default" else f" of {state.config.budget}"
    return [f"the budget{budget} is spent, at step {state.step:,}: --more 2000 or --more 5m would train on"]
