"""JSON Schema (draft 2020-12) as a grammar: --json-schema.

Every text of the grammar is valid by the schema, but the grammar need not have every valid text: properties are in the
order of the schema, without others unless they are required; numbers and times have few digits; the layout is fixed.
A keyword that is not supported is refused by name. Annotations such as `title`, and keys that begin with `x-`, have no
effect.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar import json_values
from charrnn.sampling.grammar.context_free import Alternative, Grammar, Rule, Symbol, Terminal
from charrnn.sampling.grammar.json_values import UnsupportedError
from charrnn.sampling.grammar.schemas import (
    TYPES,
    Schema,
    are_distinct,
    check_values,
    checked,
    merged,
    referenced,
    types,
    without,
)

MAX_ITEMS = 1000  # of an array with maxItems


def json_schema_grammar(source: str, space: str = " ") -> Grammar:
    """Return the grammar of the JSON texts of a schema, with a space or nothing after each comma and colon.

    Raises UsageError for a schema that is wrong or not supported.
    """
    try:
        schema = json.loads(source, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from error
    compiler = SchemaCompiler(schema, space)
    try:
        check_values(schema, "#")
        start = compiler.value(schema, "#")
    except RecursionError as error:
        raise UsageError("schemas are nested too deeply") from error
    return Grammar(compiler.rules, start)


def no_number(name: str) -> None:
    """Refuse NaN and the infinities, which Python's reader takes for numbers."""
    raise ValueError(f"{name} is no number")


def literal(text: str) -> Terminal:
    """Return the terminal of a constant text."""
    return Terminal(text if text[0] == '"' else f'"{text}"', re.escape(text))


