"""Measure training, sampling, scoring, start-up and memory beside PyTorch in one run, and print tables.

    pip install -e '.[bench]'
    python -m benchmarks.speed                      # every table
    python -m benchmarks.speed --only training      # some of them, by the names of TABLES below
    pip install jax                                 # for a row of the table `jax`

Before a network is timed, PyTorch's own module gets the same weights, and both must find the same loss and gradients.
Then whole training steps of both (forward, backward, clipping, Adam) are timed in alternation, on one core and on all,
and each uses the count that is faster. A ratio is that of the medians of one run, with the middle half of the ratios of
single rounds: machines differ, and one machine differs from hour to hour. PyTorch is imported late, to keep it out of
the measurement of charrnn's memory.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.checkpoint.export import torch_arrays
from charrnn.cli.reporter import Reporter
from charrnn.cli.streams import Output
from charrnn.core.batches import Batches
from charrnn.core.cells import CELLS
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.model import parameter_shapes
from charrnn.core.ops import ROW_BLOCKS, Ids, cross_entropy_backward, cross_entropy_forward
from charrnn.core.optim import OPTIMIZERS, REFRESH, clip_by_global_norm
from charrnn.core.sample import Settings
from charrnn.core.state import TrainState
from charrnn.core.train import StepReport, train, train_step
from charrnn.core.vocab import Vocab
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import MAX_SPANS, score_ids
from charrnn.parallel import cores
from charrnn.parallel.executor import ParallelExecutor
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.samples import SampleOptions, samples
from charrnn.terminal.progress import Progress
from charrnn.training.configure import start_run

Step = Callable[[], object]
V, D = 65, 64
ROUNDS, SECONDS = 9, 0.5  # per round, each program is timed for about this many seconds, one after the other


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
        """Multiplications and additions of the equations: two per weight and character forward, twice that back.

        A step saves some: the first layer's W_xh is used once per symbol (a tenth of all, for an LSTM of 512).
        """
        G = CELLS[self.model.recurrence].gates
        inputs = [D, *[self.H] * (self.L - 1)]
        weights = sum(G * self.H * (self.H + size) for size in inputs) + V * self.H
        return 6.0 * weights * self.B * self.T


CELLS_TIMED = [
    Case(cell, *size) for cell in ("rnn", "lstm", "gru") for size in ((128, 50, 50), (256, 64, 64), (512, 64, 64))
]
DEFAULT, WIDE, LARGE = Case("gru", 256, 32, 64, 2), Case("gru", 512, 32, 64, 2), Case("lstm", 512, 128, 64)
OPTIMIZED = ("adamw", "soap")


# ---- what is timed ----


def run_of(case: Case, windows: int = 50, **settings: Any) -> tuple[TrainState, Ids]:
    """Return a run at step 0 on random symbols, and their ids."""
    ids = np.random.default_rng(0).integers(0, V, windows * case.B * case.T).astype(np.uint8)
    corpus = Corpus(ids, Vocab(np.arange(33, 33 + V, dtype=np.uint32)), ("random",), "", ())
    plain = TrainConfig(
        2**52, "", case.B, case.T, optimizer="adam", schedule="constant", warmup=0, weight_decay=0, val_fraction=0
    )
    return start_run(case.model, replace(plain, lr=1e-3, **settings), corpus), ids


@contextmanager
def our_step(case: Case, n: int, **settings: Any) -> Iterator[Step]:
    """Provide a training step of charrnn on n cores: the one that `charrnn train` takes."""
    cores.limit = n
    state, ids = run_of(case, **settings)
    batches = Batches(ids, case.B, case.T, 0)
    with closing(ParallelExecutor(state)) as executor:
        state.model = executor.model

        def step() -> StepReport:
            cores.limit = n
            return train_step(state, batches, executor)

        yield step


def their_step(case: Case, n: int) -> Step:
    """Return a training step of PyTorch on n cores."""
    from benchmarks import peers

    state, ids = run_of(case)
    x, y = Batches(ids, case.B, case.T, 0).batch(0)
    torch_step = peers.training(state.model, x, y)

    def step() -> None:
        torch_threads(n)
        torch_step()

    return step


def must_agree(case: Case) -> None:
    """Exit unless both find the same loss and gradients, to five digits, for the same weights and window."""
    import torch

    from benchmarks import peers

    state, ids = run_of(case)
    model, (x, y) = state.model, Batches(ids, case.B, case.T, 0).batch(0)
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


def rounds(programs: Mapping[Any, Step]) -> dict[Any, list[float]]:
    """Time programs in alternation; return the seconds per call of each, one for each round."""
    repeats = {}
    for name, program in programs.items():
        program()  # warms up
        began = time.perf_counter()
        program()
        repeats[name] = max(1, round(SECONDS / (time.perf_counter() - began)))
    times: dict[Any, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            time.sleep(0.02)  # let threads of the other program that still spin go to sleep
            began = time.perf_counter()
            for _ in range(repeats[name]):
                program()
            times[name].append((time.perf_counter() - began) / repeats[name])
    return times


def seconds(programs: Mapping[Any, Step]) -> dict[Any, float]:
    """Time programs in alternation; return the median seconds per call of each."""
    return {name: statistics.median(times) for name, times in rounds(programs).items()}


def spread(slower: Sequence[float], faster: Sequence[float], digits: int = 2) -> str:
    """Return the ratio of the medians of two programs, and the quartiles of the ratios of single rounds."""
    low, _, high = statistics.quantiles([one / other for one, other in zip(slower, faster, strict=True)], n=4)
    ratio = statistics.median(slower) / statistics.median(faster)
    return f"{ratio:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def sgemm_peak(n: int) -> float:
    """Return this machine's FLOP/s on n cores: the best of ten float32 products of 2048 x 2048 matrices."""
    from threadpoolctl import threadpool_limits

    A, B = np.random.default_rng(0).standard_normal((2, 2048, 2048), np.float32)
    with threadpool_limits(n, "blas"):
        return 2.0 * 2048**3 / min(seconds_of(lambda: A @ B) for _ in range(10))


