"""charrnn eval --lines: the score of each line, and a filter that passes on the unusual ones."""

import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from charrnn.api.model import Model
from charrnn.cli.eval_inputs import note_unknown, open_texts
from charrnn.cli.eval_texts import bits_column, model_columns, score_record
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.data.ignoring import in_own_text
from charrnn.data.lines import arrivals
from charrnn.evaluation.anomaly import Figure, Span, named_figure, odd_spans
from charrnn.evaluation.line_workers import batch_results
from charrnn.evaluation.lines import LineScore, LineScorer, full_nats
from charrnn.terminal.marks import marked_line
from charrnn.terminal.progress import Wait
from charrnn.terminal.streams import has_color
from charrnn.training.durations import duration

DEFAULT_RATE = "1/1000"
FOUND = 3  # the exit code with --exit-code if a line was passed on
QUANTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}  # of a summary


@dataclass
class Filter:
    """Which lines are passed on, and with how many lines of context; it counts them."""

    figure: Figure
    threshold: float | None = None
    below: bool = False
    context: int = 0
    passed: int = 0

    def passes(self, value: float | None) -> bool:
        """Return whether a line with this figure is passed on; one without a figure is not."""
        if self.threshold is None or value is None:
            return self.threshold is None
        passes = value < self.threshold if self.below else value > self.threshold
        self.passed += passes
        return passes


@dataclass(frozen=True)
class ScoredLine:
    """A line without its newline, its number in its text, and its scores and figures, one of each per model."""

    text: str
    number: int
    found: Sequence[LineScore]
    values: Sequence[float | None]


def score_lines(
    names: Sequence[str],
    models: Sequence[Model],
    output: Output,
    wanted: Filter,
    ignore: Sequence[str] | None,
    summary: str | None,
) -> bool:
    """Write one row per line, with a threshold only the lines that pass, as they are, or a summary of the lines.

    Return whether a line has passed a threshold.
    """
    found = patterns(models, names, ignore)
    scorers = [LineScorer(model.network, model.vocab, own) for model, own in zip(models, found, strict=True)]
    if len(models) > 1 and not summary:
        output.head(*model_columns(models), "line")
    for name, blocks in open_texts(names, models[0], output):
        every = period(summary) if summary else None
        writer = Summary(name, output, wanted, *every) if every else Writer(name, models, scorers, output, wanted)
        unknown = [0 for _ in models]
        quiet = output.quiet or output.to_terminal  # lines on the terminal are a sign of life
        with Wait(name, blocks.expected, quiet) as wait:
            for line in scored_lines(blocks, LineTask(scorers, wanted.figure)):
                unknown = [count + each.score.unknown for count, each in zip(unknown, line.found, strict=True)]
                writer.line(line)
                wait(len(line.text) + 1)
        if isinstance(writer, Summary):
            writer.row()
        note_unknown(output, name, unknown, models)
    return wanted.passed > 0


