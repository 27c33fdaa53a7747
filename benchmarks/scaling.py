"""Measure how time and memory grow with each size, one at a time, and print the exponents beside the expected ones.

    python benchmarks/scaling.py                     # every axis, for a few minutes
    python benchmarks/scaling.py --axes H,corpus     # some of them; the others as last measured
    python benchmarks/scaling.py --largest 100MB     # no corpus larger than that
    python benchmarks/scaling.py --table             # none: print what was measured

A point is measured in a process of its own, so that its peak memory is its own. Of a training step, on one core, it is
the median time and what training adds to the memory of the bare program; of a corpus the time from opening the text to
its ids on disk. The exponent is the slope of a line through the points on logarithmic axes (least squares); the
expected one is that of a formula on the same points: the arithmetic of the products, and the bytes that `train
--dry-run` foretells.
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

from charrnn import threads
from charrnn.cells.cell import Shapes
from charrnn.config import ModelConfig, TrainConfig
from charrnn.corpus import Corpus, bundled_corpus, load_corpus
from charrnn.forecast import memory
from charrnn.model import parameter_shapes, size_of
from charrnn.pictures import plot
from charrnn.train import new_run, train
from charrnn.vocab import Vocab

USUAL = {"T": 64, "B": 32, "H": 256, "layers": 1, "V": 65}  # what the other axes stand at
AXES = {
    "T": ("steps of a window, T", [16, 32, 64, 128, 256, 512]),
    "B": ("streams, B", [8, 16, 32, 64, 128, 256]),
    "H": ("units a layer, H", [64, 128, 256, 512, 1024]),
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
STEPS, SECONDS = 5, 2.0  # a point is the median of so many steps at least, and of so many seconds
LEAST = 1 << 20  # bytes: less memory than this is noise

Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """What is kept of a measurement, as a line of JSON."""

    axis: str
    value: int
    seconds: float  # of a training step, or of reading a corpus
    memory: int  # bytes at the peak above the bare program
    work: float  # what the seconds are expected to be proportional to
    promised: float  # bytes that the memory is expected to be, or to be proportional to
    begun: str  # when this program was started, UTC


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    On Linux not that of getrusage, which a program inherits from the one that started it.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ---- measuring, in a process of its own ----


def step_cost(T: int, B: int, H: int, layers: int, V: int) -> dict[str, float]:
    """Train a GRU on random ids; return the median seconds of a step, the peak memory, and what both should be like."""
    before = peak()
    config = ModelConfig(V, hidden_size=H, num_layers=layers)
    run = TrainConfig(2**52, "", batch_size=B, seq_len=T, val_fraction=0)
    ids = np.random.default_rng(0).integers(0, V, B * T * 2).astype(np.uint16)
    checkpoint = new_run(config, run, Corpus(ids, Vocab(np.arange(V, dtype=np.uint32)), (), "", ()))
    times = [time.perf_counter()]
    for _ in train(checkpoint, ids):
        times.append(time.perf_counter())
        if len(times) > STEPS + 1 and times[-1] - times[0] > SECONDS:
            break
    products: Shapes = {n: s for n, s in parameter_shapes(config).items() if len(s) == 2 and n != "embed.W"}
    return {
        "seconds": float(np.median(np.diff(times)[1:])),  # the first step also warms caches
        "memory": peak() - before,
        "work": 6.0 * T * B * size_of(products),  # a multiplication and an addition, forward and twice backward
        "promised": memory(checkpoint),
    }


def corpus_cost(path: Path) -> dict[str, float]:
    """Read a corpus; return the seconds, the peak memory, and what both should be like."""
    before, begun = peak(), time.perf_counter()
    load_corpus([str(path)])
    return {
        "seconds": time.perf_counter() - begun,
        "memory": peak() - before,
        "work": path.stat().st_size,
        "promised": 1,  # whatever the text
    }


def cost(axis: str, value: int, folder: Path) -> dict[str, float]:
    """Measure a point; the file of a corpus is made in the folder by who asks."""
    return corpus_cost(folder / "corpus.txt") if axis == "corpus" else step_cost(**(USUAL | {axis: value}))


# ---- asking for points, and showing them ----


def make_corpus(path: Path, size: int) -> None:
    """Write the bundled plays again and again, to exactly so many bytes."""
    plays = bundled_corpus().read_bytes()
    block = plays * max(1, (1 << 23) // len(plays))
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)])


def measure(axis: str, value: int, begun: str) -> Point:
    """Measure a point in another process; what it needs on disk goes afterwards."""
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
    """Return p of the law cost ~ value**p that fits best: the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def kept(results: Path) -> dict[str, list[Point]]:
    """Return the last measurement of each point, by axis and in order."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    found = {(point.axis, point.value): point for line in lines if (point := Point(**json.loads(line)))}
    points = [found[key] for key in sorted(found)]
    grouped = {axis: [point for point in points if point.axis == axis] for axis in AXES}
    return {axis: some for axis, some in grouped.items() if len(some) > 1}


def table(points: dict[str, list[Point]]) -> str:
    """Return a row an axis, in Markdown."""
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
    """Return SVGs by name, of steps and of texts: seconds and megabytes at each multiple of the smallest size.

    The expected law goes through the largest size, since at small ones what does not grow weighs most.
    """
    panels: dict[str, dict[str, dict[str, tuple[Line, Line]]]] = {}
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
    return {name: plot(some, "times the smallest size; dashed: as expected") for name, some in panels.items()}


def size(text: str) -> int:
    """Return the bytes of a size such as 100MB or 10GB."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    number, unit = text[:-2], text[-2:].upper()
    if unit not in units or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: write 100MB or 10GB")
    return int(number) * units[unit]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure how time and memory grow with each size.")
    parser.add_argument("--axes", default=",".join(AXES), metavar="NAME,NAME", help=f"of {', '.join(AXES)}; all")
    parser.add_argument("--largest", type=size, default="10GB", metavar="SIZE", help="the largest corpus; 10GB")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what was measured")
    place = Path("checkpoints", "scaling")
    parser.add_argument(
        "--results", type=Path, default=place, metavar="FOLDER", help=f"what is kept, and where; {place}"
    )
    parser.add_argument("--point", nargs=3, metavar=("AXIS", "VALUE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    given.axes = [] if given.table else given.axes.split(",")
    if unknown := [name for name in given.axes if name not in AXES]:
        parser.error(f"--axes {','.join(unknown)}: the axes are {', '.join(AXES)}")
    return given


def fitting(values: Sequence[int], largest: int) -> list[int]:
    """Return the sizes of corpus to measure: none above the largest, nor more than the disk holds with its ids."""
    room = shutil.disk_usage(tempfile.gettempdir()).free // 3
    if room < min(largest, values[-1]):
        print(f"{tempfile.gettempdir()} has room for {room:,} bytes of text and their ids", file=sys.stderr)
    return [value for value in values if value <= min(largest, room)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the axes that were asked for, keep their points, print the table, and draw the pictures beside them."""
    given = arguments(argv)
    if given.point:
        axis, value, folder = given.point
        threads.limit = None if axis == "corpus" else 1  # one process, so that all memory is its own
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
