"""JSON Schema as a grammar: every text is valid, and what is not supported is refused by name."""

import json
import random
import re
from contextlib import suppress
from typing import Any

import jsonschema
import numpy as np
import pytest

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.chart import Chart
from charrnn.sampling.grammar.context_free import CompiledGrammar
from charrnn.sampling.grammar.json_schema import json_schema_grammar
from charrnn.sampling.grammar.schemas import VALUES
from tests.sampling.grammar.examples import ITEM, PRINTABLE, SCHEMAS, chart_of, walk


def texts_of(schema: Any, count: int, length: int = 300) -> list[str]:
    grammar = json_schema_grammar(json.dumps(schema))
    chart = Chart(CompiledGrammar("--json-schema s", grammar, PRINTABLE, np.ones(len(PRINTABLE), np.bool_)))
    rng = random.Random(1)
    return [walk(chart, rng, length) for _ in range(count)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_text_is_valid(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    chart, rng = chart_of(name), random.Random(name)
    for text in {walk(chart, rng, 60) for _ in range(60)}:
        validator.validate(json.loads(text))


def test_a_nested_schema_of_twelve_properties() -> None:
    validator = jsonschema.Draft202012Validator(ITEM, format_checker=jsonschema.FormatChecker())
    texts = texts_of(ITEM, 60, 500)
    for text in texts:
        validator.validate(json.loads(text))
    assert {key for text in texts for key in json.loads(text)} == set(ITEM["properties"])
    assert any(json.loads(text)["part_of"] for text in texts)


def test_properties_are_in_the_order_of_the_schema_and_optional_ones_may_be_left_out() -> None:
    schema = {"type": "object", "properties": {k: {"const": 1} for k in "abc"}, "required": ["b"]}
    assert set(texts_of(schema, 80)) == {
        '{"b": 1}',
        '{"a": 1, "b": 1}',
        '{"b": 1, "c": 1}',
        '{"a": 1, "b": 1, "c": 1}',
    }


def test_a_required_property_that_is_not_described() -> None:
    assert set(texts_of({"type": "object", "required": ["x"], "additionalProperties": {"const": 2}}, 5)) == {'{"x": 2}'}
    with pytest.raises(UsageError, match=r"no text is finite"):
        texts_of({"type": "object", "required": ["x"], "additionalProperties": False}, 1)


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        ({"type": "array", "items": {"const": 1}, "maxItems": 2}, {"[]", "[1]", "[1, 1]"}),
        ({"type": "array", "maxItems": 0}, {"[]"}),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3}, {"[1, 1]", "[1, 1, 1]"}),
        ({"prefixItems": [{"const": 1}, {"const": 2}], "items": False, "type": "array"}, {"[]", "[1]", "[1, 2]"}),
        ({"enum": [1, "a", True, None], "type": ["integer", "boolean"]}, {"1", "true"}),
        ({"anyOf": [{"const": 1}, {"const": "é"}]}, {"1", '"é"'}),
        ({"allOf": [{"type": "integer"}, {"minimum": 4}, {"maximum": 5}]}, {"4", "5"}),
        ({"type": "integer", "anyOf": [{"maximum": 1, "minimum": 0}, {"const": 7}]}, {"0", "1", "7"}),
        ({"x-note": 1, "description": "d", "const": [1, {"a": None}]}, {'[1, {"a": null}]'}),
        ({"type": "boolean", "default": True}, {"true", "false"}),
    ],
)
def test_the_texts_of_small_schemas(schema: Any, texts: set[str]) -> None:
    assert set(texts_of(schema, 60)) == texts


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (
            {
                "type": "object",
                "required": ["shift", "shift end"],
                "properties": {
                    "shift": {"type": "object", "required": ["a"], "properties": {"a": {"const": 1}}},
                    "shift end": {"const": 2},
                },
            },
            '{"shift": {"a": 1}, "shift end": 2}',
        ),
        (
            {
                "type": "object",
                "required": ["a", "a/properties/b"],
                "properties": {
                    "a": {"type": "object", "required": ["b"], "properties": {"b": {"const": 1}}},
                    "a/properties/b": {"const": 2},
                },
            },
            '{"a": {"b": 1}, "a/properties/b": 2}',
        ),
        (
            {
                "type": "object",
                "oneOf": [{"properties": {"t": {"const": c}}, "required": ["t"]} for c in "ab"],
            },
            '{"t": "b"}',
        ),
    ],
)
def test_places_are_told_apart_whatever_their_keys(schema: Any, text: str) -> None:
    assert text in set(texts_of(schema, 60))


