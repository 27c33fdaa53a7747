"""JSON Schemas as they are read, before any rule is made of them: their keywords, references, and joins of several."""

import json
from collections.abc import Callable
from itertools import permutations
from math import isfinite
from typing import Any

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.json_values import UnsupportedError

Schema = dict[str, Any]

ANNOTATIONS = {
    *("$schema", "$id", "$anchor", "$comment", "$defs", "$vocabulary", "definitions", "title", "description"),
    *("default", "deprecated", "readOnly", "writeOnly", "examples", "contentMediaType", "contentEncoding"),
}
NUMERIC = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "integer": NUMERIC,
    "number": NUMERIC,
    "boolean": set[str](),
    "null": set[str](),
}
APPLICATORS = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}
TYPES = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


# ---- the values of keywords ----


def is_schema(value: Any) -> bool:
    """Return whether a value may be a schema."""
    return isinstance(value, dict | bool)


def is_count(value: Any) -> bool:
    """Return whether a value is an integer that is not negative, and not too large for a count."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**1023 and isfinite(value)


def is_list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a value is a list of values of one kind."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def is_text(value: Any) -> bool:
    """Return whether a value is a string."""
    return isinstance(value, str)


VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (is_count, "an integer that is not negative")),
    **dict.fromkeys(NUMERIC - {"multipleOf"}, (is_number, "a number")),
    "multipleOf": (lambda value: is_number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(("pattern", "format", "$ref"), (is_text, "a string")),
    "type": (lambda value: is_text(value) or is_list_of(is_text)(value), "a string or a list of strings"),
    "required": (is_list_of(is_text), "a list of strings"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    **dict.fromkeys(("items", "additionalProperties"), (is_schema, "a schema")),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), (is_list_of(is_schema), "a list of schemas")),
    "properties": (
        lambda value: isinstance(value, dict) and all(map(is_schema, value.values())),
        "an object whose values are schemas",
    ),
}


def check_values(schema: Any, place: str) -> None:
    """Raise UsageError for a keyword, in a schema or in one within it, whose value is not of its kind."""
    if not isinstance(schema, dict):
        return
    for keyword, (is_kind, what) in VALUES.items():
        if keyword not in schema:
            continue
        value = schema[keyword]
        if not is_kind(value):
            raise UsageError(f"{place}: {keyword} must be {what}, not {json.dumps(value)[:40]}")
        if keyword == "properties":
            for key, inner in value.items():
                check_values(inner, f"{place}/{keyword}/{key}")
        elif what == "a schema":
            check_values(value, f"{place}/{keyword}")
        elif what == "a list of schemas":
            for n, inner in enumerate(value):
                check_values(inner, f"{place}/{keyword}/{n}")


# ---- schemas ----


def checked(schema: Any, place: str) -> Schema:
    """Return a schema without annotations; raises UsageError or UnsupportedError for what is not a known schema."""
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise UsageError(f"{place}: a schema is an object, true or false, not {json.dumps(schema)[:40]}")
    found = {key: each for key, each in schema.items() if key not in ANNOTATIONS and not key.startswith("x-")}
    unknown = found.keys() - APPLICATORS - set().union(*KEYWORDS.values())
    if unknown:
        raise UnsupportedError(", ".join(sorted(unknown)))
    return found


def referenced(root: Any, target: Any, place: str) -> Any:
    """Return the schema that a reference within the document means; raises UsageError if there is none."""
    if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
        raise UnsupportedError(f"$ref {json.dumps(target)} outside this file")
    found = root
    for key in target.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key) if isinstance(found, list) else key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UsageError(f"{place}: $ref {target}: there is no such schema") from error
    return found


def without(schema: Schema, keyword: str) -> Schema:
    """Return a schema without one of its keywords."""
    return {key: each for key, each in schema.items() if key != keyword}


def merged(schemas: list[Any]) -> Any:
    """Return a schema for the values that are valid by all of some schemas, which may not share a keyword."""
    if any(schema is False for schema in schemas):
        return False
    for one, other in permutations([schema for schema in schemas if schema is not True], 2):
        refuse_scope(one, other)
    joined: Schema = {}
    for schema in schemas:
        for key, each in {} if schema is True else schema.items():
            if key in ANNOTATIONS:
                continue
            if key in ("properties", "required") and key in joined:
                each = joined_members(joined[key], each)
            elif joined.get(key, each) != each:
                raise UnsupportedError(f"{key} in two schemas that both apply")
            joined[key] = each
    return joined


def refuse_scope(one: Schema, other: Schema) -> None:
    """Raise UnsupportedError if a keyword of one schema is about what the other, which applies too, does not name."""
    unnamed = other.get("properties", {}).keys() - one.get("properties", {}).keys()
    if one.get("additionalProperties", True) not in (True, {}) and unnamed:
        raise UnsupportedError("additionalProperties beside properties of another schema that applies")
    if "items" in one and len(other.get("prefixItems", ())) > len(one.get("prefixItems", ())):
        raise UnsupportedError("items beside prefixItems of another schema that applies")


def joined_members(one: Any, other: Any) -> Any:
    """Return the properties, or the names of required ones, of two schemas that both apply."""
    if isinstance(one, list):
        return list(dict.fromkeys([*one, *other]))
    if any(one[key] != other[key] for key in one.keys() & other.keys()):
        raise UnsupportedError("one property in two schemas that both apply")
    return {**one, **other}


def types(schema: Schema) -> list[str]:
    """Return the types of values that a schema allows; without `type`, those of its keywords, or all."""
    found = schema.get("type")
    names = [found] if isinstance(found, str) else list(KEYWORDS if found is None else found)
    wrong = [name for name in names if name not in KEYWORDS]
    if wrong:
        raise UnsupportedError(f"type {json.dumps(wrong[0])}")
    return [name for name in names if not (name == "integer" and "number" in names)]


def kinds(schema: Schema) -> set[str]:
    """Return the types of a schema, integers as numbers; none if they are not stated."""
    found = schema.get("type", [])
    return {"number" if name == "integer" else name for name in ([found] if isinstance(found, str) else found)}


def values_of(schema: Schema) -> list[str] | None:
    """Return the constant values of a schema as JSON, None if they are not stated."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if values is None else [json.dumps(each, sort_keys=True) for each in values]


def are_distinct(one: Any, other: Any) -> bool:
    """Return whether no value can be valid by both schemas, as far as can be seen."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    first, second = kinds(one), kinds(other)
    if first and second and not first & second:
        return True
    values = [values_of(one), values_of(other)]
    if values[0] is not None and values[1] is not None:
        return not set(values[0]) & set(values[1])
    if not first == second == {"object"}:
        return False  # values of other types are valid by both
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    return any(are_distinct(one.get("properties", {}).get(key), other.get("properties", {}).get(key)) for key in shared)
