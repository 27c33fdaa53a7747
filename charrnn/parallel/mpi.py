"""The ranks of an MPI program. Rank 0 runs the command; the others compute what it asks them for, until it ends.

So a command has one path through the code, whatever the number of ranks: rank 0 alone reads texts, writes files and
prints. mpi4py is imported when a launcher has started several ranks, and at no other time.
"""

import atexit
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from charrnn.core.errors import CharRNNError
from charrnn.parallel import cores, launcher
from charrnn.parallel.failure_line import FailureLine
from charrnn.parallel.watch import Gate, Line

if TYPE_CHECKING:
    from charrnn.core.ops import Array

SPINNING_SECONDS = 2e-3  # how long a wait only offers its core to others; then it sleeps
LONGEST_NAP = 5e-3  # seconds
FINALIZE_SECONDS = 20  # all ranks are idle then
KEPT = 8  # values that every rank keeps for later requests
ASK, ANSWER = 1, 2  # tags of messages

ranks: "Ranks | None" = None  # on rank 0 of several


def rank_count() -> int:
    """Return the number of ranks that compute for this process, itself included."""
    return ranks.size if ranks else 1


def run_on_ranks(command: Callable[[], object]) -> object:
    """Run a command on rank 0, and on the other ranks what it asks for.

    Raises CharRNNError where mpi4py is missing, or where MPI does not know of the ranks that the launcher has started.
    """
    global ranks
    size, rank = launcher.launched()
    if rank:
        follow(size, rank)
    failure = FailureLine()
    atexit.register(failure.end)  # after the command has reported its own failure, if any
    world = connect(size)
    name = share_cores(world, rank)
    gate = Gate(size, failure)
    world.bcast((gate.addresses, gate.secrets))
    gate.accept()
    gate.watch(world.gather(name))
    ranks = Ranks(world, gate)
    atexit.register(ranks.close)  # not before that report: when other ranks fail, mpiexec kills this one
    try:
        return command()
    except Exception:
        if not gate.gone:
            raise
        sys.exit(1)  # `failure` writes the line


def follow(size: int, rank: int) -> NoReturn:
    """Be another rank than rank 0 until the end."""
    try:
        world = connect(size)
    except CharRNNError:
        sys.exit(1)  # rank 0 reports it
    name = share_cores(world, rank)
    addresses, secrets = world.bcast(None)
    line = Line(addresses, secrets, rank)
    world.gather(name)
    serve(world, line)


def connect(size: int) -> Any:
    """Start MPI and return the communicator of all ranks."""
    try:
        import mpi4py
    except ImportError as error:
        raise CharRNNError(
            f"started as {size} ranks, which needs the extra `mpi`: pip install 'charrnn-numpy[mpi]', on every machine"
        ) from error
    mpi4py.rc.thread_level, mpi4py.rc.finalize = "funneled", False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a launcher that MPI does not know: see below
            from mpi4py import MPI
        world = MPI.COMM_WORLD
    except (ImportError, RuntimeError) as error:
        raise CharRNNError(f"mpi4py finds no MPI library: pip install 'charrnn-numpy[mpi]' ({error})") from error
    if world.size != size:
        raise CharRNNError(
            f"the launcher has started {size} ranks, but MPI knows of {world.size}: use the mpiexec of the MPI library "
            "that mpi4py uses, or srun --mpi=pmi2; for independent commands use job arrays"
        )
    return world


def host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


def share_cores(world: Any, rank: int) -> str:
    """Divide the cores among the ranks that may use the same ones as this one; return the name of this rank."""
    here = host(), sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores.sharing = int(world.allgather(here).count(here))
    return f"rank {rank} on {host()}"


