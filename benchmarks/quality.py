"""Train for given budgets, score the held-out text, and print the table of benchmarks/README.md.

    python -m benchmarks.quality tinyshakespeare.txt                    # measure every row
    python -m benchmarks.quality tinyshakespeare.txt --rows 150s,rnn    # some rows; the others as last measured
    python -m benchmarks.quality tinyshakespeare.txt --beside 62fc102   # each row by an earlier commit too
    python -m benchmarks.quality names.txt --rows 150s --train=--lines  # another text, with options for all rows
    python -m benchmarks.quality tinyshakespeare.txt --table            # no row: print what was measured

Each row is one command as a user would type it, run in its own process and timed from start to exit. Nothing is tuned
here: the settings were chosen on a part of the training text (docs/decisions.md). With `--beside` each row is followed
by the same budget of an earlier commit, installed from git into an environment of its own, with the settings that were
best for it: a gain measured in this way does not depend on the machine. Three protocols, in nats per character:

- streamed: the held-out text in one pass, with the state carried along;
- learning: the same, but the model learns from each character after scoring it (dynamic evaluation, Krause et al.
  2018);
- blocks: random blocks of 256 characters, each without the text before it, as in nanoGPT.
"""

import argparse
import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.api.model import load
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core import __version__
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids, cross_entropy_forward
from charrnn.core.score import bits


class Row(NamedTuple):
    """A budget, with the options of `charrnn train` that suit it best."""

    title: str
    options: str
    before: str  # the options that suited earlier commits best, when adamw was the default optimizer


ROWS = {
    "1200": Row("the defaults, 1,200 steps", "--steps 1200", "--steps 1200"),
    "150s": Row("the defaults, 150 seconds", "--time 150s", "--time 150s"),
    "10m": Row(
        "two networks, 10 minutes",
        "--time 10m --ensemble 2 --lr 0.004",
        "--time 10m --ensemble 2 --dropout 0.1 --lr 0.005",
    ),
    "60m": Row(
        "60 minutes, four networks",
        "--time 60m --preset best",
        "--time 60m --ensemble 4 --hidden-size 384 --dropout 0.25 --weight-decay 0.3 --lr 0.005",
    ),
    "rnn": Row("a plain tanh RNN, 10 minutes", "--cell rnn --time 10m", "--cell rnn --dropout 0.1 --time 10m"),
}


ROOT = Path(__file__).parents[1]
TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # SHA-256 of the text of OTHERS
GPT, PAPER = "published: nanoGPT's README", "published: Feng et al. 2024, arXiv:2410.01201"
NANOGPT = "measured: `python -m benchmarks.nanogpt`; blocks of 64; its README says 1.88"
OTHERS = (  # title, protocol, nats per character, cost, source
    ("nanoGPT, its recipe for a CPU", "blocks", "1.917", "2,000 steps", NANOGPT),
    ("nanoGPT, its recipe for a GPU", "blocks", "1.4697", "3 min, an A100", GPT),
    ("minGRU", "blocks", "1.548", "a 16 GB GPU", PAPER),
    ("minLSTM", "blocks", "1.555", "a 16 GB GPU", PAPER),
    ("Transformer", "blocks", "1.547", "a 16 GB GPU", PAPER),
    ("zpaq, context mixing", "learning", "1.302", "seconds", "reference: zpaq, given the training text"),
)

PROTOCOLS = {"streamed": "streamed", "learning": "streamed, learning as it reads", "blocks": "random blocks of 256"}
HEADER = ("nats (bits) per character", *PROTOCOLS.values(), "time", "from")

PPMD_ORDER, PPMD_MEMORY = 6, 1 << 28  # characters before; bytes
BLOCK, WIDTH, BATCHES = 256, 32, 128  # characters per block; blocks per batch; batches: 4,096 blocks, ± 0.003 nats


@dataclass(frozen=True)
class Result:
    """The result of a row, kept as a line of JSON: how and when it was made, and its scores in nats per character."""

    row: str
    commit: str  # of the program that trained; "" for this one
    title: str
    command: str
    text: str  # SHA-256
    begun: str  # time at which this program was started, UTC
    seconds: float  # of the whole `train` process
    nats: dict[str, float]  # by protocol
    error: float  # standard error of the mean of the blocks
    baselines: dict[str, float]  # streamed, by name
    environment: dict[str, str]  # versions and cores


