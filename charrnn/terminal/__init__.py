"""What a person sees: notes, errors, the progress of training, curves, cards.

Notes and progress go to stderr, so that stdout is data alone. tqdm owns the one moving line, rich prints finished
things; both are imported when they are first used.
"""

from charrnn.terminal.card import card
from charrnn.terminal.curve import curve
from charrnn.terminal.notes import (
    NOTES,
    SYMBOLS,
    Color,
    columns,
    has_color,
    is_terminal,
    moves,
    say,
    say_error,
    use_color,
    visible,
)
from charrnn.terminal.progress import Progress

__all__ = [
    "NOTES",
    "SYMBOLS",
    "Color",
    "Progress",
    "card",
    "columns",
    "curve",
    "has_color",
    "is_terminal",
    "moves",
    "say",
    "say_error",
    "use_color",
    "visible",
]
