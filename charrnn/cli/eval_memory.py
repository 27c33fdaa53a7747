"""charrnn eval --memory: how far back models remember, as a table, a chart and pictures."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from charrnn.cli.picture_files import PictureFiles
from charrnn.cli.streams import Output
from charrnn.cli.texts import Encoded, Scorer, tell, tell_unknown, texts_to_score
from charrnn.errors import UsageError
from charrnn.evaluate import bits
from charrnn.glyphs import visible
from charrnn.memory import Memory, measure
from charrnn.ops import Array
from charrnn.pictures import page, plot
from charrnn.terminal import is_terminal, line_chart
from charrnn.vocab import UNKNOWN

MOST = 1 << 22  # characters of a text that are read
FLOOR = 1e-8  # a norm below it, as a multiple of that at lag 0, is not drawn: added to the others it is lost in float32
ACROSS = "characters back"
TITLES = "gradient, as a multiple of that at lag 0", "bits a character, if the state is cut off there"
Points = list[tuple[float, float]]


def tell_memory(
    names: Sequence[str], scorers: Sequence[Scorer], output: Output, files: PictureFiles, json: bool, quiet: bool
) -> None:
    """Write what was measured of each model on one text, and draw it, on a terminal or into files."""
    if len(names) > 1:
        raise UsageError(f"--memory: is measured on one text, not on {len(names)}: join them with cat, and name -")
    scorers = list({scorer.name: scorer for scorer in scorers}.values())  # one that is named twice is the same
    ((name, blocks),) = texts_to_score(names, scorers[0].trained, quiet)
    text = beginning(blocks)
    chars = sum(map(len, text))
    tell([f"{name}: only its first {MOST:,} characters are read"] * (chars == MOST), quiet)
    encoded = [Encoded(text, scorer.vocab) for scorer in scorers]
    ids = [np.concatenate([np.empty(0, np.int32), *own]) for own in encoded]
    unknown = [own.unknown for own in encoded]
    tell_unknown(name, unknown, scorers, quiet)
    found = dict[str, Memory]()
    for scorer, own in zip(scorers, ids, strict=True):
        waiting = is_terminal(sys.stderr) and not quiet
        tell([f"measuring how far back {scorer.name} remembers: this may take half a minute"] * waiting, quiet=False)
        found[scorer.name] = measure(scorer.trained.model, own[own != UNKNOWN])
    if json:
        for scorer, lacking, memory in zip(scorers, unknown, found.values(), strict=True):
            output.record(record(name, scorer, chars, lacking, memory))
    else:
        write(output, name, found, charted=not files)
    title = f"How far back: {', '.join(found)} on {name}"
    files.save(lambda: page(title, picture(found)), lambda: picture(found))


def beginning(blocks: Iterable[str]) -> list[str]:
    """Return the first MOST characters of a text that comes in blocks."""
    taken, room = list[str](), MOST
    for block in blocks:
        taken.append(block[:room])
        room -= len(taken[-1])
        if not room:
            break
    return taken


def record(text: str, scorer: Scorer, chars: int, unknown: int, memory: Memory) -> dict[str, Any]:
    """Return the JSON object of a model."""
    return {
        "text": text,
        "model": str(scorer.path),
        "chars": chars - unknown,
        "unknown": unknown,
        "stretches": memory.stretches,
        "gradient_mean": finite(memory.mean),
        "gradient_median": finite(memory.median),
        "gradient_parts": {name: finite(norms) for name, norms in memory.parts.items()},
        "bits_per_char": bits(memory.full),
        "cut": [
            {"context": k, "bits_per_char": bits(nats), "positions": memory.positions[k]}
            for k, nats in memory.cut.items()
        ],
    }


def finite(values: Array) -> list[float | None]:
    """Return numbers as JSON has them: of what is not finite there is none."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


# ---- the table and the chart ----


def write(output: Output, name: str, found: Mapping[str, Memory], charted: bool) -> None:
    """Write a row a lag, tab-separated; a terminal gets columns with a head, and a chart unless it is in a file."""
    table = list(rows(list(found.values())))
    if not is_terminal(sys.stdout):
        output.write("".join("\t".join(row) + "\n" for row in table))
        return
    titles = ["lag", *(title for _ in found for title in ("gradient", "bits"))]
    output.write(f"{name}\n{aligned(titles, list(found) if len(found) > 1 else [], table)}")
    lines = {visible(owner): gradient(memory) for owner, memory in found.items()}
    if charted and any(lines.values()):
        drawn = {owner: points for owner, points in lines.items() if points}
        output.raw(f"\n{TITLES[0]}\n{line_chart(drawn, ACROSS, sys.stdout)}\n")
        output.flush()


def rows(found: Sequence[Memory]) -> Iterator[list[str]]:
    """Yield a row for lag 0 and each power of two: lag, and of each model gradient and bits; last bits with all."""
    for lag in (0, *max((memory.cut for memory in found), key=len)):
        yield [str(lag), *(cell for memory in found for cell in cells(memory, lag))]
    yield ["all", *(cell for memory in found for cell in ("-", f"{bits(memory.full):.4f}"))]


def cells(memory: Memory, lag: int) -> tuple[str, str]:
    """Return the relative norm and the bits at a lag, a dash for what there is not."""
    norm = f"{memory.relative[lag]:.3g}" if lag < len(memory.mean) else "-"
    return norm, f"{bits(memory.cut[lag]):.4f}" if lag in memory.cut else "-"


def aligned(titles: Sequence[str], owners: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """Return a table in columns below their titles; above these, where there are several, whose each pair is."""
    widths = [max(map(len, column)) + 2 for column in zip(titles, *table, strict=True)]
    lines = ["".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in (titles, *table)]
    pairs = [left + right for left, right in zip(widths[1::2], widths[2::2], strict=True)]
    whose = "".join(f"{owner[: pair - 2]:>{pair}}" for owner, pair in zip(owners, pairs, strict=False))
    return "\n".join([f"{'':{widths[0]}}{whose}"] * bool(owners) + lines) + "\n"


# ---- the curves ----


def gradient(memory: Memory) -> Points:
    """Return the norms by lag as multiples of the first, as far as they can be drawn."""
    return list(takewhile(lambda point: FLOOR <= point[1] < math.inf, enumerate(memory.relative.tolist())))


def losses(memory: Memory) -> Points:
    """Return the bits a character by the characters of context."""
    return [(k, bits(nats)) for k, nats in memory.cut.items()]


def picture(found: Mapping[str, Memory]) -> str:
    """Return the SVG: two panels, with a line for each model."""
    panels = {
        title: {owner: (curve(memory), Points()) for owner, memory in found.items()}
        for title, curve in zip(TITLES, (gradient, losses), strict=True)
    }
    return plot(panels, ACROSS, [("linear", "decades"), ("doublings", "linear")])
