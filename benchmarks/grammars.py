"""Measure samples of grammars and JSON schemas: validity, speed and dead ends; print a table.

    python -m benchmarks.grammars                          # every row, some ten minutes
    python -m benchmarks.grammars --only compile,walks

The model is trained for a minute on records that this program writes, and kept. The walks are also made with llguidance
(extra charrnn-numpy[bench]), whose masks know the grammar but not what a vocabulary lacks.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jsonschema
import lark
import numpy as np

from benchmarks.quality import charrnn
from benchmarks.scoring import Row, medians
from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.chart import Chart
from charrnn.sampling.grammar.context_free import CompiledGrammar
from charrnn.sampling.grammar.json_schema import json_schema_grammar
from tests.sampling.grammar.examples import ARITHMETIC, EXAMPLES, GRAMMARS, ITEM, PRINTABLE, SCHEMAS, chart_of, walk

BUDGET = ("--time", "60s")
SAMPLES, RECORDS = 10_000, 5_000
WALKS, LENGTH, LACKING = 100_000, 60, 6  # random walks; their length at most; characters that a vocabulary lacks
COMPILES = 20

Bench = Path  # the folder of the model and its texts


def random_records(chart: Chart, count: int) -> str:
    """Return texts of a chart, one per line."""
    rng = random.Random(0)
    return "\n".join(walk(chart, rng, 700) for _ in range(count))


def item_chart() -> Chart:
    """Return the chart of a nested schema with twelve properties."""
    usable = np.ones(len(PRINTABLE), np.bool_)
    return Chart(CompiledGrammar("--json-schema", json_schema_grammar(json.dumps(ITEM)), PRINTABLE, usable))


def model(bench: Bench) -> str:
    """Return a model that was trained on records for a minute."""
    path, text = bench / "records.npz", bench / "records.txt"
    text.write_text(random_records(item_chart(), RECORDS), "utf-8")
    charrnn("train", str(text), "--lines", *BUDGET, "-m", str(path), "--resume", "-q")
    return str(path)


def compiling(bench: Bench) -> Iterator[Row]:
    """Time what a sample waits for before its first character."""
    seconds = list[float]()
    for _ in range(COMPILES):
        began = time.perf_counter()
        item_chart()
        seconds.append(time.perf_counter() - began)
    yield "a nested schema of 12 properties: compiled in", f"{statistics.median(seconds) * 1e3:.0f} ms"


def records(bench: Bench) -> Iterator[Row]:
    """Write samples that are valid by a schema, check them, and time them beside samples of the same lengths."""
    (bench / "item.json").write_text(json.dumps(ITEM), "utf-8")
    plain = ["sample", "-m", model(bench), "--seed", "1", "-q", "--count", str(SAMPLES)]
    constrained = [*plain, "--json-schema", str(bench / "item.json"), "-n", "1000"]
    texts = charrnn(*constrained).splitlines()
    validator = jsonschema.Draft202012Validator(ITEM, format_checker=jsonschema.FormatChecker())
    valid = sum(validator.is_valid(json.loads(text)) for text in texts)
    length = round(statistics.mean(map(len, texts)))
    yield f"{SAMPLES:,} samples of it ({length} characters in the mean): valid", f"{valid / SAMPLES:.2%}"
    free, bound = medians([*plain, "-n", str(length)], constrained)
    yield "the same, to samples without a schema", f"{free / bound:.0%} of the speed"


def sums(bench: Bench) -> Iterator[Row]:
    """Write samples of an arithmetic grammar, and parse them with lark."""
    (bench / "sums.lark").write_text(ARITHMETIC, "utf-8")
    line = ["sample", "-m", model(bench), "--seed", "1", "-q", "--count", str(SAMPLES), "-n", "40", "-t", "2"]
    texts = charrnn(*line, "--grammar", str(bench / "sums.lark")).splitlines()
    parser = lark.Lark(ARITHMETIC, parser="lalr")
    parsed = sum(parser.parse(text) is not None for text in texts)
    yield f"{SAMPLES:,} samples of an arithmetic grammar: parsed by lark", f"{parsed / SAMPLES:.2%}"


def crippled(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield examples, without end, each with some characters that the vocabulary lacks."""
    while True:
        for name in EXAMPLES:
            yield name, "".join(rng.sample(PRINTABLE, LACKING))


