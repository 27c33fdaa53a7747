"""Measure training on the ranks of MPI beside one process with workers and torch.distributed, and fit a cost model.

    pip install -e '.[bench,mpi]'
    python -m benchmarks.parallel                    # all tables, and docs/machines.svg; six minutes
    python -m benchmarks.parallel --only steps       # one of them: steps, model or machines

A step of n ranks takes

    compute(n, B/n) + latency + bytes / bandwidth

where compute(n, b) is the step of one process with b streams, update included, while n such processes share the cores
and never talk, and latency and bandwidth are fitted to Allreduces of gradients of several sizes. For machines on a
network, one core each, the last two terms are those of a ring (Patarasuk & Yuan 2009), 2 (n - 1) messages of bytes / n,
with the network's own latency and bandwidth. Each figure is the median of the steps of a few seconds, in processes of
their own with one thread of the matrix library each. No way of working together can be faster than processes that never
talk, since cores share caches, memory and the clock.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.core.batches import Batches
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.state import Origin, TrainState, new_run
from charrnn.core.train import train_step
from charrnn.core.vocab import Vocab
from charrnn.parallel import cores, launcher, mpi
from charrnn.parallel.rank_executor import executor
from charrnn.plots.line_plot import line_plot
from charrnn.plots.terminal_chart import Points

ROOT = Path(__file__).parents[1]
V, T, B = 65, 64, 128
HIDDEN = (128, 256, 512)
SECONDS = 4.0  # per figure
MPIEXEC = Path(sys.executable).parent / "mpiexec"
NETWORKS = {"1 Gbit/s": 125e6, "10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}  # bytes per second
TABLES = ("steps", "model", "machines")
LATENCY = 5e-5  # seconds per message, of TCP on such networks
MACHINES = (1, 2, 4, 8, 16, 32, 64)
SIZES = (1 << 10, 1 << 16, 1 << 18, 1 << 20, 1 << 22)  # numbers in an Allreduce


# ---- in a process of its own ----


def a_run(H: int, streams: int, chars: int) -> tuple[TrainState, Batches]:
    """Return a run at step 0 on random text, and its batches."""
    vocab = Vocab.build(np.bincount(np.arange(V) + 32, minlength=0x110000))
    config = TrainConfig(10**6, "", batch_size=streams, seq_len=T, optimizer="adam", lr=1e-3, weight_decay=0)
    ids = np.random.default_rng(0).integers(0, V, chars)
    state = new_run(ModelConfig(V, hidden_size=H), config, vocab, Origin((), "", len(ids)))
    return state, Batches(ids, streams, T, 0)


def timed(step: Callable[[], object], seconds: float = SECONDS) -> float:
    """Repeat a step for some seconds; return the median time."""
    times, began = list[float](), time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def time_steps(H: int, streams: int, threads: int) -> float:
    """Return the seconds of a training step of this process and its workers, or of all ranks."""
    cores.limit = threads
    state, batches = a_run(H, streams, 200_000)
    with closing(executor(state)) as work:
        state.model = work.model
        return timed(lambda: train_step(state, batches, work))


def time_sums(size: int) -> float:
    """Return the seconds of an Allreduce."""
    assert mpi.ranks
    ranks, numbers = mpi.ranks, np.zeros(size, np.float32)

    def step() -> None:
        ranks.ask(add_up, [(size,)] * (ranks.size - 1))
        ranks.sum_up(numbers)
        ranks.busy = False

    return timed(step, 1.0)


def add_up(_: None, size: int) -> None:
    """Take part in an Allreduce."""
    mpi.sum_up(np.zeros(size, np.float32))


def time_gloo(H: int, streams: int, rank: int, ranks: int, meeting: str) -> float:
    """Return the seconds of a step of torch.distributed with gloo, each rank with its share of the streams."""
    import torch

    from benchmarks.peers import TorchRNN

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    state, batches = a_run(H, streams, 200_000)
    network = TorchRNN(state.model)
    share = slice(streams * rank // ranks, streams * (rank + 1) // ranks)
    parameters = list(network.modules.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    carried: Any = None
    done = 0

    def step() -> None:
        nonlocal carried, done
        x, y = (torch.from_numpy(np.ascontiguousarray(ids[:, share])) for ids in batches.batch(done))
        done += 1
        optimizer.zero_grad()
        loss, carried = network.loss(x, y, carried)
        carried = carried.detach()
        loss.backward()
        flat = torch.nn.utils.parameters_to_vector([p.grad for p in parameters])  # one sum, as ours
        torch.distributed.all_reduce(flat)
        torch.nn.utils.vector_to_parameters(flat / ranks, [p.grad for p in parameters])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    steps = max(7, round(SECONDS / max(1e-3, min(timed_once(step), timed_once(step)))))
    times = [timed_once(step) for _ in range(int(agreed(steps)))]
    return statistics.median(times)


def timed_once(step: Callable[[], object]) -> float:
    """Return the seconds of one step."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def agreed(steps: int) -> float:
    """Return the same number of steps on all ranks of torch.distributed."""
    import torch

    number = torch.tensor([float(steps)])
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MIN)
    return float(number)


# ---- from outside ----