class Ranks:
    """Rank 0's view of all ranks: it asks each of them to run a function, and itself too."""

    def __init__(self, world: Any, gate: Gate) -> None:
        self.world, self.gate, self.size = world, gate, int(world.size)
        self.kept: dict[int, Any] = {}  # by key; the oldest first
        self.next_key = 0
        self.busy = False  # an answer is missing: the other ranks may be in the middle of something

    def call(self, function: Callable[..., Any], shares: Sequence[tuple[Any, ...]], keep: Any = None) -> list[Any]:
        """Run function(keep, *share) on each rank with its share of the arguments; return the results by rank.

        `keep` is sent once and may be large; a rank without it gets none. Raises what the function raised on a rank.
        """
        self.ask(function, shares[1:], keep, answers=True)
        try:
            results = [function(keep, *shares[0])]
        except Exception as error:
            results = [error]
        results += [pickle.loads(self.receive(rank)) for rank in range(1, self.size)]
        self.busy = False
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def ask(
        self, function: Callable[..., Any], shares: Sequence[tuple[Any, ...]], keep: Any = None, answers: bool = False
    ) -> None:
        """Ask the other ranks to run function(keep, *share), and to answer or not; this does not wait for answers."""
        self.busy = True
        key, value = self.key_of(keep)
        for rank, share in enumerate(shares, 1):
            self.send(rank, (function, key, value, share, answers))

    def key_of(self, keep: Any) -> tuple[int | None, bytes | None]:
        """Return the key under which the ranks keep a value, and the value itself if they have not got it yet."""
        if keep is None:
            return None, None
        for key, value in self.kept.items():
            if value is keep:
                return key, None
        self.next_key += 1
        self.kept[self.next_key] = keep
        drop_oldest(self.kept)
        return self.next_key, pickle.dumps(keep, pickle.HIGHEST_PROTOCOL)

    def send(self, rank: int, request: tuple[Any, ...]) -> None:
        """Send a request; it is unpacked only after the number of cores is set, since it imports numpy."""
        setting = cores.limit, os.environ.get("OPENBLAS_NUM_THREADS")
        self.wait(self.world.isend((*setting, pickle.dumps(request, pickle.HIGHEST_PROTOCOL)), rank, ASK))

    def receive(self, rank: int) -> bytes:
        """Return the answer of a rank."""
        return bytes(arrived(self.world, rank, ANSWER, self.check).recv())

    def sum_up(self, numbers: "Array") -> None:
        """Sum up numbers, as the function of that name does; raises CharRNNError when a rank has died."""
        sum_up(numbers, self.check)

    def wait(self, request: Any) -> None:
        """Wait for an operation of MPI; raises CharRNNError when a rank has died."""
        wait(request, self.check)

    def check(self) -> None:
        """Raise CharRNNError if a rank has died."""
        if self.gate.gone:
            raise CharRNNError(self.gate.gone)

    def close(self) -> None:
        """End the other ranks: by a request if they are waiting for one, else by the end of this process.

        In the second case mpiexec may kill this process as soon as another rank has ended, so none ends before it.
        """
        self.gate.ending.set()
        if self.busy or self.gate.gone:
            return
        for rank in range(1, self.size):
            self.send(rank, (None,) * 5)
        self.gate.close()
        finalize()


def serve(world: Any, line: Line) -> NoReturn:
    """Run what rank 0 asks for until it ends. Signals are its business: it decides when all ranks end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kept: dict[int, Any] = {}
    while True:
        cores.limit, product_threads, data = arrived(world, 0, ASK).recv()
        cores.limit_product_threads(int(product_threads or 1))
        answers = False
        try:
            function, key, value, share, answers = pickle.loads(data)  # fails where another version is installed
            if function is None:
                break
            if value is not None:
                kept[key] = pickle.loads(value)
                drop_oldest(kept)
            result = pickle.dumps(function(kept.get(key), *share), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            if not answers:
                line.report(error)
            result = pickle.dumps(error)
        if answers:
            wait(world.isend(result, 0, ANSWER))
    finalize()
    sys.exit(0)


def drop_oldest(kept: dict[int, Any]) -> None:
    """Remove the oldest value from more than KEPT; all ranks do the same."""
    if len(kept) > KEPT:
        del kept[min(kept)]


def sum_up(numbers: "Array", check: Callable[[], None] | None = None) -> None:
    """Replace numbers by the sum of those of all ranks, which all call this at the same point."""
    from mpi4py import MPI

    wait(MPI.COMM_WORLD.Iallreduce(MPI.IN_PLACE, numbers), check)


def finalize() -> None:
    """End MPI, together with all other ranks; this waits for all of them, so it ends by force if one is lost."""
    from mpi4py import MPI

    timer = threading.Timer(FINALIZE_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    MPI.Finalize()
    timer.cancel()


def wait(request: Any, check: Callable[[], None] | None = None) -> None:
    """Wait for an operation of MPI."""
    until(request.Test, check)


def arrived(world: Any, rank: int, tag: int, check: Callable[[], None] | None = None) -> Any:
    """Wait for a message and return it."""
    return until(partial(world.improbe, rank, tag), check)


def until(found: Callable[[], Any], check: Callable[[], None] | None) -> Any:
    """Return the first true result of a function. MPI's own waiting would take a core from ranks that compute.

    `check` is called in between, and may raise an exception.
    """
    began = time.perf_counter()
    while not (result := found()):
        if check:
            check()
        waited = time.perf_counter() - began
        time.sleep(min(waited / 20, LONGEST_NAP) if waited > SPINNING_SECONDS else 0)
    return result
