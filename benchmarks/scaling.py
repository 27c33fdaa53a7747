"""Measure how time and memory grow with each size, one at a time, and print the exponents beside the expected ones.

    python -m benchmarks.scaling                     # every axis, for a few minutes
    python -m benchmarks.scaling --axes H,corpus     # some axes; the others as last measured
    python -m benchmarks.scaling --largest 100MB     # no corpus larger than that
    python -m benchmarks.scaling --table             # no axis: print what was measured

Each point is measured in its own process, because of its peak memory. For a training step, on one core, the cost is
the median time and the memory that training adds to the bare program; for a corpus it is the time from opening the text
to its ids on disk. The exponent is the slope of a line through the points on logarithmic axes (least squares). The
expected exponent is that of a formula on the same points: the arithmetic of the products, and the bytes that `train
--dry-run` estimates.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from charrnn.core.cells.cell import Shapes
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.model import parameter_shapes, size_of
from charrnn.core.train import train
from charrnn.core.vocab import Vocab
from charrnn.data.corpus import Corpus, load_corpus
from charrnn.data.sources import bundled_corpus
from charrnn.parallel import cores
from charrnn.parallel.executor import ParallelExecutor
from charrnn.plots.line_plot import line_plot
from charrnn.plots.terminal_chart import Points
from charrnn.training.configure import start_run
from charrnn.training.estimate import training_memory

USUAL = {"T": 64, "B": 32, "H": 256, "layers": 1, "V": 65}  # values of the axes that are not varied
AXES = {
    "T": ("steps per window, T", [16, 32, 64, 128, 256, 512]),
    "B": ("streams, B", [8, 16, 32, 64, 128, 256]),
    "H": ("units per layer, H", [64, 128, 256, 512, 1024]),
    "layers": ("layers, L", [1, 2, 4, 8]),
    "V": ("symbols, V", [65, 250, 1000, 4000, 10_000]),
    "corpus": ("bytes of text", [10**6, 10**7, 10**8, 10**9, 10**10]),
}
HEADER = (
    "what grows",
    "from",
    "to",
    "seconds",
    "exponent",
    "expected",
    "memory above the program",
    "exponent",
    "expected",
)
STEPS, SECONDS = 5, 2.0  # a point is the median of at least this many steps and seconds
LEAST = 1 << 20  # bytes: less memory than this is noise


@dataclass(frozen=True)
class Point:
    """A measurement, kept as a line of JSON."""

    axis: str
    value: int
    seconds: float  # of a training step, or of reading a corpus
    memory: int  # bytes at the peak above the bare program
    work: float  # expected to be proportional to the seconds
    promised: float  # expected memory in bytes, or a number proportional to it
    begun: str  # time at which this program was started, UTC


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    On Linux, getrusage would return the peak of the parent process, if that is larger.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ---- measuring, in a process of its own ----


def step_cost(T: int, B: int, H: int, layers: int, V: int) -> dict[str, float]:
    """Train a GRU on random ids; return the median seconds per step, the peak memory, and what is expected of both."""
    before = peak()
    config = ModelConfig(V, hidden_size=H, num_layers=layers)
    run = TrainConfig(2**52, "", batch_size=B, seq_len=T, val_fraction=0)
    ids = np.random.default_rng(0).integers(0, V, B * T * 2).astype(np.uint16)
    state = start_run(config, run, Corpus(ids, Vocab(np.arange(V, dtype=np.uint32)), (), "", ()))
    times = [time.perf_counter()]
    for _ in train(state, ids, ParallelExecutor):
        times.append(time.perf_counter())
        if len(times) > STEPS + 1 and times[-1] - times[0] > SECONDS:
            break
    products: Shapes = {n: s for n, s in parameter_shapes(config).items() if len(s) == 2 and n != "embed.W"}
    return {
        "seconds": float(np.median(np.diff(times)[1:])),  # the first step also warms caches
        "memory": peak() - before,
        "work": 6.0 * T * B * size_of(products),  # a multiplication and an addition, forward and twice backward
        "promised": training_memory(state),
    }


def corpus_cost(path: Path) -> dict[str, float]:
    """Read a corpus; return the seconds, the peak memory, and what is expected of both."""
    before, begun = peak(), time.perf_counter()
    load_corpus([str(path)])
    return {
        "seconds": time.perf_counter() - begun,
        "memory": peak() - before,
        "work": path.stat().st_size,
        "promised": 1,  # for every text
    }


def cost(axis: str, value: int, folder: Path) -> dict[str, float]:
    """Measure a point; the caller makes the corpus in the folder."""
    return corpus_cost(folder / "corpus.txt") if axis == "corpus" else step_cost(**(USUAL | {axis: value}))


# ---- collecting points, and showing them ----


def make_corpus(path: Path, size: int) -> None:
    """Write a file of exactly `size` bytes that repeats the bundled plays."""
    plays = bundled_corpus().read_bytes()
    block = plays * max(1, (1 << 23) // len(plays))
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)])


def measure(axis: str, value: int, begun: str) -> Point:
    """Measure a point in another process; its files are temporary."""
    with tempfile.TemporaryDirectory() as folder:
        if axis == "corpus":
            make_corpus(Path(folder, "corpus.txt"), value)
        print(f"{AXES[axis][0]}: {value:,}", file=sys.stderr, flush=True)
        point = [sys.executable, "-m", "benchmarks.scaling", "--point", axis, str(value), folder]
        root = Path(__file__).parents[1]
        done = subprocess.run(point, cwd=root, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise SystemExit(done.returncode)
    return Point(axis, value, **json.loads(done.stdout), begun=begun)


def exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """Return p of the best fit cost ~ value**p: the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def kept(results: Path) -> dict[str, list[Point]]:
    """Return the latest measurement of each point, by axis and in order."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    found = {(point.axis, point.value): point for line in lines if (point := Point(**json.loads(line)))}
    points = [found[key] for key in sorted(found)]
    grouped = {axis: [point for point in points if point.axis == axis] for axis in AXES}
    return {axis: some for axis, some in grouped.items() if len(some) > 1}


def table(points: dict[str, list[Point]]) -> str:
    """Return the table in Markdown, one row per axis."""
    rows = [row(axis, some) for axis, some in points.items()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (HEADER, ["---"] * len(HEADER), *rows))


def row(axis: str, points: Sequence[Point]) -> list[str]:
    """Return the cells of an axis: both ends, and the exponents of seconds and memory with the expected ones."""
    values, first, last = [point.value for point in points], points[0], points[-1]
    memories = [max(LEAST, point.memory) for point in points]
    times, work = exponent(values, [p.seconds for p in points]), exponent(values, [p.work for p in points])
    growth, promised = exponent(values, memories), exponent(values, [p.promised for p in points])
    return [
        AXES[axis][0],
        f"{first.value:,}",
        f"{last.value:,}",
        f"{first.seconds:.3g} to {last.seconds:.3g}",
        f"**{times:.2f}**",
        f"{work:.2f}",
        f"{memories[0] / 1e6:,.0f} to {memories[-1] / 1e6:,.0f} MB",
        f"**{growth:.2f}**",
        f"{abs(promised):.2f}",
    ]


def pictures(points: dict[str, list[Point]]) -> dict[str, str]:
    """Return SVGs by name, for steps and texts: seconds and megabytes at each multiple of the smallest size.

    The expected line goes through the largest size, since constant costs dominate at small ones.
    """
    panels: dict[str, dict[str, dict[str, tuple[Points, Points]]]] = {}
    for axis, some in points.items():
        picture, title = ("texts", "to read a text") if axis == "corpus" else ("steps", "of a training step")
        kinds = {
            "seconds": [(point.seconds, point.work) for point in some],
            "megabytes": [(max(LEAST, point.memory) / 1e6, point.promised) for point in some],
        }
        for unit, costs in kinds.items():
            line, law = ([(p.value / some[0].value, c[i]) for p, c in zip(some, costs, strict=True)] for i in (0, 1))
            factor = costs[-1][0] / costs[-1][1]
            lines = panels.setdefault(picture, {}).setdefault(f"{unit} {title}", {})
            lines[axis] = line, [(x, y * factor) for x, y in law]
    return {name: line_plot(some, "times the smallest size; dashed: as expected") for name, some in panels.items()}


def size(text: str) -> int:
    """Return the number of bytes of a size such as 100MB or 10GB."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    number, unit = text[:-2], text[-2:].upper()
    if unit not in units or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: write 100MB or 10GB")
    return int(number) * units[unit]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure how time and memory grow with each size.")
    parser.add_argument(
        "--axes",
        default=",".join(AXES),
        metavar="NAME,NAME",
        help=f"axes to measure, of {', '.join(AXES)}; default: all",
    )
    parser.add_argument("--largest", type=size, default="10GB", metavar="SIZE", help="largest corpus; default: 10GB")
    parser.add_argument("--table", action="store_true", help="measure nothing and print the kept results")
    place = Path("checkpoints", "scaling")
    parser.add_argument(
        "--results", type=Path, default=place, metavar="FOLDER", help=f"folder of the results; default: {place}"
    )
    parser.add_argument("--point", nargs=3, metavar=("AXIS", "VALUE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    given.axes = [] if given.table else given.axes.split(",")
    if unknown := [name for name in given.axes if name not in AXES]:
        parser.error(f"--axes {','.join(unknown)}: the axes are {', '.join(AXES)}")
    return given


def fitting(values: Sequence[int], largest: int) -> list[int]:
    """Return the corpus sizes to measure: none above the largest, and none too large for the disk."""
    room = shutil.disk_usage(tempfile.gettempdir()).free // 3
    if room < min(largest, values[-1]):
        print(f"{tempfile.gettempdir()} has room for {room:,} bytes of text and their ids", file=sys.stderr)
    return [value for value in values if value <= min(largest, room)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the given axes, keep their points, print the table, and draw the pictures."""
    given = arguments(argv)
    if given.point:
        axis, value, folder = given.point
        cores.limit = None if axis == "corpus" else 1  # one process, so that all memory is its own
        print(json.dumps(cost(axis, int(value), Path(folder))))
        return
    begun, results = datetime.now(UTC).isoformat(), given.results / "results.jsonl"
    given.results.mkdir(parents=True, exist_ok=True)
    for axis in given.axes:
        values = AXES[axis][1]
        for value in fitting(values, given.largest) if axis == "corpus" else values:
            point = measure(axis, value, begun)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(point)) + "\n")
    points = kept(results)
    for name, svg in pictures(points).items():
        (given.results / f"scaling-{name}.svg").write_text(svg, "utf-8")
    print(table(points), end="")


if __name__ == "__main__":
    main()
