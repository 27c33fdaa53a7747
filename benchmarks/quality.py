"""Train for given budgets, score the held-out text, and print the table of benchmarks/README.md.

    python -m benchmarks.quality tinyshakespeare.txt                  # measure every row
    python -m benchmarks.quality tinyshakespeare.txt --rows 150s,rnn  # some rows; the others as last measured
    python -m benchmarks.quality tinyshakespeare.txt --table          # no row: print what was measured

Each row is one command as a user would type it, run in its own process and timed from start to exit. Nothing is tuned
here: the settings were chosen on a part of the training text (docs/decisions.md). Three protocols, in nats per
character:

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
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charrnn import __version__
from charrnn.api import load
from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.eval_inputs import load_model_corpus
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids, cross_entropy_forward
from charrnn.core.score import bits

ROWS = {  # name: (title, options of `charrnn train`)
    "150s": ("charrnn, the defaults, 150 seconds", "--time 150s"),
    "10m": ("charrnn, two networks, 10 minutes", "--time 10m --ensemble 2 --dropout 0.1 --lr 0.005"),
    "60m": (
        "charrnn, four networks, 60 minutes",
        "--time 60m --ensemble 4 --hidden-size 384 --dropout 0.25 --weight-decay 0.3 --lr 0.005",
    ),
    "rnn": ("charrnn, a plain tanh RNN, 10 minutes", "--cell rnn --dropout 0.1 --time 10m"),
}


TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # SHA-256 of the text of OTHERS
GPT, PAPER = "published: nanoGPT's README", "published: Feng et al. 2024, arXiv:2410.01201"
OTHERS = (  # title, protocol, nats per character, cost, source
    ("nanoGPT, its recipe for a CPU", "blocks", "1.886", "150 s, two cores", f"{GPT}, 1.88, run again; blocks of 64"),
    ("nanoGPT, its recipe for a GPU", "blocks", "1.4697", "3 min, an A100", GPT),
    ("minGRU", "blocks", "1.548", "a 16 GB GPU", PAPER),
    ("minLSTM", "blocks", "1.555", "a 16 GB GPU", PAPER),
    ("Transformer", "blocks", "1.547", "a 16 GB GPU", PAPER),
    ("PPMd, order 6", "learning", "1.404", "seconds", "reference: pyppmd, given the training text"),
    ("zpaq, context mixing", "learning", "1.302", "seconds", "reference: zpaq, given the training text"),
)

PROTOCOLS = {"streamed": "streamed", "learning": "streamed, learning as it reads", "blocks": "random blocks of 256"}
HEADER = ("nats (bits) per character", *PROTOCOLS.values(), "time", "from")

BLOCK, WIDTH, BATCHES = 256, 32, 128  # characters per block; blocks per batch; batches: 4,096 blocks, ± 0.003 nats


@dataclass(frozen=True)
class Result:
    """The result of a row, kept as a line of JSON: how and when it was made, and its scores in nats per character."""

    row: str
    title: str
    command: str
    text: str  # SHA-256
    begun: str  # time at which this program was started, UTC
    seconds: float  # of the whole `train` process
    nats: dict[str, float]  # by protocol
    error: float  # standard error of the mean of the blocks
    baselines: dict[str, float]  # streamed, by name
    environment: dict[str, str]  # versions and cores


def charrnn(*arguments: str) -> str:
    """Run a command without the user's CHARRNN_* variables; return its stdout, or exit with its code if it fails."""
    print("$", shlex.join(("charrnn", *arguments)), file=sys.stderr, flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHARRNN_")}
    command = [sys.executable, "-m", "charrnn", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def scores(model: str, *options: str) -> dict[str, float]:
    """Return the nats per character of the held-out text for the model and for each baseline, by name."""
    records = map(json.loads, charrnn("eval", "-m", model, "--json", *options).splitlines())
    return {record["model"]: record["nats_per_char"] for record in records}


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


def measure(name: str, text: Path, folder: Path, begun: str) -> Result:
    """Train the model of a row and score it; the model stays in the folder."""
    title, options = ROWS[name]
    model = str(folder / f"{name}.npz")
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    charrnn("train", str(text), *shlex.split(options), "-m", model, "--force")
    seconds = time.perf_counter() - started
    streamed, learning = scores(model, "--against-baselines"), scores(model, "--dynamic")
    trained = load(model)
    blocks = block_costs(trained.network, load_model_corpus(trained, to_score=True)[1], BATCHES)
    environment = CheckpointStore(Path(model)).load().environment
    return Result(
        row=name,
        title=title,
        command=f"charrnn train {text.name} {options}",
        text=trained.origin.sha256,
        begun=begun,
        seconds=round(seconds, 1),
        nats={"streamed": streamed.pop(model), "learning": learning[model], "blocks": float(blocks.mean())},
        error=float(blocks.std(ddof=1)) / math.sqrt(len(blocks)),
        baselines=streamed,
        environment=environment | {"charrnn": __version__, "cores": str(os.cpu_count())},
    )


def kept(results: Path, text: str) -> list[Result]:
    """Return the latest result of each row on the text with this SHA-256, in the order of ROWS."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    found = {result.row: result for line in lines if (result := Result(**json.loads(line))).text == text}
    return [found[name] for name in ROWS if name in found]


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
            yield [name, cell(f"{nats:.4f}"), "", "", "", "measured here: `charrnn eval --against-baselines`"]


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
    for name in given.rows:
        result = measure(name, given.text, given.models, begun)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")
    sha256 = hashlib.sha256(given.text.read_bytes()).hexdigest()
    print(table(kept(results, sha256), OTHERS if sha256 == TINY_SHAKESPEARE else ()), end="")


if __name__ == "__main__":
    main()