def seconds_of(program: Step) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    program()
    return time.perf_counter() - began


def counts() -> list[int]:
    """Return the core counts to try: one and all."""
    return sorted({1, cores.core_count()})


# ---- the tables ----


def machine() -> Iterator[Sequence[str]]:
    """Describe the machine, its libraries and the peak that shares refer to."""
    import threadpoolctl
    import torch

    yield "the machine", ""
    yield "processor", processor()
    blas = next(library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas")
    yield "numpy", f"{np.__version__}, {blas['internal_api']} {blas['version']}"
    yield "its kernel for matrices", f"{blas['architecture']}, products {'in row blocks' if ROW_BLOCKS else 'whole'}"
    yield "PyTorch", str(torch.__version__)
    yield "SGEMM peak", " and ".join(f"{sgemm_peak(n) / 1e9:.0f}" for n in counts()) + " GFLOP/s on one core and all"


def processor() -> str:
    """Return the name, family and model of the processor, and the number of cores in use, on Linux."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    wide = "with" if "avx512f" in known.get("flags", "").split() else "without"
    family = ", ".join(f"{name} {known[name]}" for name in ("cpu family", "model") if name in known)
    return f"{known.get('model name', 'unknown')}, {family}, {wide} AVX-512, {cores.core_count()} cores"


def training() -> Iterator[Sequence[str]]:
    """Time training steps of both."""
    yield "training step", "charrnn", "PyTorch", "ratio", "of the SGEMM peak"
    peak, ratios = sgemm_peak(max(counts())), []
    for case in [*CELLS_TIMED, DEFAULT, LARGE]:
        must_agree(case)
        cores.limit = None
        with ExitStack() as stack:
            programs = {("ours", n): stack.enter_context(our_step(case, n)) for n in counts()}
            times = rounds(programs | {("theirs", n): their_step(case, n) for n in counts()})
        (ours, m), (theirs, n) = best(times, "ours"), best(times, "theirs")
        per_step = statistics.median(ours)
        if case in CELLS_TIMED:
            ratios.append(statistics.median(theirs) / per_step)
        rates = [
            f"{case.B * case.T / statistics.median(t) / 1e3:.1f}k/s, {n} core{'s' * (n > 1)}"
            for t, n in ((ours, m), (theirs, n))
        ]
        yield str(case), *rates, spread(theirs, ours), f"{case.flops / per_step / peak:.0%}"
    yield "geometric mean of the nine", "", "", f"{statistics.geometric_mean(ratios):.2f}", f"{peak / 1e9:.0f} GFLOP/s"


def in_jax() -> Iterator[Sequence[str]]:
    """Time passes of the default network without an update, beside JAX, if it is installed."""
    yield "forward and backward", "charrnn", "JAX", "ratio"
    try:
        from benchmarks import jax_peer
    except ImportError:
        return
    state, ids = run_of(DEFAULT)
    x, y = Batches(ids, DEFAULT.B, DEFAULT.T, 0).batch(0)
    cores.limit = None
    with closing(ParallelExecutor(state)) as executor:
        times = rounds({"ours": lambda: executor.gradients(state, x, y), "JAX": jax_peer.training(state.model, x, y)})
    rates = [f"{x.size / statistics.median(times[who]) / 1e3:.1f}k/s" for who in ("ours", "JAX")]
    yield str(DEFAULT), *rates, spread(times["JAX"], times["ours"])


def step() -> Iterator[Sequence[str]]:
    """Time what `charrnn train` does with everything on beside the bare core, which repeats the same step."""
    yield "a training step", "charrnn", "ratio"
    state, ids = run_of(DEFAULT)
    x, y = Batches(ids, DEFAULT.B, DEFAULT.T, 0).batch(0)
    noisy, ids = run_of(DEFAULT, dropout=0.1)
    reporter = Reporter("speed", noisy, Output(json=True))
    reporter.progress = Progress(0, noisy.config.steps)
    reports = train(noisy, ids, ParallelExecutor)
    with closing(ParallelExecutor(state)) as executor:
        state.model, shapes = executor.model, parameter_shapes(state.model.config)

        def core() -> None:
            executor.gradients(state, x, y)
            clip_by_global_norm(executor.gradient, 1.0)
            OPTIMIZERS["adam"].step(
                state.model.vector, executor.gradient, state.slots, shapes, 1e-3, 0, 1, executor.run
            )

        times = rounds({"core": core, "all": lambda: reporter.show(next(reports))})
    reporter.close()
    rates = {name: f"{DEFAULT.B * DEFAULT.T / statistics.median(t) / 1e3:.1f}k/s" for name, t in times.items()}
    yield f"{DEFAULT}: forward, backward, clipping, Adam", rates["core"], "1"
    yield "with dropout, batches, carried state, events, bar", rates["all"], spread(times["core"], times["all"])


def optimizers() -> Iterator[Sequence[str]]:
    """Time training steps with SOAP beside AdamW, in groups of ten, since SOAP refreshes its bases every tenth step."""
    yield "a training step", "adamw", "soap", "time of soap, to adamw"
    cores.limit = None
    for case in (DEFAULT, WIDE):
        with ExitStack() as stack:
            steps = {name: stack.enter_context(our_step(case, max(counts()), optimizer=name)) for name in OPTIMIZED}
            times = rounds({name: partial(repeat, step, REFRESH) for name, step in steps.items()})
        rates = [f"{REFRESH * case.B * case.T / statistics.median(times[name]) / 1e3:.1f}k/s" for name in OPTIMIZED]
        yield str(case), *rates, spread(times["soap"], times["adamw"])


def repeat(program: Step, count: int) -> None:
    """Call a program several times."""
    for _ in range(count):
        program()


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
    case, n = Case(cell, *map(int, size)), max(counts())
    with our_step(case, n) if whose == "ours" else nullcontext(their_step(case, n)) as program:
        for _ in range(3):
            program()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
        print(sum(map(high_water, ["self", *children])))


def high_water(process: str) -> int:
    """Return the peak resident memory of a process in bytes, on Linux, including shared memory.

    getrusage would return the peak of the parent process, if that is larger.
    """
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def sampling() -> Iterator[Sequence[str]]:
    """Time the writing of samples side by side, plain and with filters."""
    from benchmarks import peers

    yield "writing samples", "charrnn", "PyTorch", "ratio", "to the product alone", "with --top-p 0.9, to plain"
    state, _ = run_of(Case("gru", 256, 1, 1))
    for B, length in ((1, 5000), (64, 1500)):

        def written(n: int, filters: Settings, B: int = B, length: int = length) -> None:
            prompt, options = PromptState(state.model, np.zeros(1, np.int64)), SampleOptions(length, filters)
            for _ in samples(prompt, state.vocab, 1, B, options, n):
                pass

        def torch_written(n: int, B: int = B, length: int = length) -> None:
            torch_threads(n)
            for _ in islice(peers.sampling(state.model, B, 0.8), length):
                pass

        plain, filtered = {"temperature": 0.8}, {"temperature": 0.8, "top_p": 0.9}
        programs: dict[Any, Step] = {("theirs", n): partial(torch_written, n) for n in counts()}
        programs |= {("plain", n): partial(written, n, plain) for n in counts()}
        programs |= {("filtered", n): partial(written, n, filtered) for n in counts()}
        programs |= {("product", 1): partial(multiply, state, B, length)} if B == 1 else {}
        times = rounds(programs)
        (ours, _), (top_p, _), (theirs, _) = (best(times, who) for who in ("plain", "filtered", "theirs"))
        rates = [f"{B * length / statistics.median(t) / 1e3:.1f}k/s" for t in (ours, theirs)]
        product = spread(ours, times["product", 1]) if B == 1 else ""
        yield f"GRU 256, {B} at once", *rates, spread(theirs, ours, 1), product, spread(ours, top_p)


def multiply(state: TrainState, B: int, length: int) -> None:
    """Multiply what a network of one layer multiplies for each of `length` characters, [W_hh; W_hy] h for B columns."""
    W = np.concatenate([state.model.params["layers.0.W_hh"], state.model.params["head.W_hy"]])
    h, v = np.zeros((W.shape[1], B), W.dtype), np.empty((len(W), B), W.dtype)
    for _ in range(length):
        np.matmul(W, h, v)


def torch_threads(n: int) -> None:
    """Let PyTorch use n cores."""
    import torch

    torch.set_num_threads(n)


def best(times: Mapping[tuple[str, int], list[float]], who: str) -> tuple[list[float], int]:
    """Return the times of a program with the number of cores that has the smallest median, and that number."""
    return min(((t, n) for (name, n), t in times.items() if name == who), key=lambda pair: statistics.median(pair[0]))


def start() -> Iterator[Sequence[str]]:
    """Time the start of commands beside importing the packages that they use, as in a user's shell."""
    yield "start", "milliseconds", "to"
    foreign = {"PYTHONDONTWRITEBYTECODE", *(f"{library}_THREADS" for library in cores.LIBRARIES)}
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
    """Time the scoring of a text, in as many parts side by side as charrnn cuts it into, and as one stream."""
    from benchmarks import peers

    yield "scoring a text", "charrnn", "PyTorch", "ratio", "of the SGEMM peak", "to a training step"
    state, ids = run_of(DEFAULT, windows=150)
    text, peak = ids[:262_144], sgemm_peak(max(counts()))
    cores.limit = None
    programs: dict[Any, Step] = {("ours", 1): lambda: score_ids(state.model, [text], 0)}
    programs |= {("parts", n): partial(peers.scored, state.model, text, MAX_SPANS, n) for n in counts()}
    programs |= {("stream", n): partial(peers.scored, state.model, text[: len(text) // 16], 1, n) for n in counts()}
    with our_step(DEFAULT, max(counts())) as training_step:
        times = rounds(programs | {("training", 1): training_step})
    ours = times["ours", 1]
    rate = len(text) / statistics.median(ours)
    step = DEFAULT.B * DEFAULT.T / statistics.median(times["training", 1])
    share = f"{DEFAULT.flops / 3 / (DEFAULT.B * DEFAULT.T) * rate / peak:.0%}"  # a third of a step is its forward pass
    for who, name, size in (("parts", f"{MAX_SPANS} parts", 1), ("stream", "one stream", 16)):
        theirs = [size * t for t in best(times, who)[0]]
        their_rate = f"{len(text) / statistics.median(theirs) / 1e3:.1f}k/s"
        rates = f"{rate / 1e3:.1f}k/s", their_rate
        yield f"{DEFAULT}, {name}", *rates, spread(theirs, ours), share, f"{rate / step:.2f}"


def scale() -> Iterator[Sequence[str]]:
    """Time a plain loop."""
    from benchmarks import peers

    yield "for scale", "characters per second"
    loop = seconds({"loop": peers.plain_loop(V, 100, 25)})["loop"]
    yield "a plain loop over one stream, tanh RNN, H = 100, T = 25, Adagrad", f"{25 / loop / 1e3:.1f}k/s"


TABLES = {
    "machine": machine,
    "training": training,
    "jax": in_jax,
    "step": step,
    "optimizers": optimizers,
    "memory": memory,
    "sampling": sampling,
    "scoring": scoring,
    "start": start,
    "scale": scale,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the given tables."""
    parser = argparse.ArgumentParser(description="Time charrnn beside PyTorch.")
    parser.add_argument(
        "--only",
        default=",".join(TABLES),
        metavar="NAME,NAME",
        help=f"tables to print, of {', '.join(TABLES)}; default: all",
    )
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.peak:
        take_three_steps(*given.peak)
        return
    for name in given.only.split(","):
        rows = TABLES[name]()
        header, first = next(rows), next(rows, None)
        if first is None:  # without JAX
            continue
        print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}", flush=True)
        for row in chain([first], rows):
            print(f"| {' | '.join(row)} |", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
