"""Measure training, sampling, scoring, start-up and memory beside PyTorch's in one run, and print README's tables.

    pip install -e '.[bench]'
    python -m benchmarks.speed                      # every table
    python -m benchmarks.speed --only training      # or some: training, step, memory, sampling, scoring, start, scale

Before a network is timed, PyTorch's own module is given the same weights, and both must find the same loss and the same
gradients. Then whole training steps of both (forward, backward, clipping, Adam) are timed in alternation, each with
one core and with two, and the better count of each is taken. What counts are ratios of medians of one run: machines
differ, and one machine differs from hour to hour. PyTorch is
imported late, so that what measures charrnn's memory is free of it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import threads
from charrnn.cells import CELLS
from charrnn.checkpoint import Checkpoint
from charrnn.cli.streams import Output
from charrnn.cli.watch import Watch
from charrnn.config import ModelConfig, TrainConfig
from charrnn.corpus import Corpus, Streams
from charrnn.evaluate import score_ids
from charrnn.export import torch_arrays
from charrnn.ops import Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.optim import OPTIMIZERS, clip_by_global_norm, update
from charrnn.sampling import Wish, samples
from charrnn.sampling.filters import Settings
from charrnn.step import Workspace, gradients, train_step
from charrnn.terminal import Progress
from charrnn.train import new_run, train
from charrnn.vocab import Vocab

Step = Callable[[], object]
V, D = 65, 64
ROUNDS, SECONDS = 9, 0.5  # a round times every program for about so long, one after the other


@dataclass(frozen=True)
class Case:
    """A network and its batch."""

    cell: str
    H: int
    B: int
    T: int
    L: int = 1

    def __str__(self) -> str:
        return f"{self.cell.upper()} {f'{self.L} x ' if self.L > 1 else ''}{self.H}, B = {self.B}, T = {self.T}"

    @property
    def model(self) -> ModelConfig:
        """The network."""
        return ModelConfig(V, self.cell, hidden_size=self.H, num_layers=self.L, embed_size=D)

    @property
    def flops(self) -> float:
        """Multiplications and additions of the equations: two for a weight and character forward, twice that back.

        A step does without some: the first layer's W_xh meets each symbol once (a tenth of all, for an LSTM of 512).
        """
        G = CELLS[self.model.recurrence].gates
        inputs = [D, *[self.H] * (self.L - 1)]
        weights = sum(G * self.H * (self.H + size) for size in inputs) + V * self.H
        return 6.0 * weights * self.B * self.T


CELLS_TIMED = [
    Case(cell, *size) for cell in ("rnn", "lstm", "gru") for size in ((128, 50, 50), (256, 64, 64), (512, 64, 64))
]
DEFAULT, LARGE = Case("gru", 256, 32, 64, 2), Case("lstm", 512, 128, 64)


# ---- what is timed ----


def run_of(case: Case, windows: int = 50, **settings: Any) -> tuple[Checkpoint, Ids]:
    """Return a run at step 0 on random symbols, and their ids."""
    ids = np.random.default_rng(0).integers(0, V, windows * case.B * case.T).astype(np.uint8)
    corpus = Corpus(ids, Vocab(np.arange(33, 33 + V, dtype=np.uint32)), ("random",), "", ())
    plain = TrainConfig(
        2**52, "", case.B, case.T, optimizer="adam", schedule="constant", warmup=0, weight_decay=0, val_fraction=0
    )
    return new_run(case.model, replace(plain, lr=1e-3, **settings), corpus), ids


def our_step(case: Case, cores: int, **settings: Any) -> Step:
    """Return a training step of charrnn with so many cores: the one that `charrnn train` takes."""
    threads.limit = cores
    checkpoint, ids = run_of(case, **settings)
    streams, work = Streams(ids, case.B, case.T, 0), Workspace(checkpoint)

    def step() -> None:
        threads.limit = cores
        train_step(checkpoint, streams, work)

    return step


def their_step(case: Case, cores: int) -> Step:
    """Return a training step of PyTorch with so many cores."""
    from benchmarks import peers

    checkpoint, ids = run_of(case)
    x, y = Streams(ids, case.B, case.T, 0).batch(0)
    torch_step = peers.training(checkpoint.model, x, y)

    def step() -> None:
        torch_threads(cores)
        torch_step()

    return step


def must_agree(case: Case) -> None:
    """Exit unless both find the same loss and gradients for the same weights and window, to five digits."""
    import torch

    from benchmarks import peers

    checkpoint, ids = run_of(case)
    model, (x, y) = checkpoint.model, Streams(ids, case.B, case.T, 0).batch(0)
    cache, grads = model.cache(*x.shape), {name: np.zeros_like(W) for name, W in model.params.items()}
    logits, _ = model.forward(x, model.zero_state(case.B), cache)
    loss = cross_entropy_forward(logits, y).mean()
    model.backward(cross_entropy_backward(logits, y, y.size), x, cache, grads)
    network = peers.TorchRNN(model)
    their_loss, _ = network.loss(torch.from_numpy(x), torch.from_numpy(y), None)
    their_loss.backward()
    theirs, ours = network.gradients(), torch_arrays(grads, case.model)
    scale = max(np.abs(grad).max() for grad in theirs.values())
    gradients = {name: np.abs(ours[name] - theirs[name]).max() / scale for name in ours if "bias_hh" not in name}
    off = {**gradients, "loss": abs(loss / their_loss.item() - 1)}
    if max(off.values()) > 1e-5:
        raise SystemExit(f"speed.py: {case}: charrnn and PyTorch differ: {off}")


# ---- how it is timed ----


def seconds(programs: Mapping[Any, Step]) -> dict[Any, float]:
    """Time programs in alternation; return the median seconds of a call of each."""
    repeats = {}
    for name, program in programs.items():
        program()  # warms up
        began = time.perf_counter()
        program()
        repeats[name] = max(1, round(SECONDS / (time.perf_counter() - began)))
    times: dict[Any, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            time.sleep(0.02)  # threads of the other one that still wait for work give up
            began = time.perf_counter()
            for _ in range(repeats[name]):
                program()
            times[name].append((time.perf_counter() - began) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def sgemm_peak(cores: int) -> float:
    """Return this machine's FLOP/s: the best of ten products of 2048 x 2048 matrices of 32-bit numbers."""
    from threadpoolctl import threadpool_limits

    A, B = np.random.default_rng(0).standard_normal((2, 2048, 2048), np.float32)
    with threadpool_limits(cores, "blas"):
        return 2.0 * 2048**3 / min(seconds_of(lambda: A @ B) for _ in range(10))


