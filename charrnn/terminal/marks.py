"""Lines with some of their parts marked, in the colour in which grep marks matches."""

from collections.abc import Iterable

from charrnn.plots.display_width import visible

START, END = "\x1b[1;31m", "\x1b[0m"
NEWLINE = "$"  # shown where the end of the line is marked, as by cat -E


def marked_line(text: str, spans: Iterable[tuple[int, int, float]]) -> str:
    """Return a line with its spans marked: start, end and a figure, in order; an end after the text is its newline.

    The only escape sequences in the result are those of the marks.
    """
    pieces, at, whole = list[str](), 0, text + NEWLINE
    for start, end, _ in spans:
        pieces += visible(text[at:start]), START, visible(whole[start:end]), END
        at = end
    return "".join([*pieces, visible(text[at:])])
