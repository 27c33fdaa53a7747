"""Measure the use of scores, and the speed of lines, patterns and many samples; print a table.

    python -m benchmarks.scoring en.txt de.txt es.txt --odd novels.txt    # every row
    python -m benchmarks.scoring en.txt de.txt es.txt --only dates,next   # some rows

Every figure is that of commands as a user would type them, in their own processes. Each model trains for a minute and
is kept; remove the folder to train them again. All rows but two use the model of the first language.
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

from benchmarks.logs import LOGS, day_of, planted
from benchmarks.quality import charrnn

BUDGET = ("--time", "60s")
LEARNT = 200_000  # bytes that each model is trained on
HELD_OUT, SHORTEST = 1_000, 40  # lines of each language to classify; characters of the shortest line
DAY, RATE = 20_000, 400  # lines of a day of a log; of how many ordinary lines one may be passed on
REAL, PLANTED, SUSPECTED = 5_000, 50, 100  # lines of a text; lines planted among them; lines with the highest scores
SIZE = 10_000_000  # bytes to score as one stream and line by line
STEPS = 200  # training steps, to measure their speed
DATES, SAMPLES, LENGTH = 10_000, 64, 5_000
ENDLESS, SETTLED = 10_000_000, 1_000_000  # characters of an endless sample; characters until its memory is steady
ROUNDS = 5  # of short commands, in alternation; the median is used

SHORT_MONTHS = r"(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8])"
DATE = rf"(19|20)\d\d-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|{SHORT_MONTHS})"

Row = tuple[str, str]  # measurement, result
Shuffle = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Bench:
    """Texts in three languages, a text to plant lines in, and a folder for models and their texts."""

    languages: Sequence[Path]
    odd: Path
    folder: Path

    def write(self, name: str, lines: Sequence[str]) -> str:
        """Write lines to a file of the folder; return its path."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return str(path)

    def model(self, name: str, lines: Sequence[str], *options: str) -> str:
        """Return a model that was trained on lines for a minute."""
        path = str(self.folder / f"{name}.npz")
        charrnn("train", self.write(f"{name}.txt", lines), *BUDGET, "-m", path, "--resume", "-q", *options)
        return path

    @cached_property
    def first(self) -> str:
        """The model of the first language."""
        return self.model(self.languages[0].stem, split(self.languages[0])[0])


def split(text: Path) -> tuple[list[str], list[str]]:
    """Return the lines in the first LEARNT bytes of a text, and the later lines that differ from all of them."""
    data = text.read_bytes()
    end = data.rfind(b"\n", 0, LEARNT + 1) + 1
    learnt = data[:end].decode().split("\n")[:-1]
    known = {*learnt}
    return learnt, [line for line in data[end:].decode().split("\n") if line not in known]