def charrnn(*arguments: str, python: str = sys.executable) -> str:
    """Run a command without the user's CHARRNN_* variables; return its stdout, or exit with its code if it fails.

    The program is the one that is installed for `python`, even if another one is in the working folder.
    """
    print("$", shlex.join(("charrnn", *arguments)), file=sys.stderr, flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHARRNN_")}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    command = [python, "-P", "-m", "charrnn", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def install(commit: str, folder: Path) -> str:
    """Install a commit of this repository, with this program's NumPy, into an environment; return its Python."""
    python = folder / commit / "bin" / "python"
    if not python.exists():
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True).stdout
        venv.create(folder / commit, with_pip=True)
        with TemporaryDirectory() as source, tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)  # from 3.11.4 on
            files.extractall(source)
            subprocess.run([python, "-m", "pip", "install", "-q", source, f"numpy=={np.__version__}"], check=True)
    return str(python.absolute())


def scores(model: str, *options: str) -> dict[str, float]:
    """Return the nats per character of the held-out text for the model and for each baseline, by name."""
    records = map(json.loads, charrnn("eval", "-m", model, "--json", *options).splitlines())
    return {record["model"]: record["nats_per_char"] for record in records}


def ppmd(training: bytes, held_out: bytes) -> float:
    """Return the nats by which PPMd's code of the training text grows with the held-out text after it."""
    from pyppmd import Ppmd7Encoder

    def size(*texts: bytes) -> int:
        encoder = Ppmd7Encoder(PPMD_ORDER, PPMD_MEMORY)
        return sum(len(encoder.encode(text)) for text in texts) + len(encoder.flush())

    return (size(training, held_out) - size(training)) * 8 * math.log(2)


def block_costs(model: CharRNN, ids: Ids, batches: int) -> NDArray[np.float64]:
    """Return the losses of random blocks of ids (N,), in nats per character, (batches * WIDTH,).

    The state is zero before the first of BLOCK characters, and after each of them the next one is predicted. Exits if
    N is not above BLOCK.
    """
    if len(ids) <= BLOCK:
        raise SystemExit(f"quality.py: {len(ids)} characters are held out: a block takes {BLOCK + 1}")
    rng, cache, costs = np.random.default_rng(1), model.cache(BLOCK, WIDTH), []
    for _ in range(batches):
        begin = rng.integers(0, len(ids) - BLOCK, WIDTH)
        block = ids[begin + np.arange(BLOCK + 1)[:, None]].astype(np.int64)  # (BLOCK + 1, WIDTH)
        logits, _ = model.forward(block[:-1], model.zero_state(WIDTH), cache)
        costs.append(cross_entropy_forward(logits, block[1:]).mean(axis=0, dtype=np.float64))
    return np.concatenate(costs)


def measure(name: str, text: Path, folder: Path, begun: str, more: str = "", commit: str = "") -> Result:
    """Train the model of a row by this program or by a commit, and score it; the model stays in the folder.

    `more` are further options of `charrnn train`.
    """
    row = ROWS[name]
    options = f"{row.before if commit else row.options} {more}".strip()
    model = str(folder / f"{name}{commit and '-'}{commit}.npz")
    python = install(commit, folder) if commit else sys.executable
    started = time.perf_counter()
    charrnn("train", str(text), *shlex.split(options), "-m", model, "--force", python=python)
    seconds = time.perf_counter() - started
    baselines, learning = scores(model, "--against-baselines"), scores(model, "--dynamic")
    streamed = baselines.pop(model)
    trained = load(model)
    training, held_out = trained.own_text(to_score=True)
    blocks = block_costs(trained.network, held_out, BATCHES)
    if find_spec("pyppmd"):
        parts = [trained.vocab.decode(ids).encode() for ids in (training, held_out)]
        baselines[f"PPMd, order {PPMD_ORDER}"] = ppmd(*parts) / len(held_out)
    environment = CheckpointStore(Path(model)).load().environment
    return Result(
        row=name,
        commit=commit,
        title=f"{commit or 'charrnn'}, {row.title}",
        command=f"charrnn train {text.name} {options}",
        text=trained.origin.sha256,
        begun=begun,
        seconds=round(seconds, 1),
        nats={"streamed": streamed, "learning": learning[model], "blocks": float(blocks.mean())},
        error=float(blocks.std(ddof=1)) / math.sqrt(len(blocks)),
        baselines=baselines,
        environment=environment | {"charrnn": __version__, "cores": str(os.cpu_count())},
    )