class SchemaCompiler:
    """Makes a rule for every place in a schema; `place` is its JSON pointer, which names it in errors."""

    def __init__(self, root: Any, space: str) -> None:
        self.root = root
        self.comma, self.colon = literal("," + space), literal(":" + space)
        self.rules: dict[Rule, list[Alternative]] = {}

    def value(self, schema: Any, place: str) -> Rule:
        """Return the rule of the values that a schema allows."""
        rule = Rule("any value" if schema in (True, {}) else place)
        if rule not in self.rules:
            self.rules[rule] = []  # first, for schemas that contain themselves
            try:
                self.rules[rule] += self.alternatives(schema, place)
            except UnsupportedError as error:
                raise UsageError(f"{place}: {error} is not supported") from error
        return rule

    def alternatives(self, schema: Any, place: str) -> list[Alternative]:
        """Return the alternatives of the values that a schema allows."""
        if schema is False:
            return []
        schema = checked(schema, place)
        for keyword, method in (
            ("$ref", self.reference),
            ("allOf", self.all_of),
            ("anyOf", self.any_of),
            ("oneOf", self.one_of),
        ):
            if keyword in schema:
                return method(schema, place)
        if "const" in schema or "enum" in schema:
            return constants(schema)
        return [parts for name in types(schema) for parts in self.of_type(name, schema, place)]

    def of_type(self, name: str, schema: Schema, place: str) -> list[Alternative]:
        """Return the alternatives of the values of one type."""
        if name == "object":
            return [self.object(schema, place)]
        if name == "array":
            return self.array(schema, place)
        patterns: dict[str, Callable[[Schema], str]] = {
            "string": json_values.string,
            "integer": json_values.integer,
            "number": json_values.number,
            "boolean": lambda _: "true|false",
            "null": lambda _: "null",
        }
        lengths = json_values.string_lengths(schema) if name == "string" else (0, None)
        return [(Terminal(f"{name} at {place}", patterns[name](schema), *lengths),)]

    # ---- schemas made of others ----

    def reference(self, schema: Schema, place: str) -> list[Alternative]:
        """Follow a reference within the document."""
        if len(schema) > 1:
            raise UnsupportedError(f"$ref beside {', '.join(sorted(schema.keys() - {'$ref'}))}")
        target = schema["$ref"]
        found = referenced(self.root, target, place)
        check_values(found, target)
        return [(self.value(found, target),)]

    def all_of(self, schema: Schema, place: str) -> list[Alternative]:
        """Join schemas that have no keyword in common."""
        return [(self.value(merged([without(schema, "allOf"), *schema["allOf"]]), f"{place}/allOf"),)]

    def any_of(self, schema: Schema, place: str) -> list[Alternative]:
        """Return an alternative for each case, joined with the keywords beside them."""
        return [(rule,) for rule in self.cases("anyOf", schema, place)]

    def one_of(self, schema: Schema, place: str) -> list[Alternative]:
        """Return an alternative for each case, as long as no value can be valid by two of them."""
        beside = without(schema, "oneOf")
        cases = [merged([beside, case]) for case in schema["oneOf"] if case is not False]
        for n, case in enumerate(cases):
            if not all(are_distinct(case, other) for other in cases[:n]):
                raise UnsupportedError("oneOf whose cases do not differ in their types or in a constant property")
        return [(rule,) for rule in self.cases("oneOf", schema, place)]

    def cases(self, keyword: str, schema: Schema, place: str) -> Iterator[Rule]:
        """Yield the rule of each case."""
        for n, case in enumerate(schema[keyword]):
            yield self.value(merged([without(schema, keyword), case]), f"{place}/{keyword}/{n}")

    # ---- objects and arrays ----

    def object(self, schema: Schema, place: str) -> Alternative:
        """Return the symbols of an object; whether a comma is due depends on whether a property came before."""
        properties = dict(schema.get("properties", {}))
        required, others = schema.get("required", []), schema.get("additionalProperties", True)
        if not properties and not required:
            return self.free_object(others, place)
        for key in required:
            properties.setdefault(key, others)
        first = after = Rule(f"end of {place}")  # the word comes first: a place may end in any
        self.rules[first] = [()]
        for key, inner in reversed(properties.items()):
            below = f"{place}/properties/{key.replace('~', '~0').replace('/', '~1')}"
            pair = (literal(json.dumps(key, ensure_ascii=False)), self.colon, self.value(inner, below))
            skipped = key not in required
            next_first, next_after = first, after
            first, after = Rule(f"first of {below}"), Rule(f"after {below}")
            self.rules[first] = [(*pair, next_after), *([(next_first,)] if skipped else [])]
            self.rules[after] = [(self.comma, *pair, next_after), *([(next_after,)] if skipped else [])]
        return (literal("{"), first, literal("}"))

    def free_object(self, others: Any, place: str) -> Alternative:
        """Return the symbols of an object with any keys. Keys may repeat, and then the last one counts."""
        key = Terminal("a key", json_values.string({}))
        pairs, rest = Rule(f"pairs of {place}"), Rule(f"more pairs of {place}")
        pair = (key, self.colon, self.value(others, f"{place}/additionalProperties"))
        self.rules[rest] = [(), (rest, self.comma, *pair)]
        self.rules[pairs] = [(), (*pair, rest)]
        return (literal("{"), pairs, literal("}"))

    def array(self, schema: Schema, place: str) -> list[Alternative]:
        """Return the symbols of an array: the places before minItems, then as many more as may come."""
        prefix, least, most = schema.get("prefixItems", []), schema.get("minItems", 0), schema.get("maxItems")
        if max(least, most or 0) > MAX_ITEMS:
            raise UnsupportedError(f"an array of more than {MAX_ITEMS} items")
        if most is not None and most < least:
            return []
        items = [self.value(each, f"{place}/prefixItems/{n}") for n, each in enumerate(prefix)]
        item = self.value(schema.get("items", True), f"{place}/items")
        count = max(len(items), least) if most is None else most
        items = (items + [item] * count)[:count]
        tail = Rule(f"items from {count} of {place}")
        self.rules[tail] = [()] if most is not None else [(), (tail, self.comma, item)]
        for n in range(count - 1, -1, -1):
            following, tail = tail, Rule(f"items from {n} of {place}")
            comma: tuple[Symbol, ...] = (self.comma,) if n else ()
            self.rules[tail] = [(*comma, items[n], following), *([()] if n >= least else [])]
        if count:
            return [(literal("["), tail, literal("]"))]
        opened: list[Alternative] = [(literal("["), literal("]"))]
        return opened if most == 0 else [*opened, (literal("["), item, tail, literal("]"))]


def constants(schema: Schema) -> list[Alternative]:
    """Return the alternatives of `const` or `enum`, beside which only `type` may be."""
    beside = schema.keys() - {"const", "enum", "type"}
    if beside or schema.keys() >= {"const", "enum"}:
        raise UnsupportedError(f"const or enum beside {', '.join(sorted(beside)) or 'each other'}")
    values = [schema["const"]] if "const" in schema else schema["enum"]
    allowed = tuple(kind for name in types(schema) for kind in TYPES[name])
    return [
        (Terminal(json.dumps(each, ensure_ascii=False)[:40], json_values.exactly(each)),)
        for each in values
        if isinstance(each, allowed) and (bool in allowed or not isinstance(each, bool))
    ]
