"""What an experiment is, and the runs that several of them start from."""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.cli import main
from charrnn.corpus import Corpus
from charrnn.train import train
from tests.helpers.files import copy_of, corpus_of, random_text, tiny_run

NETWORK = ("--hidden-size", 8, "--num-layers", 1, "--embed-size", 8, "--dropout", 0.1)
STOPS = {signal.SIGINT, signal.SIGTERM}
OPTIONS = (*NETWORK, "--batch-size", 4, "--seq-len", 16, "--eval-every", 7)
TEXT = "".join(f"{n % 7} größere fox{'es' * (n % 3)} than {n % 11} hens.\n" for n in range(60))


class UnavailableError(Exception):
    """An experiment needs what this machine does not have, or does not permit."""


class Experiment:
    """Attempts to make the program lose something, by their numbers, each of which always tries the same thing."""

    count: int | None = None  # attempts there are; None is any number
    figures: dict[str, float]  # measured on the way, of which the largest are told

    def __init__(self, folder: Path) -> None:
        self.folder, self.figures = folder, {}

    def attempt(self, number: int) -> str:
        """Try once; return what was lost, or nothing."""
        raise NotImplementedError

    def note(self, name: str, value: float) -> None:
        """Keep a figure if it is the largest of its name."""
        self.figures[name] = max(value, self.figures.get(name, value))

    def close(self) -> None:
        """End what is under way."""


def fork() -> int:
    """Fork; the child has the default streams of nobody: what it says is lost unless it is sent elsewhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the child is to meet none before it is ready
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    return child


def leave(code: int) -> NoReturn:
    """End a forked process at once, without what the interpreter does at its end."""
    os._exit(code)


def forked(folder: Path, *args: object) -> int:
    """Run a command in a folder, in a process of its own that has imported everything; return the process.

    What it says goes to `stderr` there, and what it writes nowhere.
    """
    child = fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        for stream, path in enumerate((os.devnull, os.devnull, str(folder / "stderr"))):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["charrnn", *map(str, args)]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        leave(code)


def ended(process: int) -> int:
    """Wait for a process; return its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def a_run() -> tuple[Corpus, Checkpoint, Checkpoint]:
    """A text, and the tiny run on it after 5 and after 9 steps, with validations and an unknown symbol."""
    corpus = corpus_of(random_text(300) + "é", min_count=2)
    checkpoint = tiny_run(corpus, val_fraction=0.25)
    states = {report.step: copy_of(checkpoint) for report in train(checkpoint, corpus.ids) if report.step in (5, 9)}
    return corpus, states[5], states[9]


def gone_on(checkpoint: Checkpoint, corpus: Corpus) -> bytes:
    """Train a checkpoint to its end; return the file that this gives."""
    for _ in train(checkpoint, corpus.ids):
        pass
    return to_bytes(checkpoint)
