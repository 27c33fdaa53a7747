"""Thirty grammars and schemas of many shapes, and random walks through their texts."""

import json
import random
from pathlib import PurePath
from typing import Any

import numpy as np

from charrnn.sampling.grammar.chart import Chart, GrammarConstraint
from charrnn.sampling.grammar.context_free import CompiledGrammar, Grammar
from charrnn.sampling.grammar.json_schema import json_schema_grammar
from charrnn.sampling.grammar.lark_grammar import lark_grammar

PRINTABLE = [chr(c) for c in range(32, 127)] + ["\n", "é", "猫"]

ARITHMETIC = """
start: sum
?sum: product | sum "+" product | sum "-" product
?product: atom (("*" | "/") atom)*
?atom: /[0-9]+/ | "-" atom | "(" sum ")"
"""
GRAMMARS = {
    "arithmetic": ARITHMETIC,
    "spaces": ARITHMETIC + "%ignore / +/",
    "right recursion": 'start: "a" start | "b"',
    "left recursion": 'start: start "a" | "b"',
    "hidden left recursion": 'start: maybe start "a" | "b"\nmaybe: "x"?',
    "brackets": 'start: ("(" start ")" | "[" start "]")*',
    "ambiguous": 'start: start start | "a" | "ab" | "b"',
    "empty or not": "start: a b c\na: /x+/? /y/?\nb: a a\nc: a? /[zé]/",
    "two ends": "start: /[a-c]+/ | word word\nword: /[b-d]{2}/",
    "case": 'start: "select"i " " /[a-z]+/ (", " /[a-z]+/)* ";"',
    "counts": 'start: item~2..4\nitem: /[ab]{1,3}/ "/"',
    "palindromes": 'start: "a" start "a" | "b" start "b" | "c"',
    "imports": '%import common.SIGNED_INT\nstart: SIGNED_INT ("|" SIGNED_INT)*',
    "lines": 'start: line+\nline: /[a-z]+/ "=" /[0-9]{1,4}/ "\\n"',
    "chess": 'start: move (" " move)*\nmove: /[NBRQK]?[a-h][1-8]/ /[+#]/? | "O-O"',
}
SCHEMAS: dict[str, Any] = {
    "object": {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "type": "object", "required": ["b"]},
    "any object": {"type": "object"},
    "any value": True,
    "list": {"type": "array", "items": {"enum": ["x", "yé", 3, None, True]}},
    "short list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    "pair": {"type": "array", "prefixItems": [{"const": "at"}, {"type": "number"}], "minItems": 2, "maxItems": 2},
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
                "required": ["v", "kids"],
            }
        },
    },
    "strings": {"type": "string", "minLength": 2, "maxLength": 5},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$", "maxLength": 8},
    "part": {"type": "string", "pattern": "ab|cd", "minLength": 4},
    "formats": {"type": "array", "items": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}},
    "range": {"type": "integer", "minimum": -17, "exclusiveMaximum": 1205},
    "steps": {"type": "integer", "minimum": 3, "maximum": 99, "multipleOf": 7},
    "decimals": {"type": "number", "minimum": -2.5, "maximum": 12.25},
    "cases": {
        "oneOf": [
            {"type": "object", "properties": {"t": {"const": "a"}, "n": {"type": "integer"}}, "required": ["t"]},
            {"type": "object", "properties": {"t": {"const": "b"}, "s": {"type": "string"}}, "required": ["t", "s"]},
        ]
    },
}
ITEM: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An order, with twelve properties",
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1, "maximum": 99999},
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "email": {"type": "string", "format": "email", "maxLength": 40},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8}, "maxItems": 4},
        "price": {"type": "number", "minimum": 0, "maximum": 999.5},
        "active": {"type": "boolean"},
        "kind": {"enum": ["book", "record", None]},
        "when": {"type": "string", "format": "date-time"},
        "address": {
            "type": "object",
            "properties": {
                "street": {"type": "string", "maxLength": 30},
                "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
                "at": {
                    "type": "array",
                    "prefixItems": [{"type": "number"}, {"type": "number"}],
                    "items": False,
                    "minItems": 2,
                },
            },
            "required": ["street", "zip"],
        },
        "note": {"type": ["string", "null"]},
        "part_of": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "key": {"type": "string", "format": "uuid"},
    },
    "required": ["id", "name", "kind", "address", "part_of"],
    "additionalProperties": False,
}
EXAMPLES = [*GRAMMARS, *SCHEMAS]


def grammar_of(name: str, space: str) -> Grammar:
    """Return the grammar of an example; `space` follows the commas of JSON."""
    if name in GRAMMARS:
        return lark_grammar(GRAMMARS[name], PurePath())
    return json_schema_grammar(json.dumps(SCHEMAS[name]), space)


def chart_of(name: str, without: str = "") -> Chart:
    """Return the chart of an example for a vocabulary that lacks some characters."""
    usable = np.array([character not in without for character in PRINTABLE])
    grammar = grammar_of(name, "" if " " in without else " ")
    return Chart(CompiledGrammar(f"--grammar {name}", grammar, PRINTABLE, usable))


def walk(chart: Chart, rng: random.Random, length: int) -> str:
    """Return a text of at most `length` characters, each drawn at random from those that are allowed."""
    constraint, text = GrammarConstraint(chart, (), length), ""
    everything = np.ones(len(PRINTABLE), np.bool_)
    while len(text) < length:
        allowed = np.flatnonzero(constraint.allowed(everything)).tolist()
        if constraint.may_end and (not allowed or rng.random() < 0.1):
            break
        drawn = rng.choice(allowed)  # IndexError in a dead end
        constraint.advance(drawn)
        text += PRINTABLE[drawn]
    assert constraint.may_end
    return text
