"""Measure what scores are good for, and how fast lines, patterns and many samples are; print README's table.

    python -m benchmarks.scoring en.txt de.txt es.txt --odd novels.txt    # every row
    python -m benchmarks.scoring en.txt de.txt es.txt --only dates,next   # some of them

Every figure is of commands as a user would type them, in processes of their own. Models learn for a minute each; they
are made where they are missing, and kept: to measure them anew, remove their folder. All but two of the rows are
measured with the model of the first language.
"""

import argparse
import codecs
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.quality import charrnn

BUDGET = ("--time", "60s")
LEARNT = 200_000  # bytes of a language that its model learns from
HELD_OUT, SHORTEST = 1_000, 40  # lines of each language that are told apart; characters of the shortest of them
REAL, PLANTED, SUSPECTED = 5_000, 50, 100  # lines of a text; others planted among them; the oddest ones that count
SIZE = 10_000_000  # bytes that are scored as a stream and as lines
STEPS = 200  # of training, for its speed
DATES, SAMPLES, LENGTH = 10_000, 64, 5_000
ENDLESS, SETTLED = 10_000_000, 1_000_000  # characters of an endless sample; those after which its memory is settled
ROUNDS = 5  # of what takes a second or so: in turn, and the median counts

SHORT_MONTHS = r"(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8])"
DATE = rf"(19|20)\d\d-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|{SHORT_MONTHS})"

