"""The base class of experiments, and the runs that several of them use."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from charrnn.checkpoint.format import to_bytes
from charrnn.cli import main
from charrnn.core.state import TrainState
from charrnn.core.train import Report, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score
from charrnn.parallel.executor import ParallelExecutor
from tests.helpers.files import copy_of, corpus_of, random_text, tiny_run

NETWORK = ("--hidden-size", 8, "--num-layers", 1, "--embed-size", 8, "--dropout", 0.1)
STOPS = {signal.SIGINT, signal.SIGTERM}
OPTIONS = (*NETWORK, "--batch-size", 4, "--seq-len", 16, "--eval-every", 7)
TEXT = "".join(f"{n % 7} größere fox{'es' * (n % 3)} than {n % 11} hens.\n" for n in range(60))


class UnavailableError(Exception):
    """An experiment needs something that this machine does not have or permit."""


class Experiment:
    """Numbered attempts to make the program lose something; the same number always tries the same."""

    count: int | None = None  # number of different attempts; None is no limit
    figures: dict[str, float]  # the largest values of what was measured

    def __init__(self, folder: Path) -> None:
        self.folder, self.figures = folder, {}

    def attempt(self, number: int) -> str:
        """Try once; return a description of the loss, or an empty string."""
        raise NotImplementedError

    def note(self, name: str, value: float) -> None:
        """Record a measurement; the largest value of each name is kept."""
        self.figures[name] = max(value, self.figures.get(name, value))

    def close(self) -> None:
        """End what is still running."""


def fork() -> int:
    """Fork; return the child's process id, or 0 in the child, where SIGINT has its default action."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # none must reach the child before it is ready
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    return child


def leave(code: int) -> NoReturn:
    """End a forked process immediately, without the clean-up of the interpreter."""
    os._exit(code)


def forked(folder: Path, *args: object, stdout: str = os.devnull, before: Callable[[], object] | None = None) -> int:
    """Run a command in a folder, in a fork that has already imported everything; return its process id.

    Its stderr goes to the file `stderr` there, and its stdout nowhere or to another file. It calls `before` first.
    """
    child = fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        if before:
            before()
        for stream, path in enumerate((os.devnull, stdout, "stderr")):
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
    """Wait for a process; return its exit code, or the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def measured(process: int, seconds: float) -> tuple[int, float, float]:
    """Wait for a process, and kill it after so long; return its exit code, seconds of processor time and megabytes."""
    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(process, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _, status, used = os.wait4(process, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def a_run() -> tuple[Corpus, TrainState, TrainState]:
    """Return a text and a tiny run on it after 5 and after 9 steps, with validations and an unknown symbol."""
    corpus = corpus_of(random_text(300) + "é", min_count=2)
    state = tiny_run(corpus, val_fraction=0.25)
    states = {report.step: copy_of(state) for report in reports(state, corpus) if report.step in (5, 9)}
    return corpus, states[5], states[9]


def reports(state: TrainState, corpus: Corpus) -> Iterator[Report]:
    """Train as the command line does; yield the reports."""
    return train(state, corpus.ids, ParallelExecutor, score)


def completed(state: TrainState, corpus: Corpus) -> bytes:
    """Train a run to its end; return the bytes of its file."""
    for _ in reports(state, corpus):
        pass
    return to_bytes(state)