def child(ranks: int, *what: object) -> float:
    """Return what a part of this module measures in processes of its own: one, or ranks of MPI."""
    started_by = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    words = [*started_by, sys.executable, "-m", "benchmarks.parallel", "--child", json.dumps(what)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def apart(count: int, H: int, streams: int) -> float:
    """Return the seconds of a step of the slowest of some processes that run at the same time and never talk."""
    with ThreadPoolExecutor(count) as pool:
        return max(pool.map(lambda _: child(1, "steps", H, streams, 1), range(count)))


def gloo(ranks: int, H: int) -> float:
    """Return the seconds of a step of torch.distributed on some ranks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.parallel", "--child"]
        whats = [json.dumps(["gloo", H, B, rank, ranks, f"{folder}/meeting"]) for rank in range(ranks)]
        processes = [
            subprocess.Popen([*words, what], env=environment, stdout=subprocess.PIPE, text=True) for what in whats
        ]
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    return max(float(output.split()[-1]) for output in outputs)


def run_child(what: Sequence[Any]) -> None:
    """Measure one figure and print it."""
    kind, *arguments = what
    measures: dict[str, Callable[..., float]] = {"steps": time_steps, "sums": time_sums, "gloo": time_gloo}
    if kind != "gloo" and launcher.has_launcher():
        mpi.run_on_ranks(lambda: print(measures[kind](*arguments), flush=True))
    else:
        print(measures[kind](*arguments), flush=True)


def table(rows: Iterator[Sequence[object]], *columns: str) -> None:
    """Print a table in Markdown, row by row as it is measured."""
    print("|", " | ".join(columns), "|")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("|", " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row), "|", flush=True)
    print()


def steps_rows() -> Iterator[Sequence[object]]:
    """Yield, for each size, thousands of characters per second of each way, and the ratios that are goals."""
    for H in HIDDEN:
        one, workers, two = child(1, "steps", H, B, 1), child(1, "steps", H, B, 2), child(2, "steps", H, B, 1)
        torch, bound = gloo(2, H), apart(2, H, B // 2)
        rates = [f"{T * B / seconds / 1000:.1f}" for seconds in (one, workers, two, torch, bound)]
        yield H, *rates, *(f"{seconds / two:.2f}" for seconds in (one, workers, torch, bound))


def fit(ranks: int) -> tuple[float, float]:
    """Return latency in seconds and seconds per byte of an Allreduce on this machine."""
    times = [child(ranks, "sums", size) for size in SIZES]
    octets = [4.0 * size for size in SIZES]
    A = np.stack([np.ones(len(SIZES)), octets], axis=1) / np.array(times)[:, None]  # relative errors
    latency, per_byte = np.linalg.lstsq(A, np.ones(len(SIZES)), rcond=None)[0]
    return max(0.0, float(latency)), float(per_byte)


def parameters(H: int) -> int:
    """Return the number of parameters of the network."""
    return len(a_run(H, 1, 1000)[0].model.vector)


def model_rows() -> Iterator[Sequence[object]]:
    """Yield predicted and measured times of a step on 2 and 4 ranks."""
    for n in (2, 4):
        latency, per_byte = fit(n)
        for H in HIDDEN:
            compute = apart(n, H, B // n)
            predicted = compute + latency + 4 * parameters(H) * per_byte
            measured = child(n, "steps", H, B, 1)
            figures = [f"{1000 * seconds:.1f}" for seconds in (compute, predicted, measured)]
            yield n, H, *figures, f"{100 * (predicted / measured - 1):+.0f} %"


def ring(n: int, octets: float, bandwidth: float) -> float:
    """Return the seconds of an Allreduce on n machines."""
    return 2 * (n - 1) * (LATENCY + octets / n / bandwidth)


def gains(H: int) -> dict[str, Points]:
    """Return, for each network, the number of machines and how many times as fast as one they train."""
    compute = {n: child(1, "steps", H, B // n, 1) for n in MACHINES}
    octets = 4.0 * parameters(H)
    return {
        name: [(n, compute[1] / (compute[n] + ring(n, octets, bandwidth))) for n in MACHINES]
        for name, bandwidth in NETWORKS.items()
    }


def machines_rows(found: dict[int, dict[str, Points]]) -> Iterator[Sequence[object]]:
    """Yield, for each size and network, how many times as fast as one machine several are."""
    for H, lines in found.items():
        for name, points in lines.items():
            yield H, name, *(f"{gain:.1f}" for _, gain in points[1:])


def machines_svg(found: dict[int, dict[str, Points]]) -> str:
    """Return the drawing of the gains, with a panel for each size; dashed is n times as fast."""
    ideal = [(float(n), float(n)) for n in MACHINES]
    panels = {
        f"GRU {H}, {B} streams: times as fast as one machine": {name: (line, ideal) for name, line in lines.items()}
        for H, lines in found.items()
    }
    return line_plot(panels, "machines; dashed: n times as fast", [("doublings", "doublings")] * len(panels))


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=TABLES)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return run_child(given.child)
    if "steps" in given.only:
        ways = ("one thread", "two workers", "two ranks", "gloo, two ranks", "two apart")
        table(steps_rows(), "H", *ways, *(f"ranks : {way}" for way in ("one thread", "workers", "gloo", "apart")))
    if "model" in given.only:
        table(model_rows(), "ranks", "H", "compute, ms", "predicted", "measured", "error")
    if "machines" in given.only:
        found = {H: gains(H) for H in HIDDEN}
        table(machines_rows(found), "H", "network", *(f"{n} machines" for n in MACHINES[1:]))
        (ROOT / "docs" / "machines.svg").write_text(machines_svg(found), "utf-8")


if __name__ == "__main__":
    main()