def kept(results: Path, text: str) -> list[Result]:
    """Return the latest result of each row and commit on the text with this SHA-256, in the order of ROWS."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    found = {(done.row, done.commit): done for line in lines if (done := Result(**json.loads(line))).text == text}
    return [found[key] for key in sorted(found, key=lambda key: ([*ROWS].index(key[0]), key[1]))]


def table(results: Sequence[Result], others: Iterable[tuple[str, str, str, str, str]]) -> str:
    """Return the table in Markdown: the measured rows, then those of other programs and papers."""
    rows = list(measured(results))
    for title, protocol, nats, cost, source in others:
        rows.append([title, *(cell(nats) if name == protocol else "" for name in PROTOCOLS), cost, source])
    return "".join(f"| {' | '.join(row)} |\n" for row in (HEADER, ["---"] * len(HEADER), *rows))


def measured(results: Sequence[Result]) -> Iterator[list[str]]:
    """Yield one row per result, dated if they come from several runs, and then the baselines of the latest."""
    several = len({result.begun for result in results}) > 1
    for result in results:
        when = f"measured {result.begun[:10]}" if several else "measured here"
        cells = [cell(f"{result.nats[name]:.4f}", result.error * (name == "blocks")) for name in PROTOCOLS]
        yield [result.title, *cells, f"{result.seconds:.1f} s", f"{when}: `{result.command}`"]
    if results:
        latest = max(results, key=lambda result: result.begun)
        for name, nats in latest.baselines.items():
            how = "pyppmd, given the training text" if "PPMd" in name else "`charrnn eval --against-baselines`"
            yield [name, cell(f"{nats:.4f}"), "", "", "", f"measured here: {how}"]


def cell(nats: str, error: float = 0.0) -> str:
    """Return a cell of the table: nats, their standard error if known, and bits in brackets."""
    return f"{nats}{f' ± {error:.4f}' if error else ''} ({bits(float(nats)):.3f})"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train, score, and print the table of results.")
    parser.add_argument("text", type=Path, metavar="TEXT", help="its last tenth is held out")
    parser.add_argument(
        "--rows",
        default=",".join(ROWS),
        metavar="NAME,NAME",
        help=f"rows to measure, of {', '.join(ROWS)}; default: all",
    )
    parser.add_argument("--beside", metavar="COMMIT", help="measure each row by this commit too, right after it")
    parser.add_argument("--train", default="", metavar="OPTIONS", help="further options of `charrnn train` in all rows")
    parser.add_argument("--table", action="store_true", help="measure nothing and print the kept results")
    place = Path("checkpoints", "quality")
    parser.add_argument(
        "--models", type=Path, default=place, metavar="FOLDER", help=f"folder of models and results; default: {place}"
    )
    given = parser.parse_args(argv)
    given.rows = [] if given.table else given.rows.split(",")
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"--rows {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    if not given.text.is_file():
        parser.error(f"{given.text}: no such file")
    return given


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the given rows, keep their results, and print all kept results."""
    given = arguments(argv)
    begun, results = datetime.now(UTC).isoformat(), given.models / "results.jsonl"
    given.models.mkdir(parents=True, exist_ok=True)
    for name, commit in product(given.rows, ["", given.beside] if given.beside else [""]):
        result = measure(name, given.text, given.models, begun, given.train, commit)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")
    sha256 = hashlib.sha256(given.text.read_bytes()).hexdigest()
    print(table(kept(results, sha256), OTHERS if sha256 == TINY_SHAKESPEARE else ()), end="")


if __name__ == "__main__":
    main()
