"""Reports on a run: notes and progress for people on stderr, JSON events for programs on stdout."""

import sys
import time
from dataclasses import asdict
from itertools import islice

import numpy as np

from charrnn.api.sampling import continuation
from charrnn.checkpoint.environment import changes
from charrnn.cli.streams import Output
from charrnn.cli.summary import best_losses, held_out_part, print_summary
from charrnn.core.config import Purpose
from charrnn.core.score import bits
from charrnn.core.state import TrainState
from charrnn.core.train import Report, StepReport
from charrnn.data.corpus import Corpus
from charrnn.data.sources import BUNDLED, shown
from charrnn.terminal.progress import Progress
from charrnn.terminal.streams import can_overwrite, columns, say
from charrnn.training.run import SaveReport
from charrnn.training.timer import Timer

MAX_STEP_EVENTS = 1000  # approximately, per run: enough for a plot
SAMPLE_CHARS = 200


class Milestones:
    """The moments of the previews that nobody asked for: some shares of a run, the first one soon after its start."""

    SHARES = (0.01, 0.05, 0.15, 0.4, 1.0)
    FIRST = 3.0  # seconds after the start: then the first is due, whatever the share

    def __init__(self, state: TrainState) -> None:
        self.state, self.began = state, time.monotonic()
        self.left = [share for share in self.SHARES if share * state.config.steps > state.step]

    def due(self, step: int) -> bool:
        """Return whether the moment has come, after a step."""
        soon = self.left[:1] == [self.SHARES[0]] and time.monotonic() - self.began >= self.FIRST
        return bool(self.left) and (soon or step >= self.left[0] * self.state.config.steps)

    def restart(self) -> None:
        """Wait for the next share of the run."""
        self.left = [share for share in self.left[1:] if share * self.state.config.steps > self.state.step]


class Reporter:
    """Reports on a run to a person, unless `output` is quiet, and to a program, if `output` is JSON."""

    def __init__(self, name: str, state: TrainState, output: Output, sample_every: str | None = None) -> None:
        self.name, self.state, self.output = name, state, output
        self.sample_timer = self.timer_of_samples(sample_every)
        self.every = max(1, state.config.steps // MAX_STEP_EVENTS)
        self.progress: Progress | None = None
        self.began, self.chars = time.perf_counter(), 0

    def timer_of_samples(self, every: str | None) -> Timer | Milestones | None:
        """Return the timer of --sample-every; without the option, on a terminal and without --json, the milestones."""
        if every == "0" or (self.output.quiet and not self.output.json):
            return None
        if every is not None:
            return Timer(every, "--sample-every")
        return Milestones(self.state) if can_overwrite(sys.stderr) and not self.output.json else None

    def event(self, event: str, **values: object) -> None:
        """Write a JSON event."""
        if self.output.json:
            self.output.record({"event": event, **values})

    def corpus_notes(self, text: Corpus) -> None:
        """Note what reading the text changed in it, and which text it is if none was given."""
        if text.sources == (BUNDLED,):
            self.output.note("no text given: training on the plays that come with the program")
        self.output.note(*text.remarks)

    def started(self, text: Corpus) -> None:
        """Report the start: text, network and budget, and what differs from before if the run is resumed."""
        config, network, note = self.state.config, self.state.model.config, self.output.note
        chars_per_step = config.batch_size * config.seq_len
        epochs = config.steps * chars_per_step / (len(text.ids) * (1 - config.val_fraction))
        parameters = len(self.state.model.vector)
        self.corpus_notes(text)
        note(f"text: {shown(text.sources)}, {len(text.ids):,} characters, {len(text.vocab):,} symbols")
        note(f"held out: {held_out_part(config)}")
        note(f"network: {network}, {parameters:,} parameters")
        note(
            f"budget: {config.steps:,} {'steps' if config.steps != 1 else 'step'} of {chars_per_step:,} characters, "
            f"{epochs:.1f} times the text ({config.budget})"
        )
        for name, (before, now) in changes(self.state).items():
            say(f"warning: {name} was {before} and is {now}: training continues, but its last bits may differ")
        if self.state.step:
            note(f"continuing at step {self.state.step:,} of {self.name}")
        origin = {"step": self.state.step, "init_from": self.state.init_from}
        settings = {**network.settings, **asdict(config)}
        sizes = {"chars": len(text.ids), "vocabulary_size": len(text.vocab), "parameters": parameters}
        if not self.output.quiet:
            self.progress = Progress(self.state.step, config.steps)
        self.event("start", model=self.name, corpus=text.sources, **origin, **sizes, **settings)

    def show(self, report: Report | SaveReport) -> None:
        """Report a step, a validation or a save."""
        if isinstance(report, SaveReport):
            self.event("save", step=report.step, model=report.model)
        elif isinstance(report, StepReport):
            self.chars += report.chars
            if self.progress:
                self.progress.step(report.step, self.state.config.steps, bits(report.loss), report.chars)
            if report.step % self.every == 0:
                rates = {"lr": report.lr, "grad_norm": report.grad_norm}
                self.event("step", step=report.step, train_nats_per_char=report.loss, **rates)
            if self.sample_timer and self.sample_timer.due(report.step):
                self.show_sample()
                self.sample_timer.restart()
        elif report.loss is None:
            if self.progress:
                self.progress.validating(report.chars)
        else:
            if self.progress:
                self.progress.validated(report.step, bits(report.train_loss), bits(report.loss), report.best)
            losses = {"train_nats_per_char": report.train_loss, "val_nats_per_char": report.loss}
            self.event("eval", step=report.step, **losses, best=report.best)

    def show_sample(self) -> None:
        """Show a sample of the current network.

        It has its own random numbers and its own carried state, so that the run is the same without it.
        """
        state, step = self.state, self.state.step
        rng = np.random.default_rng([state.config.seed, step, Purpose.PREVIEW])
        characters = continuation(state.model, state.vocab, "", rng, temperature=0.8)
        brief = isinstance(self.sample_timer, Milestones)
        text = "".join(islice(characters, 3 * columns(sys.stderr) if brief else SAMPLE_CHARS))
        if self.progress:
            self.progress.preview(step, text, brief)
        self.event("sample", step=step, text=text)

    def close(self) -> None:
        """Close the progress bar."""
        if self.progress:
            self.progress.close(self.state.config.steps)

    def done(self) -> None:
        """Report the end of the run."""
        step, seconds = self.state.step, time.perf_counter() - self.began
        if not self.output.quiet:
            print_summary(self.name, self.state, seconds, self.chars)
        speed = {"seconds": seconds, "chars_per_second": self.chars / seconds}
        self.event("done", model=self.name, step=step, **best_losses(self.state), **speed)