@pytest.mark.parametrize("most", [0, 2])
def test_no_array_has_more_items_than_it_may(most: int) -> None:
    schema = {"anyOf": [{"type": "array", "minItems": 3, "maxItems": most}, {"const": 1}]}
    assert set(texts_of(schema, 60)) == {"1"}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"not": {}}, "#: not is not supported"),
        (
            {"type": "object", "properties": {"a": {"uniqueItems": True}}},
            "#/properties/a: uniqueItems is not supported",
        ),
        ({"type": "object", "patternProperties": {}}, "#: patternProperties is not supported"),
        (  # the cases allow numbers too, which are valid by both
            {"oneOf": [{"properties": {"t": {"const": c}}, "required": ["t"]} for c in "ab"]},
            "#: oneOf whose cases do not differ",
        ),
        (
            {
                "properties": {"t": {"const": 1}},
                "additionalProperties": False,
                "anyOf": [{"properties": {"n": {"type": "integer"}}}],
            },
            "#: additionalProperties beside properties of another schema that applies",
        ),
        (
            {"items": {"type": "integer"}, "anyOf": [{"prefixItems": [{"type": "string"}]}]},
            "#: items beside prefixItems of another schema that applies",
        ),
        ({"type": "string", "format": "color"}, '#: format "color": use one of'),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#: oneOf whose cases do not differ"),
        ({"allOf": [{"minimum": 1}, {"minimum": 2}]}, "#: minimum in two schemas that both apply"),
        ({"$ref": "other.json"}, "outside this file"),
        ({"$ref": "#/$defs/gone"}, "#: .ref #/.defs/gone: there is no such schema"),
        ({"type": "float"}, '#: type "float" is not supported'),
        ({"enum": [1], "minimum": 0}, "#: const or enum beside minimum"),
        ({"type": "array", "maxItems": 5000}, "#: an array of more than 1000 items"),
        ([1], "#: a schema is an object, true or false"),
        ({"if": {}, "then": {}}, "#: if, then is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(schema: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        json_schema_grammar(json.dumps(schema))


def test_a_file_that_is_not_json() -> None:
    with pytest.raises(UsageError, match=r"not JSON: .*line 1 column 2"):
        json_schema_grammar("{")
    with pytest.raises(UsageError, match=r"not JSON|too deeply"):
        json_schema_grammar("[" * 100_000)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "string", "format": ["date"]}, '#: format must be a string, not ["date"]'),
        ({"type": 5}, "#: type must be a string or a list of strings, not 5"),
        ({"type": [["string"]]}, "#: type must be"),
        ({"maxLength": 2.5}, "#: maxLength must be an integer that is not negative, not 2.5"),
        ({"minItems": True}, "#: minItems must be"),
        ({"minLength": -1}, "#: minLength must be"),
        ({"maximum": "9"}, '#: maximum must be a number, not "9"'),
        ({"multipleOf": 0}, "#: multipleOf must be a number above 0, not 0"),
        ({"minimum": 10**400}, "#: minimum must be a number"),
        ({"pattern": None}, "#: pattern must be a string, not null"),
        ({"required": "a"}, "#: required must be a list of strings"),
        ({"enum": {}}, "#: enum must be a list, not {}"),
        ({"items": 1}, "#: items must be a schema, not 1"),
        ({"anyOf": {}}, "#: anyOf must be a list of schemas"),
        ({"allOf": [{}, 1]}, "#: allOf must be a list of schemas"),
        ({"prefixItems": [{"oneOf": [{"type": 1}]}]}, "#/prefixItems/0/oneOf/0: type must be"),
        ({"properties": {"a": {"items": {"format": 1}}}}, "#/properties/a/items: format must be"),
        ({"properties": []}, "#: properties must be an object whose values are schemas, not []"),
        ({"properties": {"a": 1}}, "#: properties must be"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"enum": 3}}}, "#/$defs/a: enum must be a list"),
        ({"$ref": 3}, "#: $ref must be a string"),
    ],
)
def test_a_value_that_is_not_of_the_kind_of_its_keyword_is_refused(schema: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(problem)}"):
        json_schema_grammar(json.dumps(schema))


def test_what_only_python_takes_for_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="not JSON: NaN is no number"):
        json_schema_grammar('{"const": NaN}')


def test_any_values_of_keywords_are_read_or_refused() -> None:
    """Random schemas of which most are wrong: none ends with another error."""
    rng = random.Random(1)
    keywords = sorted({*VALUES, "const", "not", "title", "$defs"})
    values: list[Any] = [
        None,
        True,
        0,
        -1,
        2.5,
        "string",
        "date",
        "#",
        [],
        ["a"],
        [{}],
        [[]],
        [True],
        {},
        {"a": {}},
        {"a": 1},
    ]
    read = 0
    for _ in range(2000):
        schema = {keyword: rng.choice(values) for keyword in rng.sample(keywords, rng.randint(1, 3))}
        with suppress(UsageError):
            json_schema_grammar(json.dumps({"properties": {"a": schema}, "type": "object"}))
            read += 1
    assert 100 < read < 1000


def test_oneof_cases_that_differ_in_a_constant_property_are_alternatives() -> None:
    found = {json.loads(text)["t"] for text in texts_of(SCHEMAS["cases"], 20)}
    assert found == {"a", "b"}