def seconds_of(program: Step) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    program()
    return time.perf_counter() - began


def counts() -> list[int]:
    """Return the numbers of cores to try: one, and all."""
    return sorted({1, threads.cores()})


# ---- the tables ----


def training() -> Iterator[Sequence[str]]:
    """Time training steps of both."""
    yield "training step", "charrnn", "PyTorch", "ratio", "of the SGEMM peak"
    peak, ratios = sgemm_peak(max(counts())), []
    for case in [*CELLS_TIMED, DEFAULT, LARGE]:
        must_agree(case)
        threads.limit = None
        programs = {("ours", n): our_step(case, n) for n in counts()} | {
            ("theirs", n): their_step(case, n) for n in counts()
        }
        times = seconds(programs)
        ours, theirs = best(times, "ours"), best(times, "theirs")
        if case in CELLS_TIMED:
            ratios.append(theirs[0] / ours[0])
        rates = [f"{case.B * case.T / t / 1e3:.1f}k/s, {n} core{'s' * (n > 1)}" for t, n in (ours, theirs)]
        yield str(case), *rates, f"{theirs[0] / ours[0]:.2f}", f"{case.flops / ours[0] / peak:.0%}"
    yield "geometric mean of the nine", "", "", f"{statistics.geometric_mean(ratios):.2f}", f"{peak / 1e9:.0f} GFLOP/s"