def spread(lines: Sequence[str], count: int) -> list[str]:
    """Return `count` lines that are long enough, evenly spread."""
    long = [line for line in lines if len(line) >= SHORTEST]
    if len(long) < count:
        raise SystemExit(f"scoring.py: {len(long)} lines of {SHORTEST} characters: {count} are needed")
    return [long[i * len(long) // count] for i in range(count)]


# ---- the use of scores ----


def languages(bench: Bench) -> Iterator[Row]:
    """Classify lines of three languages with three models."""
    models, lines, true = [], list[str](), list[str]()
    for text in bench.languages:
        learnt, others = split(text)
        models.append(bench.model(text.stem, learnt))
        lines += spread(others, HELD_OUT)
        true += [models[-1]] * HELD_OUT
    first, *rest = models
    against = [word for model in rest for word in ("--against", model)]
    rows = charrnn("eval", "-m", first, *against, "--lines", "-q", bench.write("mixed.txt", lines)).split("\n")
    found = [row.split("\t")[len(models)] for row in rows[:-1]]
    right = sum(map(str.__eq__, found, true))
    yield (
        f"lines of at least {SHORTEST} characters, `--against` in three languages: a minute on 200 KB each",
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
            f"found in the {SUSPECTED} most unexpected of `--lines`",
            f"{found / PLANTED:.0%}",
        )


def plant(lines: Sequence[str], chosen: set[str], shuffle: Shuffle) -> tuple[list[str], set[int]]:
    """Shuffle the chosen lines, each where it first occurs; return all lines and the positions of the shuffled ones."""
    rng, places = np.random.default_rng(0), {lines.index(line) for line in chosen}
    return [shuffle(line, rng) if i in places else line for i, line in enumerate(lines)], places


def oddest(rows: Sequence[str], count: int) -> set[int]:
    """Return the positions of the rows with the highest scores; rows without a score come first."""
    figures = [row.split("\t")[0].replace("-", "inf") for row in rows]
    return {*sorted(range(len(rows)), key=lambda i: -float(figures[i]))[:count]}


def alarms(bench: Bench) -> Iterator[Row]:
    """Plant anomalies among the lines of the next day of five logs, and look for them with a calibrated threshold."""
    for kind, log in LOGS.items():
        ignore = [word for pattern in log.ignore for word in ("--ignore", pattern)]
        model = bench.model(f"log-{kind}", day_of(kind, 1, DAY), "--lines", *ignore)
        mixed, places = planted(day_of(kind, 2, DAY), PLANTED)
        path = bench.write(f"{kind}-2.txt", mixed)
        command = ("eval", "-m", model, "--lines", "-q", path)
        rows = charrnn(*command, "--score", "peak").split("\n")[:-1]
        seconds, passed = timed(*command, "--threshold", f"auto:1/{RATE}", "--json")
        found = {json.loads(record)["line_number"] - 1 for record in passed.splitlines()}
        ranked = len(oddest(rows, SUSPECTED) & places)
        yield (
            f"{PLANTED} anomalies among {DAY:,} lines of {kind}: in the {SUSPECTED} highest of `--score peak`",
            f"{ranked / PLANTED:.0%}",
        )
        yield (
            f"the same: passed on by `--threshold auto:1/{RATE}`, false alarms (promised: {DAY // RATE})",
            f"{len(found & places) / PLANTED:.0%}, {len(found - places)}",
        )
        yield "the same: lines per second, start included", f"{DAY / seconds:,.0f}"


# ---- speed ----


def timed(*arguments: str) -> tuple[float, str]:
    """Run a command; return its seconds and its output."""
    began = time.perf_counter()
    wrote = charrnn(*arguments)
    return time.perf_counter() - began, wrote


def medians(*commands: Sequence[str]) -> list[float]:
    """Run commands in alternation, ROUNDS times; return the median seconds of each."""
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
    yield f"`eval` on {SIZE / 1e6:g} MB, characters per second", f"{rate / 1e3:.1f}k/s"
    yield "`eval`, to a training pass over the text", f"{rate / trained:.2f} times as fast"
    yield f"`eval --lines` on the same {SIZE / 1e6:g} MB, to `eval`", f"{by_lines / stream:.2f} times as long"


def dates(bench: Bench) -> Iterator[Row]:
    """Time samples that match a pattern beside plain samples of the same length, and parse them as dates."""
    samples = ["sample", "-m", bench.first, "--count", str(DATES), "-n", "10", "--seed", "1", "-q"]
    found = charrnn(*samples, "--regex", DATE).splitlines()
    valid = sum(is_date(line) for line in found)
    plain, matching = medians(samples, [*samples, "--regex", DATE])
    yield f"{DATES:,} samples of a `--regex` for ISO dates: valid", f"{valid / DATES:.2%}"
    yield "the same, to samples without a pattern", f"{plain / matching:.0%} of the speed"


def is_date(text: str) -> bool:
    """Return whether a text is a date in the format of ISO 8601."""
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def count(bench: Bench) -> Iterator[Row]:
    """Time one sample and many at once, without the start of the program."""
    sample = ["sample", "-m", bench.first, "--seed", "1", "-q", "-n"]
    many = ["--count", str(SAMPLES)]
    start, one, all_of_them = medians([*sample, "0"], [*sample, f"{4 * LENGTH}"], [*sample, f"{LENGTH}", *many])
    rates = 4 * LENGTH / (one - start), SAMPLES * LENGTH / (all_of_them - start)
    yield "`sample`, characters per second", f"{rates[0] / 1e3:.1f}k/s"
    yield (
        f"`sample --count {SAMPLES}`, characters per second",
        f"{rates[1] / 1e3:.1f}k/s, {rates[1] / rates[0]:.1f} times as many",
    )


def endless(bench: Bench) -> Iterator[Row]:
    """Read an endless sample, measure the memory of its process, and close the pipe."""
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
    yield "the same: exit when its reader closes the pipe", quietly


def resident(process: int) -> int:
    """Return the resident memory of a process now, in bytes (on Linux)."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def following(bench: Bench) -> Iterator[Row]:
    """Time the prediction of the next characters."""
    text = bench.write("begun.txt", ["\n".join(split(bench.languages[0])[1])[:1000]])
    (seconds,) = medians(["eval", "-m", bench.first, "--next", "5", text])
    yield "`eval --next 5` after 1,000 characters, start included", f"{seconds * 1e3:.0f} ms"


ROWS = {
    "languages": languages,
    "odd": odd,
    "alarms": alarms,
    "lines": lines,
    "dates": dates,
    "count": count,
    "endless": endless,
    "next": following,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the given rows."""
    parser = argparse.ArgumentParser(description="Measure scoring and sampling, and print a table.")
    parser.add_argument(
        "texts", nargs=3, type=Path, metavar="TEXT", help="three texts in different languages, each of at least 500 KB"
    )
    parser.add_argument(
        "--odd", type=Path, metavar="TEXT", help="text to plant lines in; default: the first of the three"
    )
    parser.add_argument(
        "--only", default=",".join(ROWS), metavar="NAME,NAME", help=f"rows to print, of {', '.join(ROWS)}; default: all"
    )
    place = Path("checkpoints", "scoring")
    parser.add_argument(
        "--models", type=Path, default=place, metavar="FOLDER", help=f"folder of the models; default: {place}"
    )
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
