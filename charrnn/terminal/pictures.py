"""Heat maps and line charts on a terminal, in colours or, without them, in marks and letters."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby, islice
from typing import TextIO

from charrnn.plots.display_width import visible
from charrnn.plots.heatmap import Cluster, Heatmap, Scale, fold, guess_rows, text_colour
from charrnn.plots.terminal_chart import BRAILLE, MAX_COLUMNS, Points, chart
from charrnn.terminal.card import wrapped
from charrnn.terminal.streams import can_show, columns, has_color, is_terminal

CHANNEL_LEVELS = ("00", "5f", "87", "af", "d7", "ff")  # of the colour cube that terminals have


def heatmap_lines(heatmap: Heatmap, stream: TextIO) -> Iterator[str]:
    """Yield a heat map line by line: title, key, text; without colours with a line of marks below each line.

    Below each line are the guesses for its characters, if any are wanted. On a terminal, lines are folded at its width.
    The only escape sequences in the output are those of colours.
    """
    lines = heatmap.lines()
    first = list(islice(lines, 1))  # an error in reading the text is raised before anything is drawn
    room = columns(stream) if is_terminal(stream) else sys.maxsize
    scale, in_color = heatmap.scale, has_color(stream)
    draw = partial(colored, codes=color_codes(scale)) if in_color else partial(marked, marks=scale.palette.marks)
    yield "\n".join(wrapped(visible(heatmap.title), room)) + "\n"
    if in_color:
        yield from map(draw, fold(scale.key(), room))
    else:
        yield "\n".join(wrapped(scale.note, room)) + "\n"
    yield "\n"
    for line in chain(first, lines):
        for row in fold(line, room):
            yield draw(row)
            for guesses in guess_rows(row, heatmap.guess_rows):
                yield marked_guesses(row, guesses, in_color)


def colored(row: Sequence[Cluster], codes: Sequence[str]) -> str:
    """Return a row of a text in colours; characters without a level are underlined."""
    runs = groupby(row, lambda cluster: cluster.level)
    texts = ((level, "".join(cluster.drawn for cluster in run)) for level, run in runs)
    return "".join(f"\x1b[{'4' if level is None else codes[level]}m{text}\x1b[0m" for level, text in texts) + "\n"


def marked(row: Sequence[Cluster], marks: str) -> str:
    """Return a row of a text without colours, and below it the mark of each character's level."""
    below = "".join(cluster.cells * ("?" if cluster.level is None else marks[cluster.level]) for cluster in row)
    return "".join(cluster.drawn for cluster in row).rstrip() + "\n" + below.rstrip() + "\n"


def marked_guesses(row: Sequence[Cluster], guesses: Sequence[Cluster], in_color: bool) -> str:
    """Return a row of guesses for the characters of a row: with colours those that came true bold, the others dim."""
    texts = (
        f"\x1b[{1 if guess.text == cluster.text else 2}m{guess.drawn}\x1b[0m" if in_color else guess.drawn
        for cluster, guess in zip(row, guesses, strict=True)
    )
    return "".join(texts).rstrip() + "\n"


def color_codes(scale: Scale) -> list[str]:
    """Return the escape code of each level: text and background, from the 256 colours that terminals share."""
    # Some terminals set COLORFGBG to foreground;background. The others are taken for dark.
    light = os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    backgrounds = scale.palette.light if light else scale.palette.dark
    return [f"38;5;{color_number(text_colour(colour))};48;5;{color_number(colour)}" for colour in backgrounds]


def color_number(colour: str) -> int:
    """Return the number that terminals give to a colour of the 6 x 6 x 6 cube."""
    red, green, blue = (CHANNEL_LEVELS.index(colour[i : i + 2]) for i in (1, 3, 5))
    return 16 + 36 * red + 6 * green + blue


def line_chart(lines: Mapping[str, Points], across: str, stream: TextIO, linear: bool = False) -> str:
    """Return a chart as wide as a stream: in dots if they can be shown and need no letters to tell lines apart.

    A logarithmic chart has at most MAX_COLUMNS columns, a `linear` one as many as the stream.
    """
    in_color, can_dot = has_color(stream), can_show(sys.stderr, chr(BRAILLE))  # stdout is UTF-8 whatever its terminal
    dots = can_dot and os.environ.get("TERM") not in ("dumb", "linux") and (in_color or len(lines) == 1)
    width = columns(stream)
    return chart(lines, width, across, dots, in_color, linear, most=width if linear else MAX_COLUMNS)
