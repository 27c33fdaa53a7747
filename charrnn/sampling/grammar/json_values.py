"""Regular expressions of JSON's scalar values: strings, integers and numbers within bounds."""

import json
import re
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any

from charrnn.sampling.regex.parser import Alternation, Anchor, Lookahead, PatternError, compiled, parse, walk

DIGITS = 15  # of a number, so that every program reads it exactly
DECIMALS = 6  # of a number between bounds
PLAIN = r'[^"\\\x00-\x1f\x7f]'  # a character of a string that needs no escape
ESCAPED = r'\\["\\/bfnrt]'
INTEGER = rf"(?:0|-?[1-9][0-9]{{0,{DIGITS - 1}}})"
NUMBER = rf"(?:-?(?:0|[1-9][0-9]{{0,{DIGITS - 1}}})(?:\.[0-9]{{1,{DECIMALS}}})?(?:[eE][+-]?[0-9]{{1,2}})?)"
MONTH, DAY, OCTET = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|1[0-9]|2[0-8])", "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
DATE = rf"[12][0-9]{{3}}-{MONTH}-{DAY}"
TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?"  # of a host in an address of any length
WORDS = r"[a-z0-9]+(?:-+[a-z0-9]+)*"  # of a host within LONGEST
HOST, HOST_IN_URI = (rf"{label}(?:\.{label}){{0,3}}\.[a-z]{{2,6}}" for label in (WORDS, LABEL))
LONGEST = {"email": 64, "hostname": 64}  # so that no part is longer than the 63 characters that the standards allow
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "email": rf"[a-z0-9]+(?:[._+-][a-z0-9]+){{0,3}}@{HOST}",
    "hostname": HOST,
    "ipv4": rf"{OCTET}(?:\.{OCTET}){{3}}",
    "uri": rf"https?://{HOST_IN_URI}(?:/[A-Za-z0-9._~-]+){{0,6}}/?",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
}


class UnsupportedError(Exception):
    """A keyword, or a value of one, that no grammar is made for. The message names it."""


def exactly(value: Any) -> str:
    """Return the pattern of a constant value, as JSON writes it."""
    return re.escape(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def string(schema: dict[str, Any]) -> str:
    """Return the pattern of a string with the keywords minLength, maxLength, pattern and format.

    The lengths beside a pattern or a format are not in it, but in `string_lengths`: an automaton that counts beside
    another is made faster than derivatives of both.
    """
    if "pattern" in schema and "format" in schema:
        raise UnsupportedError("pattern beside format")
    if "format" in schema:
        if schema["format"] not in FORMATS:
            raise UnsupportedError(
                f"format {json.dumps(schema['format'])}: use one of {', '.join(FORMATS)}, or pattern"
            )
        return f'"(?:{FORMATS[schema["format"]]})"'
    if "pattern" in schema:
        return f'"(?={PLAIN}*"\\Z)(?:{within_string(schema["pattern"])})"'
    return f'"(?:{PLAIN}|{ESCAPED}){{{schema.get("minLength", 0)},{schema.get("maxLength", "")}}}"'


def string_lengths(schema: dict[str, Any]) -> tuple[int, int | None]:
    """Return how many characters a string has at least and at most, quotes included, as far as its pattern does not."""
    if "pattern" not in schema and "format" not in schema:
        return 0, None
    most = min(schema.get("maxLength", inf), LONGEST.get(schema.get("format", ""), inf))
    return schema.get("minLength", 0) + 2, None if most == inf else int(most) + 2


def within_string(pattern: str) -> str:
    """Return a pattern that matches the content of each string in which JSON Schema's `pattern` finds a match."""
    begins, ends = pattern.startswith("^"), re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern) is not None
    body = pattern[begins : len(pattern) - ends]
    try:
        compiled(body)
        tree = parse(body)
    except PatternError as error:
        raise UnsupportedError(f"pattern {json.dumps(pattern)}: {error}") from error
    if any(isinstance(node, Anchor | Lookahead) for node in walk(tree)):
        raise UnsupportedError(f"pattern {json.dumps(pattern)}: anchors and lookarounds inside it")
    if (begins or ends) and isinstance(tree, Alternation):
        raise UnsupportedError(f"pattern {json.dumps(pattern)}: ^ or $ of one alternative: put them in a group")
    return f"{'' if begins else '.*'}(?:{body}){'' if ends else '.*'}"


def bounds(schema: dict[str, Any]) -> tuple[Fraction | None, bool, Fraction | None, bool]:
    """Return the least and the greatest number of a schema, None for no limit, each with whether it is excluded."""

    def strictest(inclusive: str, exclusive: str, choose: Any) -> tuple[Fraction | None, bool]:
        found = [(Fraction(str(schema[key])), key == exclusive) for key in (inclusive, exclusive) if key in schema]
        if not found:
            return None, False
        limit = choose(value for value, _ in found)
        return limit, any(excluded for value, excluded in found if value == limit)

    low, high = strictest("minimum", "exclusiveMinimum", max), strictest("maximum", "exclusiveMaximum", min)
    return *low, *high


