"""Patterns of JSON's scalar values."""

import json
import random
import re
from math import inf
from typing import Any

import jsonschema
import pytest
import regex

from charrnn.sampling.grammar import json_values
from charrnn.sampling.grammar.json_values import UnsupportedError


def test_integers_between_bounds() -> None:
    rng = random.Random(0)
    for _ in range(300):
        least = rng.randrange(-(10 ** rng.randrange(1, 5)), 10 ** rng.randrange(1, 5))
        most = least + rng.randrange(10 ** rng.randrange(1, 4))
        pattern = re.compile(json_values.integers_between(least, most))
        for n in {least - 1, least, most, most + 1, 0, -least, least * 10, rng.randrange(least, most + 1)}:
            assert bool(pattern.fullmatch(str(n))) == (least <= n <= most), (least, most, n)
    assert not re.fullmatch(json_values.integers_between(1, 50), "07")
    assert not re.fullmatch(json_values.integers_between(-5, 5), "-0")


def test_integers_have_fifteen_digits_at_most() -> None:
    pattern = re.compile(json_values.integers_between(None, None))
    assert all(pattern.fullmatch(text) for text in ("0", "-1", "9" * 15, "-" + "9" * 15))
    assert not pattern.fullmatch("1" + "0" * 15)


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"minimum": 1.5, "maximum": 4.5}, ["2", "4"], ["1", "5", "1.5", "-2"]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 4}, ["2", "3"], ["1", "4"]),
        ({"minimum": 1, "exclusiveMinimum": 1}, ["2"], ["1"]),
        ({"minimum": 5, "maximum": 4}, [], ["4", "5"]),
        ({"minimum": -10, "maximum": 11, "multipleOf": 4}, ["-8", "0", "8"], ["-10", "2", "12"]),
        ({}, ["0", "-12"], ["-0", "01", "1.0"]),
    ],
)
def test_integers(schema: dict[str, Any], yes: list[str], no: list[str]) -> None:
    pattern = re.compile(json_values.integer(schema))
    assert [text for text in yes + no if pattern.fullmatch(text)] == yes


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (
            {"minimum": -2.5, "maximum": 12.25},
            ["-2", "-1.75", "-0.50", "0", "0.25", "11.999", "12"],
            ["-2.6", "12.3", "-3"],
        ),
        ({"minimum": 3}, ["3", "3.5", "12.25"], ["2.9", "-3"]),
        ({"exclusiveMaximum": 0}, ["-0.50", "-7", "-1"], ["0", "0.5", "1"]),
        ({"minimum": 0.2, "maximum": 0.9}, ["0.20", "0.55", "0.90"], ["0", "1", "0.95", "0.19"]),
        ({"minimum": 0.01}, ["0.01", "0.50", "1", "1.25"], ["0", "0.00"]),
        ({"minimum": -0.125, "maximum": 0.5}, ["-0.125", "-0.020", "0", "0.30", "0.50"], ["-0.126", "0.51", "1"]),
        ({"minimum": 5, "maximum": 4.5}, [], ["5", "4.5"]),
        ({"multipleOf": 0.01, "minimum": 0, "maximum": 5}, ["0.5", "4.99", "5"], ["0.005", "5.5"]),
        ({"multipleOf": 1.0, "maximum": 5}, ["5", "-3"], ["0.5"]),
        ({}, ["-0.5", "1e9", "12", "3.25E-2"], ["01", ".5", "1."]),
    ],
)
def test_numbers(schema: dict[str, Any], yes: list[str], no: list[str]) -> None:
    pattern = re.compile(json_values.number(schema))
    assert [text for text in yes + no if pattern.fullmatch(text)] == yes
    for text in yes:
        jsonschema.validate(json.loads(text), {"type": "number", **schema})


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({}, ['""', '"a b"', r'"\n\""', '"é猫"'], ['"', '"a', '"a"b"', r'"\x"', '"\n"']),
        ({"minLength": 2, "maxLength": 3}, ['"ab"', r'"\n\""'], ['"a"', '"abcd"']),
        ({"pattern": "^[a-z]+$", "maxLength": 3}, ['"abc"'], ['""', '"abcd"', '"aBc"']),
        ({"pattern": "b|cd"}, ['"abc"', '"cd"'], ['"ac"', '"d"']),
        ({"pattern": "^a"}, ['"a"', '"ab\'"'], ['"ba"', '"a"b"']),
        ({"pattern": r"\$$"}, [r'"a$"'], ['"a"']),
        ({"format": "date"}, ['"2026-02-28"'], ['"2026-02-30"', '"2026-13-01"']),
        ({"format": "ipv4"}, ['"127.0.0.1"', '"255.255.255.0"'], ['"256.0.0.1"', '"1.2.3"']),
        ({"format": "email", "maxLength": 8}, ['"a@b.de"'], ['"abcdef@b.de"']),
        ({"format": "uuid"}, ['"8c5f9d7e-1a2b-4c3d-9e8f-0123456789ab"'], ['"8c5f"']),
    ],
)
def test_strings(schema: dict[str, Any], yes: list[str], no: list[str]) -> None:
    pattern = regex.compile(json_values.string(schema))
    least, most = json_values.string_lengths(schema)
    fits = {text for text in yes + no if least <= len(text) <= (inf if most is None else most)}
    assert [text for text in yes + no if pattern.fullmatch(text) and text in fits] == yes
    for text in yes:
        jsonschema.validate(json.loads(text), {"type": "string", **schema})


def test_numbers_are_within_their_bounds() -> None:
    rng = random.Random(3)
    for _ in range(200):
        low = rng.randrange(-3000, 3000) / rng.choice([1, 10, 100])
        high = low + rng.randrange(0, 3000) / rng.choice([1, 10, 1000])
        pattern = re.compile(json_values.number({"minimum": low, "maximum": high}))
        middles = [rng.uniform(low - 1, high + 1) for _ in range(20)]
        texts = [f"{x:.{n}f}" for x in (low, high, *middles) for n in range(7)]
        assert [text for text in texts if pattern.fullmatch(text) and not low <= float(text) <= high] == [], (low, high)
        assert any(pattern.fullmatch(text) for text in texts) or high - low < 0.01


@pytest.mark.parametrize("name", json_values.FORMATS)
def test_formats_are_checked_as_jsonschema_does(name: str) -> None:
    texts = {
        "date": "2026-11-27",
        "time": "08:09:10Z",
        "date-time": "2026-11-27T08:09:10Z",
        "email": "a.b@c.org",
        "hostname": "a-1.example.org",
        "ipv4": "10.0.0.1",
        "uri": "https://example.org/a/b",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }
    assert regex.fullmatch(json_values.FORMATS[name], texts[name])
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(texts[name], {"format": name}, format_checker=checker)


@pytest.mark.parametrize(
    ("make", "schema", "problem"),
    [
        (json_values.string, {"format": "iri"}, 'format "iri": use one of date, '),
        (json_values.string, {"format": "date", "pattern": "x"}, "pattern beside format"),
        (json_values.string, {"pattern": "^a|b$"}, "in a group"),
        (json_values.string, {"pattern": r"a\bb"}, "anchors and lookarounds"),
        (json_values.string, {"pattern": "("}, "missing"),
        (json_values.integer, {"multipleOf": 0.5}, "no integer"),
        (json_values.integer, {"multipleOf": 7}, "without a minimum and a maximum"),
        (json_values.number, {"multipleOf": 0.3}, "multipleOf that is not 1"),
    ],
)
def test_what_is_not_supported_is_named(make: Any, schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnsupportedError, match=problem):
        make(schema)