def walks(bench: Bench) -> Iterator[Row]:
    """Walk at random through texts of all examples with vocabularies that lack characters; count dead ends."""
    per_chart, made, refused, dead = 50, 0, 0, 0
    rng = random.Random(0)
    for name, without in crippled(rng):
        try:
            chart = chart_of(name, without)
        except UsageError:
            refused += 1
            continue
        shortest = max(1, int(chart.grammar.shortest[chart.grammar.productions[0][0]]))
        for _ in range(per_chart):
            try:
                walk(chart, rng, shortest + rng.randrange(LENGTH))
            except (IndexError, AssertionError):
                dead += 1
        made += per_chart
        if made >= WALKS:
            break
    yield (
        f"{made:,} random walks over {len(EXAMPLES)} grammars and schemas, {LACKING} characters lacking: dead ends",
        f"{dead} (and {refused} vocabularies refused in advance)",
    )


def library(bench: Bench) -> Iterator[Row]:
    """Make such walks by the masks of llguidance, up to a length without the end."""
    import llguidance

    rng, made, dead = random.Random(0), 0, 0
    tokens = [character.encode() for character in PRINTABLE]
    tokens += [bytes([n]) for n in range(256) if bytes([n]) not in tokens] + [b"<end>"]
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens(tokens)), n_vocab=len(tokens), slices=[])
    seconds, chars = 0.0, 0
    for name, without in crippled(rng):
        if made >= WALKS // 100:
            break
        if name in GRAMMARS:
            source = llguidance.LLMatcher.grammar_from_lark(GRAMMARS[name])
        else:
            source = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(SCHEMAS[name]))
        matcher = llguidance.LLMatcher(tokenizer, source, log_level=0)
        if matcher.is_error():
            continue
        usable = np.array([character not in without for character in PRINTABLE])
        made += 1
        for _ in range(LENGTH):
            start = time.perf_counter()
            bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
            allowed = np.flatnonzero(bits[: len(PRINTABLE)].astype(bool) & usable)
            seconds += time.perf_counter() - start
            if not len(allowed):
                dead += not matcher.is_accepting()
                break
            matcher.consume_token(int(rng.choice(allowed.tolist())))
            chars += 1
    yield f"{made:,} such walks by the masks of llguidance: dead ends", f"{dead}"
    yield "a mask of llguidance", f"{seconds / chars * 1e6:.1f} µs"


class Tokens:
    """What llguidance asks of a tokenizer: one token per symbol, and bytes that are never drawn."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens
        self.eos_token_id, self.bos_token_id = len(tokens) - 1, None
        self.special_token_ids = [self.eos_token_id]

    def __call__(self, text: str | bytes) -> list[int]:
        """Return the tokens of a text, one per byte."""
        data = text.encode() if isinstance(text, str) else bytes(text)
        return [self.tokens.index(bytes([byte])) for byte in data]


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "compile": compiling,
    "records": records,
    "sums": sums,
    "walks": walks,
    "library": library,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the given rows."""
    parser = argparse.ArgumentParser(description="Measure samples of grammars, and print a table.")
    parser.add_argument("--only", default=",".join(ROWS), metavar="NAME,NAME", help=f"rows to print: {', '.join(ROWS)}")
    parser.add_argument("--models", type=Path, default=Path("checkpoints", "grammars"), metavar="FOLDER")
    given = parser.parse_args(argv)
    names = given.only.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"--only {','.join(unknown)}: the rows are {', '.join(ROWS)}")
    given.models.mkdir(parents=True, exist_ok=True)
    print("| grammars | measured |\n|---|---|", flush=True)
    for name in names:
        for row in ROWS[name](given.models):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
