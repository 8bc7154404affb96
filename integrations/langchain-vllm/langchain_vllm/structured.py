"""Structured output: what `with_structured_output` asks of the server; `parsers` read the answer.

json_schema         response_format with the schema as it is; valid JSON of that shape
function_calling    a forced call of a tool with these parameters
json_mode           response_format json_object; any JSON
choice              structured_outputs.choice: one of a Literal's, an Enum's or a list's values
regex               structured_outputs.regex: text that matches
grammar             structured_outputs.grammar: text that the EBNF or Lark grammar produces
structural_tag      structured_outputs.structural_tag

The server enforces all but function_calling without showing the model anything of it; `show_schema` puts it
into the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from enum import Enum
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableMap
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from .parsers import ChoiceParser, ObjectParser, TextParser, kinds_of
from .wire import Json

Method = Literal[
    "json_schema", "function_calling", "json_mode", "choice", "regex", "grammar", "structural_tag"
]
METHODS = get_args(Method)


class Plan(NamedTuple):
    """A plan for getting a structured answer.

    Attributes:
        request: parameters of the request; `tools` and `tool_choice` are for `bind_tools`.
        show_schema: the parameter that puts into the prompt what the server enforces without showing it.
        parser: what reads the answer.
        schema: the schema, for tracing.
        method: that was given, or chosen.
    """

    request: Json
    parser: Runnable[AIMessage, object]
    schema: object
    method: Method
    show_schema: bool | Mapping[str, object] = True


def plan(schema: object, method: Method | None, strict: bool | None) -> Plan:
    """Decide how to get an answer of a schema.

    Args:
        schema: a pydantic class, a TypedDict, a JSON schema or a tool definition; a Literal, an
            Enum or a list of strings; a pattern; a grammar.
        method: one of `METHODS`. Default: "choice" for what is a choice, "regex" for a compiled
            pattern, else "json_schema".
        strict: sent along when it is given.

    Raises:
        ValueError: there is no such method, or the schema does not suit it.
    """
    if method is None:
        method = (
            "choice" if _is_choice(schema) else "regex" if isinstance(schema, re.Pattern) else "json_schema"
        )
    if method == "choice":
        return _choice(schema)
    if method in ("regex", "grammar", "structural_tag"):
        return _text(schema, method)
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    if schema is None and method != "json_mode":
        raise ValueError("with_structured_output needs a schema, but for method='json_mode'")
    schema, strict = _unwrapped(schema, strict)
    _check_schema(schema)
    if method == "function_calling":
        return _function(schema, strict)
    if method == "json_mode":
        request: Json = {"response_format": {"type": "json_object"}}
        unseen = schema is not None and json_schema(schema)
        return Plan(request, _object_parser(schema), schema, method, unseen)
    wire: Json = {"name": _name(schema), "schema": json_schema(schema)}
    if strict is not None:
        wire["strict"] = strict
    request = {"response_format": {"type": "json_schema", "json_schema": wire}}
    shown = schema
    if isinstance(schema, Mapping) and not isinstance(schema.get("type", ""), str):
        shown = {
            name: value for name, value in schema.items() if name != "type"
        }  # langchain-core knows no lists
    return Plan(request, _object_parser(schema), shown, method)


def with_raw(answer: Runnable[Any, AIMessage], parser: Runnable[AIMessage, object]) -> Runnable[Any, Any]:
    """The message, what was made of it, and why nothing was, if so.

    In a stream the pieces of the message come first.
    """

    def read(found: Iterator[Mapping[str, AIMessage]], config: RunnableConfig) -> Iterator[AddableDict]:
        whole = AddableDict()
        for piece in found:
            whole = whole + AddableDict(piece)
            yield AddableDict(piece)
        try:
            yield AddableDict(parsed=parser.invoke(whole["raw"], config), parsing_error=None)
        except Exception as error:  # noqa: BLE001  # it is what is to be reported
            yield AddableDict(parsed=None, parsing_error=error)

    async def aread(
        found: AsyncIterator[Mapping[str, AIMessage]], config: RunnableConfig
    ) -> AsyncIterator[AddableDict]:
        whole = AddableDict()
        async for piece in found:
            whole = whole + AddableDict(piece)
            yield AddableDict(piece)
        try:
            yield AddableDict(parsed=await parser.ainvoke(whole["raw"], config), parsing_error=None)
        except Exception as error:  # noqa: BLE001
            yield AddableDict(parsed=None, parsing_error=error)

    # Its types do not know that functions may take a config.
    parse: Runnable[Any, Any] = RunnableGenerator(cast(Any, read), cast(Any, aread))
    return RunnableMap(raw=answer) | parse


def _unwrapped(schema: object, strict: bool | None) -> tuple[object, bool | None]:
    """The tool definition and `strict` of what is a whole `response_format`; others as they are."""
    if not isinstance(schema, Mapping) or schema.get("type") != "json_schema":
        return schema, strict
    inner = schema.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        raise ValueError("a response_format of type 'json_schema' needs {'json_schema': {'schema': {…}}}")
    wire = {"name": inner.get("name") or "answer", "parameters": dict(inner["schema"])}
    if inner.get("description"):
        wire["description"] = inner["description"]
    return wire, inner.get("strict") if strict is None else strict


def _check_schema(schema: object) -> None:
    """Refuse what is neither a mapping nor something with fields.

    Raises:
        ValueError: it is, for example, a list of classes or an Optional; the message says what to pass.
    """
    if schema is None or isinstance(schema, Mapping):
        return
    if get_origin(schema) is None and callable(schema) and schema.__module__ != "builtins":
        return
    shown = schema.__name__ if isinstance(schema, type) and get_origin(schema) is None else schema
    raise ValueError(
        f"a schema is a pydantic class, a TypedDict or a JSON schema, and not {shown}: make it a field of a "
        "class, or pass pydantic.TypeAdapter(…).json_schema()"
    )


def json_schema(schema: object) -> Json:
    """The JSON schema of a class, or the mapping itself: nothing is added, removed or made required."""
    if isinstance(schema, Mapping):
        inner = schema.get("function") if schema.get("type") == "function" else schema
        for name in ("parameters", "input_schema", "schema"):
            if isinstance(inner, Mapping) and "name" in inner and isinstance(inner.get(name), Mapping):
                return dict(inner[name])
        return dict(schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_json_schema()
    if isinstance(schema, type) and is_basemodel_subclass(schema):  # pydantic.v1
        return dict(schema.schema())  # type: ignore[attr-defined]
    return convert_to_json_schema(cast(Any, schema))


def _name(schema: object) -> str:
    name: object = getattr(schema, "__name__", None)
    if isinstance(schema, Mapping):
        inner = schema.get("function") or schema
        name = inner.get("name") or inner.get("title")
    return re.sub(r"[^\w-]", "_", str(name or "answer"), flags=re.ASCII)[:64]


def _is_choice(schema: object) -> bool:
    if isinstance(schema, (list, tuple)) or get_origin(schema) is Literal:
        return True
    return isinstance(schema, type) and issubclass(schema, Enum)


def _choice(schema: object) -> Plan:
    if not _is_choice(schema):
        raise ValueError("method='choice' takes a Literal, an Enum or a list of strings")
    if isinstance(schema, type) and issubclass(schema, Enum):
        values: dict[str, object] = {str(member.value): member for member in schema}
    else:
        given = schema if isinstance(schema, (list, tuple)) else get_args(schema)
        values = {str(value): value for value in given}
    if not values:
        raise ValueError("method='choice' needs something to choose from")
    choices = list(values)
    shown = {"title": "choice", "type": "string", "enum": choices}
    return Plan({"structured_outputs": {"choice": choices}}, ChoiceParser(values=values), shown, "choice")


def _text(schema: object, method: Method) -> Plan:
    if isinstance(schema, re.Pattern):
        schema = schema.pattern
    if method == "structural_tag" and isinstance(schema, Mapping):
        schema = json.dumps(schema)
    if not isinstance(schema, str):
        raise ValueError(f"method={method!r} takes a string, not {type(schema).__name__}")
    shown = {"title": method, "type": "string", "description": schema}
    return Plan({"structured_outputs": {method: schema}}, TextParser(), shown, method)


def _function(schema: object, strict: bool | None) -> Plan:
    tool = convert_to_openai_tool(cast(Any, schema), strict=strict)
    name = tool["function"]["name"]
    parser = _object_parser(schema, tool=name)
    return Plan({"tools": [tool], "tool_choice": name}, parser, schema, "function_calling", False)


def _object_parser(schema: object, tool: str | None = None) -> ObjectParser:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return ObjectParser(model=schema, tool=tool)
    kinds = frozenset({"object"}) if schema is None else kinds_of(json_schema(schema))
    return ObjectParser(kinds=kinds, tool=tool)
