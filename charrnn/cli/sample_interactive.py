"""charrnn sample --interactive: prompts that are typed line by line, and what the model writes after each."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

import numpy as np

from charrnn.api.model import Model
from charrnn.cli.eval_characters import write_likeliest
from charrnn.cli.sample_text import known_text
from charrnn.cli.streams import Interrupt, Killed, Output, handle_signals, raise_killed
from charrnn.core.errors import CharRNNError, UsageError
from charrnn.evaluation.characters import likeliest
from charrnn.sampling.constraint_options import ConstraintFactory
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.samples import Piece, SampleOptions, samples
from charrnn.sampling.stops import Stops
from charrnn.terminal.progress import Wait
from charrnn.terminal.streams import columns, say_error

PROMPT = "> "
SLASH = "/"
LIKELIEST = "5"  # characters that /next shows
HELP = """\
TEXT      write what follows the text; //TEXT if it begins with a slash
(empty)   continue the text
/temp X   set the temperature; below 1 safer, above 1 wilder
/retry    write the last part again
/undo     remove the last part
/next N   show the N likeliest next characters
/help     show these lines
Ctrl-C    stop writing
Ctrl-D    end
"""


@dataclass(frozen=True)
class Part:
    """A part that the model wrote: the text before it, the network after that text, and what was written."""

    before: str
    start: PromptState
    written: str = ""
    stop: str = ""  # the text of --stop that ended it, which was not shown

    @property
    def text(self) -> str:
        """The whole text, up to the end of the part."""
        return self.before + self.written + self.stop


class Session:
    """A conversation on a terminal: what was written so far, and the options of what is written next.

    Part n, counted from 0, is sample 0 of the seed plus n.
    """

    def __init__(
        self,
        model: Model,
        options: SampleOptions,
        constraints: ConstraintFactory | None,
        seed: int,
        unknown: str,
        echo: bool,
        output: Output,
    ) -> None:
        self.model, self.vocab, self.options, self.constraints = model, model.vocab, options, constraints
        self.next_seed, self.unknown, self.echo, self.output = seed, unknown, echo, output
        self.parts: list[Part] = []
        self.empty = PromptState(model.network, np.array([self.vocab.start_id]))
        self.commands = {
            "temp": self.set_temperature,
            "retry": self.retry,
            "undo": self.undo,
            "next": self.show_next,
            "help": self.show_help,
        }

    @property
    def text(self) -> str:
        """The text so far."""
        return self.parts[-1].text if self.parts else ""

    def run(self, prompt: str) -> None:
        """Continue a prompt if there is one, then obey typed lines until their end."""
        self.output.note("type a text to continue, or /help; Ctrl-D ends")
        with suppress(ImportError):  # some builds of Python have none: lines can be typed all the same
            import readline  # noqa: F401  # input() then has editing and a history
        if prompt:
            self.attempt(self.begin, prompt)
        while (line := self.typed_line()) is not None:
            self.attempt(self.obey, line)

    def attempt(self, action: Callable[[str], None], text: str) -> None:
        """Do something with a text; an expected failure, or Ctrl-C while it is read, only ends that."""
        try:
            action(text)
        except CharRNNError as error:
            say_error(str(error))
        except KeyboardInterrupt:
            self.output.write("\n")

    def typed_line(self) -> str | None:
        """Return the next line that is typed, None at the end of input. Ctrl-C discards what was typed."""
        with interruptible():
            while True:
                try:
                    return input(PROMPT)
                except KeyboardInterrupt:
                    self.output.write("\n")
                except EOFError:
                    self.output.write("\n")
                    return None

    def obey(self, line: str) -> None:
        """Do what a line says."""
        if line.startswith(SLASH) and not line.startswith(2 * SLASH):
            name, _, value = line[1:].strip().partition(" ")
            if name not in self.commands:
                raise UsageError(f"/{name}: unknown; /help lists what there is, and //{name} is a text")
            self.commands[name](value.strip())
        elif line:
            self.begin(line.removeprefix(SLASH))
        else:
            self.proceed()

    # ---- writing ----

    def begin(self, text: str) -> None:
        """Write what follows a text."""
        text = known_text(self.vocab, text, self.unknown, self.output)
        self.write(Part(text, self.read(self.empty, text)))

    def proceed(self) -> None:
        """Continue the text so far."""
        if not self.parts:
            return self.begin("")
        last = self.parts[-1]
        self.write(Part(last.text, self.read(last.start, last.written + last.stop)))

    def read(self, start: PromptState, text: str) -> PromptState:
        """Return the network after more text."""
        ids = self.vocab.encode(text)
        with interruptible(), Wait("reading the text", len(ids), self.output.quiet) as wait:
            return start.after(ids, wait)

    def write(self, part: Part) -> None:
        """Show the end of the text before a part, write the part until its end or Ctrl-C, and keep it."""
        pieces = self.pieces(part)
        if self.echo:
            self.show_end(part.before)
        written, stops = "", Stops(self.options.stops)
        with Interrupt() as interrupt, closing(pieces):  # type: ignore[type-var]  # a generator
            for piece in takewhile(lambda _: not interrupt.number, pieces):
                text, has_stopped = stops.push(piece.text)
                written += text
                self.output.write(text)
                if has_stopped:
                    break
        if interrupt.number not in (None, signal.SIGINT):
            raise Killed(interrupt.number)
        written += stops.held
        self.output.write(stops.held + "\n" * (not written.endswith("\n")))
        self.parts.append(replace(part, written=written, stop=stops.found))

    def show_end(self, text: str) -> None:
        """Show the last line of a text, as far as it fits."""
        *_, line = text.split("\n")
        self.output.emphasized(line[-columns(sys.stdout) :])
        self.output.flush()

    def pieces(self, part: Part) -> Iterator[Piece]:
        """Return the pieces of a part as they are written; stops are left to the caller, who continues after them."""
        options = replace(self.options, stops=())
        if self.constraints:
            ids = self.vocab.encode(part.before)
            made = partial(self.constraints, ids, ids if self.echo else ids[:0])
            made()  # raises UsageError
            options = replace(options, constraints=made)
        self.next_seed += 1
        return samples(part.start, self.vocab, self.next_seed - 1, 1, options)

    # ---- commands ----

    def set_temperature(self, value: str) -> None:
        """Set the temperature, or show it."""
        if value:
            try:
                temperature = float(value)
            except ValueError as error:
                raise UsageError(f"/temp {value}: must be a number") from error
            self.options = replace(self.options, filters={**self.options.filters, "temperature": temperature})
        self.output.write(f"temperature {self.options.filters['temperature']:g}\n")

    def retry(self, value: str = "") -> None:
        """Write the last part again, with other random numbers."""
        last = self.last_part("/retry")
        self.write(Part(last.before, last.start))
        del self.parts[-2]

    def undo(self, value: str = "") -> None:
        """Remove the last part, and show where the text now ends."""
        self.show_end(self.last_part("/undo").before)
        self.output.write("\n")
        del self.parts[-1]

    def last_part(self, command: str) -> Part:
        """Return the last part; raises UsageError if there is none."""
        if not self.parts:
            raise UsageError(f"{command}: nothing has been written yet")
        return self.parts[-1]

    def show_next(self, value: str) -> None:
        """Show the likeliest next characters, as `charrnn eval --next` does."""
        value = value or LIKELIEST
        if not (re.fullmatch("[0-9]{1,18}", value) and int(value)):
            raise UsageError(f"/next {value}: must be a whole number, 1 or more")
        found = likeliest(self.model.network, [self.vocab.encode(self.text)], self.vocab.start_id, int(value))
        write_likeliest(found, "", self.model, self.output)

    def show_help(self, value: str = "") -> None:
        """Show the commands."""
        self.output.write(HELP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, unless the process was started to ignore it.

    Nothing may be written meanwhile: a write that is interrupted could be repeated.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        handle_signals(raise_killed)
