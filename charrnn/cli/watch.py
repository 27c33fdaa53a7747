"""How a run goes, told to a person on stderr and to a program, as JSON events, on stdout; and when it is saved."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from charrnn.cli.ending import tell_end
from charrnn.cli.options import duration
from charrnn.cli.streams import Output
from charrnn.terminal import Progress, say

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint
    from charrnn.corpus import Corpus
    from charrnn.train import Report

STEP_EVENTS = 1000  # a run, at most about: enough to plot
PREVIEW = 200  # characters


class Clock:
    """When to save or to show something: every so many steps, or every so many seconds."""

    def __init__(self, every: str, option: str) -> None:
        self.steps = int(every) if every.isascii() and every.isdigit() else 0
        self.seconds = duration(every, option) if not self.steps else 0.0
        self.begun = time.monotonic()

    def due(self, step: int) -> bool:
        """Tell whether it is time."""
        return step % self.steps == 0 if self.steps else time.monotonic() - self.begun >= self.seconds

    def restart(self) -> None:
        """Begin to count the seconds anew."""
        self.begun = time.monotonic()


class Watch:
    """Tells a person and a program how a run goes, as far as each of them asked for it."""

    def __init__(
        self, name: str, checkpoint: "Checkpoint", output: Output | None, talks: bool, previews: Clock | None = None
    ) -> None:
        self.name, self.checkpoint, self.output, self.talks = name, checkpoint, output, talks
        self.previews = previews if output or talks else None
        self.every = max(1, checkpoint.train.steps // STEP_EVENTS)
        self.progress: Progress | None = None
        self.begun, self.chars = time.perf_counter(), 0

    def note(self, text: str) -> None:
        """Tell the person something."""
        if self.talks:
            say(text)

    def event(self, event: str, **values: object) -> None:
        """Tell the program something."""
        if self.output:
            self.output.record({"event": event, **values})

    def remarks(self, text: "Corpus") -> None:
        """Tell what reading a text changed, and which it is if nobody named one."""
        from charrnn.corpus import BUNDLED

        if text.sources == (BUNDLED,):
            self.note("no text named: learning from the plays that come with the program")
        for remark in text.remarks:
            self.note(remark)

    def started(self, text: "Corpus") -> None:
        """Tell what will be done."""
        from charrnn.checkpoint import moved

        config, network = self.checkpoint.train, self.checkpoint.model.config
        a_step = config.batch_size * config.seq_len
        times = config.steps * a_step / (len(text.ids) * (1 - config.val_fraction))
        parameters = len(self.checkpoint.model.vector)
        self.remarks(text)
        self.note(f"text: {' '.join(text.sources)}, {len(text.ids):,} characters, {len(text.vocab):,} symbols")
        self.note(f"network: {network}, {parameters:,} parameters")
        self.note(
            f"budget: {config.steps:,} {'steps' if config.steps != 1 else 'step'} of {a_step:,} characters, "
            f"{times:.1f} times the text ({config.budget})"
        )
        for name, (was, now) in moved(self.checkpoint).items():
            say(f"warning: {name} was {was} and is {now}: the run goes on, but its last bits may differ")
        if self.checkpoint.step:
            self.note(f"going on at step {self.checkpoint.step:,} of {self.name}")
        begun = {"step": self.checkpoint.step, "init_from": self.checkpoint.init_from}
        settings = {**network.settings, **asdict(config)}
        sizes = {"chars": len(text.ids), "vocabulary_size": len(text.vocab), "parameters": parameters}
        if self.talks:
            self.progress = Progress(self.checkpoint.step, config.steps)
        self.event("start", model=self.name, corpus=text.sources, **begun, **sizes, **settings)

    def show(self, report: "Report") -> None:
        """Tell of a step or a validation."""
        from charrnn.evaluate import bits
        from charrnn.step import StepReport

        if isinstance(report, StepReport):
            self.chars += report.chars
            if self.progress:
                self.progress.step(report.step, self.checkpoint.train.steps, bits(report.loss), report.chars)
            if report.step % self.every == 0:
                rates = {"lr": report.lr, "grad_norm": report.grad_norm}
                self.event("step", step=report.step, train_nats_per_char=report.loss, **rates)
            if self.previews and self.previews.due(report.step):
                self.preview()
                self.previews.restart()
        elif report.loss is None:
            if self.progress:
                self.progress.validating(report.chars)
        else:
            if self.progress:
                self.progress.validated(report.step, bits(report.train_loss), bits(report.loss), report.best)
            losses = {"train_nats_per_char": report.train_loss, "val_nats_per_char": report.loss}
            self.event("eval", step=report.step, **losses, best=report.best)

    def preview(self) -> None:
        """Show what the network writes by now.

        It draws random numbers of its own and carries a state of its own, so that the run goes on as without it.
        """
        from itertools import islice

        import numpy as np

        from charrnn.config import Stream
        from charrnn.library import Model

        checkpoint, step = self.checkpoint, self.checkpoint.step
        rng = np.random.default_rng([checkpoint.train.seed, step, Stream.PREVIEW])
        characters = Model(checkpoint.model, checkpoint.vocab).continuation("", rng, temperature=0.8)
        text = "".join(islice(characters, PREVIEW))
        if self.progress:
            self.progress.preview(step, text)
        self.event("sample", step=step, text=text)

    def saved(self) -> None:
        """Tell the program of a save; a person need not know."""
        self.event("save", step=self.checkpoint.step, model=self.name)

    def close(self) -> None:
        """Leave the line of the bar."""
        if self.progress:
            self.progress.close(self.checkpoint.train.steps)

    def done(self) -> None:
        """Tell how it ended."""
        from charrnn.evaluate import bits

        best, step, seconds = self.checkpoint.best, self.checkpoint.step, time.perf_counter() - self.begun
        loss = {
            "val_nats_per_char": best.nats if best else None,
            "val_bits_per_char": bits(best.nats) if best else None,
        }
        if self.talks:
            tell_end(self.name, self.checkpoint, seconds, self.chars)
        speed = {"seconds": seconds, "chars_per_second": self.chars / seconds}
        self.event("done", model=self.name, step=step, **loss, **speed)