def patterns(models: Sequence[Model], names: Sequence[str], given: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Return what each model ignores: the patterns that were given, else its own; empty ones are none.

    Without names of texts they read the text of the first model, in which its patterns have been replaced.
    """
    if given is not None:
        return [tuple(filter(None, given))] * len(models)
    if names:
        return [model.origin.ignore for model in models]
    first = models[0].origin.ignore
    own = in_own_text(first)
    return [own if model.origin.ignore in ((), first) else (*own, *model.origin.ignore) for model in models]


@dataclass(frozen=True)
class LineTask:
    """Called with lines, it returns the scores of each by each model, and the same of the figures."""

    scorers: Sequence[LineScorer]
    figure: Figure

    def __call__(self, lines: list[str]) -> tuple[list[list[LineScore]], list[list[float | None]]]:
        """Return scores and figures, a list per model; equal lines share one score, whose figure is computed once."""
        columns = [scorer.scores(lines) for scorer in self.scorers]
        return columns, [self.figures(column) for column in columns]

    def figures(self, found: Sequence[LineScore]) -> list[float | None]:
        """Return the figures of lines."""
        different = {id(each): each for each in found}.items()
        value = {key: self.figure.value(each.losses, each.score.chars + each.score.unknown) for key, each in different}
        return [value[id(each)] for each in found]


def scored_lines(blocks: Iterable[str], task: LineTask) -> Iterator[ScoredLine]:
    """Yield the lines of a text with their scores by each model."""
    number = 0
    for lines, (columns, figures) in batch_results(arrivals(blocks), task):
        for text, found, values in zip(lines, zip(*columns, strict=True), zip(*figures, strict=True), strict=True):
            number += 1
            yield ScoredLine(text.removesuffix("\n"), number, found, values)


@dataclass
class Writer:
    """Writes the lines of a text that pass."""

    name: str
    models: Sequence[Model]
    scorers: Sequence[LineScorer]
    output: Output
    wanted: Filter
    before: deque[ScoredLine] = field(init=False)  # the last lines, of which none has been written
    in_color: bool = field(default_factory=lambda: has_color(sys.stdout))
    after: int = 0  # lines that are still to be written after one that has passed
    last: int = 0  # the number of the last line that was written

    def __post_init__(self) -> None:
        self.before = deque(maxlen=min(self.wanted.context, sys.maxsize))

    def line(self, line: ScoredLine) -> None:
        """Write a line if it passes or is near to one that does."""
        if self.wanted.threshold is None:
            self.row(line)
        elif self.wanted.passes(line.values[0]):
            for earlier in self.before:
                self.plain(earlier)
            self.before.clear()
            if self.output.json:
                self.records(line)
            else:
                self.plain(line, self.marks(line))
            self.after = self.wanted.context
        elif self.after:
            self.after -= 1
            self.plain(line)
        elif self.wanted.context:
            self.before.append(line)

    def plain(self, line: ScoredLine, spans: Sequence[Span] = ()) -> None:
        """Write a line as it is, its odd parts marked if there are colours; `--` after a gap, as grep does."""
        if self.wanted.context and 0 < self.last < line.number - 1:
            self.output.write("--\n")
        self.last = line.number
        self.marked("", line.text, spans)

    def marked(self, columns: str, text: str, spans: Sequence[Span]) -> None:
        """Write a line after other columns, with marks."""
        if spans:
            self.output.raw(f"{columns}{marked_line(text, spans)}\n")
            self.output.flush()
        else:
            self.output.write(f"{columns}{text}\n")

    def row(self, line: ScoredLine) -> None:
        """Write the row of a line, or one object per model."""
        if self.output.json:
            return self.records(line)
        is_mean, pairs = self.wanted.figure.name == "mean", zip(line.found, line.values, strict=True)
        figures = [bits_column(each.score) if is_mean else figure_column(value) for each, value in pairs]
        best = [self.models[self.best(line)].name] if len(self.models) > 1 else []
        self.output.write_names()
        self.marked(self.output.joined([*figures, *best, ""]), line.text, self.marks(line))

    def records(self, line: ScoredLine) -> None:
        """Write the object of a line, one per model."""
        is_mean = self.wanted.figure.name == "mean"
        for k, (model, each) in enumerate(zip(self.models, line.found, strict=True)):
            record = score_record(self.name, str(model.path), each.score, line.text)
            record |= {} if is_mean else {"score_bits": line.values[k]}
            record |= {"line_number": line.number, "spans": [list(span) for span in self.spans(line, k)]}
            self.output.record(record | ({"best": k == self.best(line)} if len(self.models) > 1 else {}))

    def best(self, line: ScoredLine) -> int:
        """Return which model predicts a line best, with all characters counted."""
        pairs = zip(self.models, line.found, strict=True)
        nats = [full_nats(model.vocab, each.score, each.replaced) for model, each in pairs]
        return nats.index(min(nats))

    def marks(self, line: ScoredLine) -> list[Span]:
        """Return what to mark in a line: nothing without colours."""
        return self.spans(line, 0) if self.in_color else []

    def spans(self, line: ScoredLine, k: int) -> list[Span]:
        """Return the odd parts of a line by model k, as places in the line; its newline is the one after its end.

        A line that the model reads in another Unicode form has none, since its places are others.
        """
        ignore, found = self.scorers[k].ignore, odd_spans(line.found[k].losses)
        text = self.models[k].vocab.normalized(line.text)
        if text != line.text:
            return []
        if not (ignore and found):
            return found
        places = [*ignore.positions(text), (len(text), len(text) + 1)]
        return [(places[start][0], places[end - 1][1], bits) for start, end, bits in found]


def figure_column(value: float | None) -> str:
    """Return a figure as a column, a dash if there is none."""
    return "-" if value is None else f"{value:.4f}"


# ---- the summary ----


@dataclass
class Summary:
    """Writes quantiles of the figures of every N lines, or of the lines that arrive in each period of time."""

    name: str
    output: Output
    wanted: Filter
    lines: int  # 0 for a period
    seconds: float
    values: list[float | None] = field(default_factory=list)
    first: int = 1
    began: float = field(default_factory=time.monotonic)

    def line(self, line: ScoredLine) -> None:
        """Add a line; write a row when it is time."""
        if self.seconds and time.monotonic() - self.began >= self.seconds:
            self.row()
        self.values.append(line.values[0])
        if len(self.values) == self.lines:
            self.row()

    def row(self) -> None:
        """Write the row of the lines since the last one, if there are any."""
        if self.values:
            known = [value for value in self.values if value is not None]
            figures = dict.fromkeys(QUANTILES) | ({} if not known else quantiles(known))
            passed = {} if self.wanted.threshold is None else {"passed": sum(map(self.wanted.passes, self.values))}
            row: dict[str, Any] = {"line_number": self.first, "lines": len(self.values), **figures, **passed}
            if self.output.json:
                self.output.record({"text": self.name, **row})
            else:
                columns = [figure_column(value) if name in QUANTILES else str(value) for name, value in row.items()]
                self.output.row(*columns, self.name)
        self.first += len(self.values)
        self.values, self.began = [], time.monotonic()


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the quantiles of figures by name."""
    return dict(zip(QUANTILES, np.percentile(values, [*QUANTILES.values()]).tolist(), strict=True))


def period(every: str) -> tuple[int, float]:
    """Return the lines or the seconds of --summary: 1000 or 1h."""
    if re.fullmatch("[0-9]{1,18}", every) and int(every):
        return int(every), 0.0
    return 0, duration(every, "--summary")


# ---- the threshold ----


def line_filter(score: str | None, threshold: str | None, model: Model, below: bool, context: int) -> Filter:
    """Return which lines to pass on; raises UsageError for an unknown score and for a wrong rate."""
    rate = given_rate(threshold) if threshold is not None else None
    figure = named_figure(score or ("mean" if rate is None else "peak"))
    if threshold is None or rate is None:
        return Filter(figure, None if threshold is None else float(threshold), below, context)
    return Filter(figure, model.threshold(rate, figure.name), below, context)


def given_rate(threshold: str) -> float | None:
    """Return the rate of alarms of `auto` or `auto:RATE`, None for a number; raises UsageError for a wrong one."""
    kind, _, text = threshold.partition(":")
    if kind != "auto":
        return None
    try:
        rate = float(Fraction(text or DEFAULT_RATE))
    except (ValueError, ZeroDivisionError, OverflowError):
        rate = 0.0
    if not 0 < rate < 1:
        raise UsageError(f"--threshold {threshold}: must be auto:RATE with a rate such as 1/1000 or 0.001")
    return rate
