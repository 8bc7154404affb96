"""JSON schemas: a value that satisfies one, and whether a value does.

Understood are `$ref` into `$defs` or `definitions`, `const`, `enum`, `anyOf`, `oneOf`, `allOf`, `type`
(a name or a list), `properties`, `required`, `additionalProperties`, `minProperties`, `items`,
`prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minimum`, `maximum`, `exclusiveMinimum`,
`exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength`, `pattern`, the usual `format`s and `default`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from .regexes import matching

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEP = 6
_TOO_DEEP = 24


class SchemaError(ValueError):
    """The schema asks for a type that does not exist."""


def check(schema: Any) -> None:
    """Refuse a schema that names an unknown type, wherever it does.

    Raises:
        SchemaError: with the words that xgrammar has for it.
    """
    if isinstance(schema, list):
        for part in schema:
            check(part)
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(kind, str) and kind not in TYPES:
            raise SchemaError(f'Unsupported type "{kind}"')
    for key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties"):
        check(schema.get(key))
    for key in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(key), dict):
            check(list(schema[key].values()))


def fill(
    schema: Any, *, root: Any = None, name: str = "text", values: dict[str, Any] | None = None, depth: int = 0
) -> Any:
    """Make a value that satisfies a schema.

    Args:
        schema: the schema.
        root: the schema that its references point into, if that is another one.
        name: what the value is called; a string without any other demand says just that.
        values: for properties of these names, used where the schema allows them.
        depth: how deep in the schema this is; deep down, only what is required is made.

    Returns:
        Always the same value for the same arguments.
    """
    root = schema if root is None else root
    schema = resolve(schema, root)
    if depth > _TOO_DEEP or not isinstance(schema, dict):
        return None if depth > _TOO_DEEP else name
    if values and name in values and valid(values[name], schema, root):
        return values[name]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("default") is not None and valid(schema["default"], schema, root):
        return schema["default"]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            branch = _branch(schema[key], root, depth)
            rest = {k: v for k, v in schema.items() if k != key}
            return fill(_merged([rest, branch]), root=root, name=name, values=values, depth=depth + 1)
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, values, depth)
    if kind == "array":
        return _array(schema, root, name, values, depth)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "string":
        return _string(schema, name)
    return {"boolean": True, "null": None}.get(kind, name)


def resolve(schema: Any, root: Any) -> Any:
    """Follow `$ref` and merge `allOf`."""
    for _ in range(_TOO_DEEP):
        if isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
            target = root
            for step in schema["$ref"].lstrip("#").strip("/").split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                target = target.get(step, {}) if step and isinstance(target, dict) else target
            schema = _merged([{k: v for k, v in schema.items() if k != "$ref"}, target])
        elif isinstance(schema, dict) and schema.get("allOf"):
            rest = {k: v for k, v in schema.items() if k != "allOf"}
            schema = _merged([rest, *(resolve(part, root) for part in schema["allOf"])])
        else:
            break
    return schema


def _merged(parts: list[Any]) -> Any:
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items() if isinstance(part, dict) else ():
            if key == "properties":
                value = {**merged.get(key, {}), **value}
            elif key == "required":
                value = [*merged.get(key, []), *value]
            merged[key] = value
    return merged


def _branch(branches: list[Any], root: Any, depth: int) -> Any:
    """The alternative to take: the first that is not null, but deep down the simplest."""
    resolved = [resolve(branch, root) for branch in branches]
    simple = [b for b in resolved if isinstance(b, dict) and b.get("type") not in ("object", "array", None)]
    if depth > _DEEP and simple:
        return next((b for b in simple if b.get("type") == "null"), simple[0])
    return next((b for b in resolved if not (isinstance(b, dict) and b.get("type") == "null")), resolved[0])


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind
    hints = {"properties": "object", "items": "array", "prefixItems": "array", "minimum": "number"}
    return next((kind for key, kind in hints.items() if key in schema), "string")


def _object(schema: dict[str, Any], root: Any, values: dict[str, Any] | None, depth: int) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties") or {}
    required = schema.get("required") or []
    names = [name for name in properties if depth <= _DEEP or name in required]
    more = schema.get("additionalProperties", {})
    members = {
        key: fill(properties.get(key, more), root=root, name=key, values=values, depth=depth + 1)
        for key in [*names, *(key for key in required if key not in properties)]
    }
    while len(members) < schema.get("minProperties", 0):
        key = f"key{len(members) + 1}"
        members[key] = fill(more, root=root, name=key, depth=depth + 1)
    return members


def _array(
    schema: dict[str, Any], root: Any, name: str, values: dict[str, Any] | None, depth: int
) -> list[Any]:
    first: list[Any] = schema.get("prefixItems") or []
    items = schema.get("items", {})
    length = max(schema.get("minItems", 0), len(first), 1 if items and depth <= _DEEP else 0)
    length = min(length, schema.get("maxItems", length))
    elements: list[Any] = []
    for i in range(length):
        item = first[i] if i < len(first) else items
        value = fill(item, root=root, name=name, values=values, depth=depth + 1)
        elements.append(
            _another(value, elements, resolve(item, root)) if schema.get("uniqueItems") else value
        )
    return elements


def _another(value: Any, others: list[Any], schema: Any) -> Any:
    """The value, or one like it that is not among the others."""
    if value not in others:
        return value
    choices = schema.get("enum", []) if isinstance(schema, dict) else []
    if isinstance(value, str):
        choices = [*choices, *(f"{value}{i}" for i in range(2, 200))]
    elif isinstance(value, (int, float)):
        choices = [*choices, *(value + i * (schema.get("multipleOf") or 1) for i in range(1, 200))]
    return next((choice for choice in choices if choice not in others), value)


def _number(schema: dict[str, Any], whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else None)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(above, (int, float)) and not isinstance(above, bool):
        low = max(above + (step or 0.5), -math.inf if low is None else low)
    if isinstance(below, (int, float)) and not isinstance(below, bool):
        high = min(below - (step or 0.5), math.inf if high is None else high)
    value: int | float = 1 if whole else 1.5
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if above is not None and below is not None and not (above < value < below):
        value = (above + below) / 2
    if step:
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value -= step
    return int(value) if whole else value


def _string(schema: dict[str, Any], name: str) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if schema.get("pattern"):
        try:
            return matching(schema["pattern"], shortest, longest, whole=False)
        except re.error:
            return name
    text: str = _FORMATS.get(schema.get("format", ""), name)
    while len(text) < shortest:
        text += text or "a"
    return text[: longest if longest is not None else max(len(text), 0)] if longest is not None else text


def valid(value: Any, schema: Any, root: Any = None) -> bool:
    """Return whether a value satisfies a schema (formats are not looked at)."""
    root = schema if root is None else root
    schema = resolve(schema, root)
    if not isinstance(schema, dict):
        return schema is not False
    if "const" in schema and value != schema["const"]:
        return False
    if schema.get("enum") and value not in schema["enum"]:
        return False
    if schema.get("anyOf") and not any(valid(value, branch, root) for branch in schema["anyOf"]):
        return False
    if schema.get("oneOf") and sum(valid(value, branch, root) for branch in schema["oneOf"]) != 1:
        return False
    kinds = schema.get("type")
    if kinds is not None:
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if not any(_is(value, kind) for kind in kinds):
            return False
    if isinstance(value, dict):
        return _valid_object(value, schema, root)
    if isinstance(value, list):
        return _valid_array(value, schema, root)
    if isinstance(value, str):
        return _valid_string(value, schema)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _valid_number(value, schema)
    return True


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, float):
        return kind == "number" or (kind == "integer" and value.is_integer())
    names = {int: ("integer", "number"), str: ("string",), list: ("array",), dict: ("object",)}
    return kind in names.get(type(value), ())


def _valid_object(value: dict[str, Any], schema: dict[str, Any], root: Any) -> bool:
    properties = schema.get("properties") or {}
    more = schema.get("additionalProperties", True)
    return (
        all(key in value for key in schema.get("required") or [])
        and all(valid(part, properties.get(key, more), root) for key, part in value.items())
        and len(value) >= schema.get("minProperties", 0)
    )


def _valid_array(value: list[Any], schema: dict[str, Any], root: Any) -> bool:
    first = schema.get("prefixItems") or []
    return (
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        and all(
            valid(part, first[i] if i < len(first) else schema.get("items", True), root)
            for i, part in enumerate(value)
        )
        and not (schema.get("uniqueItems") and any(part in value[:i] for i, part in enumerate(value)))
    )


def _valid_string(value: str, schema: dict[str, Any]) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    try:
        return not schema.get("pattern") or re.search(schema["pattern"], value) is not None
    except re.error:
        return True


def _valid_number(value: int | float, schema: dict[str, Any]) -> bool:
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and above < value < below
        and (not step or math.isclose(value / step, round(value / step), abs_tol=1e-9))
    )