def integer(schema: dict[str, Any]) -> str:
    """Return the pattern of an integer with the keywords minimum, maximum, their exclusive forms and multipleOf."""
    low, low_excluded, high, high_excluded = bounds(schema)
    least = None if low is None else floor(low) + 1 if low_excluded else ceil(low)
    most = None if high is None else ceil(high) - 1 if high_excluded else floor(high)
    step = Fraction(str(schema.get("multipleOf", 1)))
    if step.denominator != 1:
        raise UnsupportedError("multipleOf that is no integer, with integers")
    if step != 1:
        if least is None or most is None or most - least > 10_000 * step:
            raise UnsupportedError("multipleOf without a minimum and a maximum close to each other")
        first = -(-least // step.numerator) * step.numerator
        return "|".join(str(n) for n in range(first, most + 1, step.numerator)) or "(?!)"
    return integers_between(least, most)


def number(schema: dict[str, Any]) -> str:
    """Return the pattern of the numbers within the bounds of a schema that have few decimals."""
    low, low_excluded, high, high_excluded = bounds(schema)
    places = DECIMALS
    if "multipleOf" in schema:
        step = Fraction(str(schema["multipleOf"]))
        places = next((n for n in range(DECIMALS + 1) if step == Fraction(1, 10**n)), -1)
        if places < 0:
            raise UnsupportedError("multipleOf that is not 1, 0.1, 0.01, …, with numbers")
    elif low is None and high is None:
        return NUMBER
    unit, limit = Fraction(1, 10**places), Fraction(10**DIGITS - 1)
    low = -limit if low is None else low + unit * low_excluded
    high = limit if high is None else high - unit * high_excluded
    parts = positive_numbers(max(low, Fraction(0)), high, places)
    parts += [f"-{each}" for each in positive_numbers(max(-high, Fraction(1, 10 ** min(places, 2))), -low, places)]
    return "|".join(parts) or "(?!)"


def positive_numbers(low: Fraction, high: Fraction, places: int) -> list[str]:
    """Return patterns of the numbers from `low` ≥ 0 to `high` with up to `places` decimals.

    They are integers; integers whose fractions are all within the bounds; and the integers next to a bound that is
    no integer, with as many decimals as the bound has, and two at least.
    """
    if low > high:
        return []
    first, last = ceil(low), floor(high)
    parts = [integers_between(first, last)] if first <= last else []
    if not places:
        return parts
    widths = [next((n for n in range(2, places) if (bound * 10**n).denominator == 1), places) for bound in (low, high)]
    if first <= last - 1:
        parts.append(rf"{integers_between(first, last - 1)}\.[0-9]{{1,{places}}}")
    for whole, width in dict(zip((floor(low), last), widths, strict=True)).items():
        scale = 10**width
        least = max(0, ceil((low - whole) * scale))
        most = min(scale - 1, floor((high - whole) * scale))
        if least <= most and (whole == last or whole < first):
            digits = naturals_between(scale + least, scale + most).split("|")  # the 1 in front keeps leading zeros
            parts.append(rf"{whole}\.(?:{'|'.join(each[1:] for each in digits)})")
    return parts


def integers_between(least: int | None, most: int | None) -> str:
    """Return the pattern of the integers from `least` to `most`, None for as many as DIGITS allow."""
    limit = 10**DIGITS - 1
    low, high = max(-limit, -limit if least is None else least), min(limit, limit if most is None else most)
    parts = [f"-(?:{naturals_between(max(1, -high), -low)})"] if low < 0 and max(1, -high) <= -low else []
    parts += [naturals_between(max(0, low), high)] if high >= max(0, low) else []
    return f"(?:{'|'.join(parts)})" if parts else "(?!)"


def naturals_between(low: int, high: int) -> str:
    """Return the pattern of the integers from `low` ≥ 0 to `high`, without leading zeros."""
    ranges = list[str]()
    while low <= high:
        n = 1  # the last n digits are free: the largest such block that starts at low, of as many digits as low
        while low % 10**n == 0 and low + 10**n - 1 <= high and low:
            n += 1
        n -= 1
        head, block = divmod(low, 10**n)[0], 10**n
        last = min(9, head % 10 + (high - low + 1) // block - 1)
        digit = f"[{head % 10}-{last}]" if last > head % 10 else str(head % 10)
        free = f"[0-9]{{{n}}}" if n else ""
        ranges.append(f"{head // 10 or ''}{digit}{free}")
        low += (last - head % 10 + 1) * block
    return "|".join(ranges)