def step() -> Iterator[Sequence[str]]:
    """Time what `charrnn train` does with everything on beside the bare core, which does the same step each time."""
    yield "a training step", "charrnn", "ratio"
    checkpoint, ids = run_of(DEFAULT)
    work = Workspace(checkpoint)
    x, y = Streams(ids, DEFAULT.B, DEFAULT.T, 0).batch(0)
    vector, optimizer = checkpoint.model.vector, OPTIMIZERS["adam"]

    def core() -> None:
        gradients(checkpoint, x, y, y.size, work)
        gradient, *others = work.gradients
        for other in others:
            gradient += other
        clip_by_global_norm(gradient, 1.0)
        update(optimizer, vector, gradient, checkpoint.slots, 1e-3, 1)

    noisy, ids = run_of(DEFAULT, dropout=0.1)
    reports, watch = train(noisy, ids), Watch("speed", noisy, Output(), talks=True)
    watch.progress = Progress(0, noisy.train.steps)
    times = seconds({"core": core, "all": lambda: watch.show(next(reports))})
    watch.close()
    rates = {name: f"{DEFAULT.B * DEFAULT.T / t / 1e3:.1f}k/s" for name, t in times.items()}
    yield f"{DEFAULT}: forward, backward, clipping, Adam", rates["core"], "1"
    yield "with dropout, batches, carried state, events, bar", rates["all"], f"{times['core'] / times['all']:.2f}"


def memory() -> Iterator[Sequence[str]]:
    """Measure the peak memory of three training steps in a process of their own."""
    yield "peak memory of a training step", "charrnn", "PyTorch", "ratio"
    for case in (*CELLS_TIMED, DEFAULT):
        ours, theirs = (peak_memory(whose, case) for whose in ("ours", "theirs"))
        yield str(case), f"{ours / 1e6:.0f} MB", f"{theirs / 1e6:.0f} MB", f"{ours / theirs:.2f}"


def peak_memory(whose: str, case: Case) -> int:
    """Return the largest resident memory, in bytes, of a process that takes three steps."""
    size = map(str, (case.cell, case.H, case.B, case.T, case.L))
    command = [sys.executable, "-m", "benchmarks.speed", "--peak", whose, *size]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="ascii").stdout)


def take_three_steps(whose: str, cell: str, *size: str) -> None:
    """Take three steps and print the largest resident memory of this process and its workers in bytes."""
    program = (our_step if whose == "ours" else their_step)(Case(cell, *map(int, size)), max(counts()))
    for _ in range(3):
        program()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
    print(sum(map(high_water, ["self", *children])))


def high_water(process: str) -> int:
    """Return the largest resident memory of a process so far, in bytes: on Linux, and what it shares is counted too.

    Not that of getrusage, which a program inherits from the one that started it.
    """
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def sampling() -> Iterator[Sequence[str]]:
    """Time the writing of samples side by side, plain and with filters."""
    from benchmarks import peers

    yield "writing samples", "charrnn", "PyTorch", "ratio", "with --top-p 0.9, to plain"
    checkpoint, _ = run_of(Case("gru", 256, 1, 1))
    for B, length in ((1, 5000), (64, 1500)):

        def written(cores: int, filters: Settings, B: int = B, length: int = length) -> None:
            prompt, wish = np.zeros(1, np.int64), Wish(length, filters)
            for _ in samples(checkpoint.model, checkpoint.vocab, prompt, 1, B, wish, cores):
                pass

        def torch_written(cores: int, B: int = B, length: int = length) -> None:
            torch_threads(cores)
            for _ in islice(peers.sampling(checkpoint.model, B, 0.8), length):
                pass

        plain, filtered = {"temperature": 0.8}, {"temperature": 0.8, "top_p": 0.9}
        programs: dict[Any, Step] = {("theirs", n): partial(torch_written, n) for n in counts()}
        programs |= {("plain", n): partial(written, n, plain) for n in counts()}
        programs |= {("filtered", n): partial(written, n, filtered) for n in counts()}
        times = seconds(programs)
        ours, top_p, theirs = (best(times, who)[0] for who in ("plain", "filtered", "theirs"))
        rates = [f"{B * length / t / 1e3:.1f}k/s" for t in (ours, theirs)]
        yield f"GRU 256, {B} at once", *rates, f"{theirs / ours:.1f}", f"{ours / top_p:.2f}"