Row = tuple[str, str]  # what was measured, and the figure
Shuffle = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Bench:
    """Texts in three languages, one in which lines are planted, and a folder for models and for what they read."""

    languages: Sequence[Path]
    odd: Path
    folder: Path

    def write(self, name: str, lines: Sequence[str]) -> str:
        """Write lines to a file of the folder; return its path."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return str(path)

    def model(self, name: str, lines: Sequence[str]) -> str:
        """Return a model that has learnt from lines for a minute."""
        path = str(self.folder / f"{name}.npz")
        charrnn("train", self.write(f"{name}.txt", lines), *BUDGET, "-m", path, "--resume", "-q")
        return path

    @cached_property
    def first(self) -> str:
        """The model of the first language."""
        return self.model(self.languages[0].stem, split(self.languages[0])[0])


def split(text: Path) -> tuple[list[str], list[str]]:
    """Return the lines in the first LEARNT bytes of a text, and those after them that are none of these."""
    data = text.read_bytes()
    end = data.rfind(b"\n", 0, LEARNT + 1) + 1
    learnt = data[:end].decode().split("\n")[:-1]
    known = {*learnt}
    return learnt, [line for line in data[end:].decode().split("\n") if line not in known]


def spread(lines: Sequence[str], count: int) -> list[str]:
    """Return so many of the lines that are long enough, from all over them."""
    long = [line for line in lines if len(line) >= SHORTEST]
    if len(long) < count:
        raise SystemExit(f"scoring.py: {len(long)} lines of {SHORTEST} characters: {count} are needed")
    return [long[i * len(long) // count] for i in range(count)]


# ---- what scores are good for ----


def languages(bench: Bench) -> Iterator[Row]:
    """Tell the lines of three languages apart by three models."""
    models, lines, true = [], list[str](), list[str]()
    for text in bench.languages:
        learnt, others = split(text)
        models.append(bench.model(text.stem, learnt))
        lines += spread(others, HELD_OUT)
        true += [models[-1]] * HELD_OUT
    first, *rest = models
    against = [word for model in rest for word in ("--against", model)]
    rows = charrnn("eval", "-m", first, *against, "--lines", "-q", bench.write("mixed.txt", lines)).split("\n")
    told = [row.split("\t")[len(models)] for row in rows[:-1]]
    right = sum(map(str.__eq__, told, true))
    yield (
        f"lines of {SHORTEST} characters and more, `--against` in three languages: a minute on 200 KB each",
        f"{right / len(true):.1%} of {len(true):,}",
    )


def words_shuffled(line: str, rng: np.random.Generator) -> str:
    """Return the words of a line in another order."""
    return " ".join(rng.permutation(line.split()))


def characters_shuffled(line: str, rng: np.random.Generator) -> str:
    """Return the characters of a line in another order."""
    return "".join(rng.permutation([*line]))


def odd(bench: Bench) -> Iterator[Row]:
    """Plant shuffled lines among real ones, and look for them among the lines with the highest scores."""
    lines = [line for line in bench.odd.read_text("utf-8").split("\n") if line.strip()]
    learnt, held_out = lines[: -REAL - PLANTED], lines[-REAL - PLANTED :]
    model = bench.model(f"before-{bench.odd.stem}", learnt)
    chosen = {*spread([*dict.fromkeys(held_out)], PLANTED)}
    for shuffle in (characters_shuffled, words_shuffled):
        mixed, places = plant(held_out, chosen, shuffle)
        rows = charrnn("eval", "-m", model, "--lines", "-q", bench.write("planted.txt", mixed)).split("\n")[:-1]
        found = len(oddest(rows, SUSPECTED) & places)
        yield (
            f"{PLANTED} lines with their {shuffle.__name__.replace('_', ' ')} among {REAL:,} of {bench.odd.name}: "
            f"found in the {SUSPECTED} oddest of `--lines`",
            f"{found / PLANTED:.0%}",
        )


def plant(lines: Sequence[str], chosen: set[str], shuffle: Shuffle) -> tuple[list[str], set[int]]:
    """Shuffle the chosen lines, each where it first stands; return all lines and the places of those."""
    rng, places = np.random.default_rng(0), {lines.index(line) for line in chosen}
    return [shuffle(line, rng) if i in places else line for i, line in enumerate(lines)], places


def oddest(rows: Sequence[str], count: int) -> set[int]:
    """Return the places of the rows with the highest figures; one of which nothing is known has none, and is odd."""
    figures = [row.split("\t")[0].replace("-", "inf") for row in rows]
    return {*sorted(range(len(rows)), key=lambda i: -float(figures[i]))[:count]}


# ---- how fast ----


def timed(*arguments: str) -> tuple[float, str]:
    """Run a command; return its seconds and what it wrote."""
    began = time.perf_counter()
    wrote = charrnn(*arguments)
    return time.perf_counter() - began, wrote


def medians(*commands: Sequence[str]) -> list[float]:
    """Run commands in turn, ROUNDS times; return the median seconds of each."""
    times = [[timed(*command)[0] for command in commands] for _ in range(ROUNDS)]
    return [statistics.median(own) for own in zip(*times, strict=True)]


def lines(bench: Bench) -> Iterator[Row]:
    """Time the scoring of a text as one stream and line by line, beside training."""
    model, text = bench.first, "\n".join(split(bench.languages[0])[1])
    large = (text * (SIZE // len(text) + 1)).encode()[:SIZE].decode(errors="ignore")
    path = bench.write("large.txt", [large])
    training = bench.write("train.txt", [large[: SIZE // 4]])
    steps = ("--steps", str(STEPS), "--val-fraction", "0", "-m", str(bench.folder / "speed.npz"), "--force", "--json")
    trained = json.loads(charrnn("train", training, *steps, "-q").splitlines()[-1])["chars_per_second"]
    stream, _ = timed("eval", "-m", model, path)
    by_lines, _ = timed("eval", "-m", model, path, "--lines")
    rate = len(large) / stream
    yield f"`eval` on {SIZE / 1e6:g} MB, characters a second", f"{rate / 1e3:.1f}k/s"
    yield "`eval`, to a training pass over the text", f"{rate / trained:.2f} times as fast"
    yield f"`eval --lines` on the same {SIZE / 1e6:g} MB, to `eval`", f"{by_lines / stream:.2f} times as long"


def dates(bench: Bench) -> Iterator[Row]:
    """Time samples that match a pattern beside others of their length, and read them as dates."""
    samples = ["sample", "-m", bench.first, "--count", str(DATES), "-n", "10", "--seed", "1", "-q"]
    found = charrnn(*samples, "--regex", DATE).splitlines()
    valid = sum(is_date(line) for line in found)
    plain, matching = medians(samples, [*samples, "--regex", DATE])
    yield f"{DATES:,} samples of a `--regex` for ISO dates: valid", f"{valid / DATES:.2%}"
    yield "the same, to samples without a pattern", f"{plain / matching:.0%} of the speed"


def is_date(text: str) -> bool:
    """Tell whether a text is a day of the calendar, as ISO 8601 writes it."""
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def count(bench: Bench) -> Iterator[Row]:
    """Time one sample and many side by side, without the start of the program."""
    sample = ["sample", "-m", bench.first, "--seed", "1", "-q", "-n"]
    many = ["--count", str(SAMPLES)]
    start, one, all_of_them = medians([*sample, "0"], [*sample, f"{4 * LENGTH}"], [*sample, f"{LENGTH}", *many])
    rates = 4 * LENGTH / (one - start), SAMPLES * LENGTH / (all_of_them - start)
    yield "`sample`, characters a second", f"{rates[0] / 1e3:.1f}k/s"
    yield (
        f"`sample --count {SAMPLES}`, characters a second",
        f"{rates[1] / 1e3:.1f}k/s, {rates[1] / rates[0]:.1f} times as many",
    )


def endless(bench: Bench) -> Iterator[Row]:
    """Read an endless sample, watch the memory of its process, and go away."""
    command = [sys.executable, "-m", "charrnn", "sample", "-m", bench.first, "-n", "-1", "--seed", "1", "-q"]
    decoder, chars, sizes = codecs.getincrementaldecoder("utf-8")(), 0, list[int]()
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        while chars < ENDLESS:
            chars += len(decoder.decode(process.stdout.read(1 << 14)))
            if chars > SETTLED * (len(sizes) + 1):
                sizes.append(resident(process.pid))
        seconds = time.perf_counter() - began
        process.stdout.close()
        said = process.stderr.read().decode()
    quietly = "quietly, with 0" if (process.returncode, said) == (0, "") else f"with {process.returncode}: {said}"
    yield f"`sample -n -1`, {chars:,} characters: speed, start included", f"{chars / seconds / 1e3:.1f}k/s"
    yield (
        f"the same: memory, and its growth after the first {SETTLED:,}",
        f"{max(sizes) / 1e6:.0f} MB, {(max(sizes) - sizes[0]) / 1e6:.2f} MB",
    )
    yield "the same: ends when its reader goes away", quietly


def resident(process: int) -> int:
    """Return the resident memory of a process now, in bytes (on Linux)."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def following(bench: Bench) -> Iterator[Row]:
    """Time the answer to what would come next."""
    text = bench.write("begun.txt", ["\n".join(split(bench.languages[0])[1])[:1000]])
    (seconds,) = medians(["eval", "-m", bench.first, "--next", "5", text])
    yield "`eval --next 5` after 1,000 characters, start included", f"{seconds * 1e3:.0f} ms"


ROWS = {
    "languages": languages,
    "odd": odd,
    "lines": lines,
    "dates": dates,
    "count": count,
    "endless": endless,
    "next": following,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows that were asked for."""
    parser = argparse.ArgumentParser(description="Measure scoring and sampling, and print the table of README.")
    parser.add_argument("texts", nargs=3, type=Path, metavar="TEXT", help="a language each, of 500 KB and more")
    parser.add_argument("--odd", type=Path, metavar="TEXT", help="where lines are planted; the first of the three")
    parser.add_argument("--only", default=",".join(ROWS), metavar="NAME,NAME", help=f"of {', '.join(ROWS)}; all")
    place = Path("checkpoints", "scoring")
    parser.add_argument("--models", type=Path, default=place, metavar="FOLDER", help=f"where models are kept; {place}")
    given = parser.parse_args(argv)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"--only {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    given.models.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.texts, given.odd or given.texts[0], given.models)
    print("| scoring and sampling | measured |\n|---|---|", flush=True)
    for name in names:
        for row in ROWS[name](bench):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
