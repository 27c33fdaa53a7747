"""Lines that arrive in blocks, handled on all cores: in bulk by one worker process per core, and yielded in order.

Between the steps of a small network most time is spent in the interpreter, so threads would wait for each other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import cycle
from typing import TypeVar

from charrnn.data.lines import grouped
from charrnn.evaluation.lines import CHARS_PER_BATCH
from charrnn.parallel import cores, mpi
from charrnn.parallel.processes import FORKS, Alone, Process, Thread, start_worker
from charrnn.parallel.products import library_call

Result = TypeVar("Result")
Worker = Process | Thread | Alone
LEAST_SHARED = 1 << 17  # characters that arrive at once and are worth sharing


def batch_results(
    arrivals: Iterable[list[str]], task: Callable[[list[str]], Result]
) -> Iterator[tuple[list[str], Result]]:
    """Yield batches of lines with the results of a task, which may not depend on how lines are put into batches.

    Workers share what has arrived together. All of it is yielded before more is waited for, and what is little is
    handled by this process.
    """
    processes = cores.core_count() if FORKS and not mpi.ranks else 1
    with ExitStack() as stack:
        workers = list[Worker]()
        for lines in arrivals:
            chars = sum(map(len, lines))
            if processes == 1 or chars < LEAST_SHARED:
                for batch in grouped(lines, CHARS_PER_BATCH):
                    yield batch, task(batch)
                continue
            if not workers:
                workers = [stack.enter_context(closing(line_worker(task))) for _ in range(processes)]
            rounds = -(-chars // (processes * CHARS_PER_BATCH))
            yield from in_order(grouped(lines, chars // (rounds * processes)), workers)


def line_worker(task: Callable[[list[str]], Result]) -> Worker:
    """Return a worker that runs a task on one core."""

    def on_one_core(lines: list[str]) -> Result:
        with library_call(threads=1):
            return task(lines)

    return start_worker(on_one_core)


def in_order(batches: Iterable[list[str]], workers: Sequence[Worker]) -> Iterator[tuple[list[str], Result]]:
    """Yield batches with their results; a worker has at most one batch at a time."""
    asked = deque[tuple[list[str], Worker]]()
    for batch, worker in zip(batches, cycle(workers), strict=False):
        done = [(before, own.answer()) for before, own in (asked.popleft(),)] if len(asked) == len(workers) else []
        worker.ask(batch)
        asked.append((batch, worker))
        yield from done
    while asked:
        batch, worker = asked.popleft()
        yield batch, worker.answer()
