"""Bars in text, in eighths of a terminal cell."""

EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"


def bar(share: float, cells: int) -> str:
    """Return a bar for a share from 0 to 1, which takes all cells at 1; nothing if it is less than half an eighth."""
    full, eighths = divmod(round(share * cells * len(EIGHTHS)), len(EIGHTHS))
    return FULL * full + EIGHTHS[eighths].strip()
