"""Lengths of time as people write them: 90, 30s, 3m or 1h30m."""

import math
import re

from charrnn.core.errors import UsageError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str, option: str) -> float:
    """Return the seconds of a time such as 90, 30s, 3m or 1h30m."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        parts = [(text, "s")]
    if "".join(number + unit for number, unit in parts) not in (text, f"{text}s") or not parts:
        raise UsageError(f"{option} {text}: not a time: write it as 90, 30s, 3m or 1h30m")
    seconds = math.fsum(float(number) * UNITS[unit] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} {text}: must be above 0 and finite")
    return seconds


def in_units(seconds: float) -> str:
    """Return seconds in the format of `duration`, rounded to the two largest units: 4.2s, 3m5s, 1h30m."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    large, small = next(pair for pair in (("d", "h"), ("h", "m"), ("m", "s")) if round(seconds) >= UNITS[pair[0]])
    count, rest = divmod(round(seconds / UNITS[small]), round(UNITS[large] / UNITS[small]))
    return f"{count}{large}" + (f"{rest}{small}" if rest else "")