def torch_threads(cores: int) -> None:
    """Let PyTorch use so many cores."""
    import torch

    torch.set_num_threads(cores)


def best(times: Mapping[tuple[str, int], float], who: str) -> tuple[float, int]:
    """Return the shortest time of a program, and with how many cores."""
    return min((t, n) for (name, n), t in times.items() if name == who)


def start() -> Iterator[Sequence[str]]:
    """Time the start of commands beside that of the packages they are made of, as in a shell of a user."""
    yield "start", "milliseconds", "to"
    foreign = {"PYTHONDONTWRITEBYTECODE", *(f"{library}_THREADS" for library in threads.LIBRARIES)}
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder, "model.npz"))
        charrnn = [sys.executable, "-c", "from charrnn.__main__ import main; main()"]  # as the installed script does
        subprocess.run([*charrnn, "train", "--steps", "1", "-q", "-m", model], check=True, stdout=subprocess.DEVNULL)
        commands = {
            "import typer": [sys.executable, "-c", "import typer"],
            "charrnn --help": [*charrnn, "--help"],
            "import numpy, typer": [sys.executable, "-c", "import numpy, typer"],
            "charrnn sample -n 1": [*charrnn, "sample", "-n", "1", "-m", model],
        }
        quiet = {"env": environment, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        times = seconds({name: partial(subprocess.run, command, **quiet) for name, command in commands.items()})
    for bare, whole in (("import typer", "charrnn --help"), ("import numpy, typer", "charrnn sample -n 1")):
        yield bare, f"{times[bare] * 1e3:.0f}", "1"
        yield whole, f"{times[whole] * 1e3:.0f}", f"{times[whole] / times[bare]:.2f}"


def scoring() -> Iterator[Sequence[str]]:
    """Time the scoring of a text."""
    from benchmarks import peers

    yield "scoring a text", "charrnn", "PyTorch", "ratio", "to a training step"
    checkpoint, ids = run_of(DEFAULT)
    text = ids[:100_000]
    programs: dict[str, Step] = {
        "ours": lambda: score_ids(checkpoint.model, [text], 0),
        "theirs": peers.scoring(checkpoint.model, text),
        "training": our_step(DEFAULT, max(counts())),
    }
    times, sizes = seconds(programs), (len(text), len(text), DEFAULT.B * DEFAULT.T)
    rates = {name: size / times[name] for name, size in zip(programs, sizes, strict=True)}
    ours, theirs, step = rates.values()
    yield str(DEFAULT), f"{ours / 1e3:.1f}k/s", f"{theirs / 1e3:.1f}k/s", f"{ours / theirs:.2f}", f"{ours / step:.2f}"


def scale() -> Iterator[Sequence[str]]:
    """Time a plain loop."""
    from benchmarks import peers

    yield "for scale", "characters a second"
    loop = seconds({"loop": peers.plain_loop(V, 100, 25)})["loop"]
    yield "a plain loop over one stream, tanh RNN, H = 100, T = 25, Adagrad", f"{25 / loop / 1e3:.1f}k/s"


TABLES = {
    "training": training,
    "step": step,
    "memory": memory,
    "sampling": sampling,
    "scoring": scoring,
    "start": start,
    "scale": scale,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description="Time charrnn beside PyTorch.")
    parser.add_argument("--only", default=",".join(TABLES), metavar="NAME,NAME", help=f"of {', '.join(TABLES)}; all")
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.peak:
        take_three_steps(*given.peak)
        return
    for name in given.only.split(","):
        rows = TABLES[name]()
        header = next(rows)
        print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
        for row in rows:
            print(f"| {' | '.join(row)} |", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
