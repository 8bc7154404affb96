"""Structured output: what `with_structured_output` asks of the server, and how it reads the answer.

json_schema         response_format with the schema as it is; valid JSON of that shape
function_calling    a forced call of a tool with these parameters
json_mode           response_format json_object; any JSON
choice              structured_outputs.choice: one of a Literal's, an Enum's or a list's values
regex               structured_outputs.regex: text that matches
grammar             structured_outputs.grammar: text that the EBNF or Lark grammar produces
structural_tag      structured_outputs.structural_tag
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, NamedTuple, get_args, get_origin

from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseGenerationOutputParser, BaseOutputParser, JsonOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.output_parsers.pydantic import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from .errors import StructuredOutputError

Method = Literal[
    "json_schema", "function_calling", "json_mode", "choice", "regex", "grammar", "structural_tag"
]
METHODS = get_args(Method)


class Plan(NamedTuple):
    """How to get a structured answer.

    Attributes:
        request: parameters of the request; `tools` and `tool_choice` are for `bind_tools`.
        parser: what reads the answer.
        shown: the schema, for tracing.
    """

    request: dict[str, Any]
    parser: BaseOutputParser[Any] | BaseGenerationOutputParser[Any]
    shown: Any


def plan(schema: Any, method: Method | None, strict: bool | None) -> Plan:
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
    if method == "function_calling":
        return _function(schema, strict)
    if method == "json_mode":
        parser = _Json() if schema is None else _json_parser(schema)
        return Plan({"response_format": {"type": "json_object"}}, parser, schema)
    if method != "json_schema":
        raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    if schema is None:
        raise ValueError("with_structured_output needs a schema, but for method='json_mode'")
    wire: dict[str, Any] = {"name": _name(schema), "schema": json_schema(schema)}
    if strict is not None:
        wire["strict"] = strict
    request = {"response_format": {"type": "json_schema", "json_schema": wire}}
    return Plan(request, _json_parser(schema), schema)


def with_raw(answer: Runnable[Any, AIMessage], parser: Any) -> Runnable[Any, Any]:
    """The message, what was made of it, and why nothing was, if so."""
    parse = RunnablePassthrough.assign(
        parsed=lambda found: parser.invoke(found["raw"]), parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=answer) | parse.with_fallbacks([failed], exception_key="parsing_error")


def reasoning_as_text(message: AIMessage) -> AIMessage:
    """The reasoning as the answer, where there is no other: some reasoning parsers take it all for that."""
    reasoning = message.additional_kwargs.get("reasoning_content")
    if message.text or message.tool_calls or not reasoning:
        return message
    return message.model_copy(update={"content": reasoning})


def json_schema(schema: Any) -> dict[str, Any]:
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
    return convert_to_json_schema(schema)


def _name(schema: Any) -> str:
    name: Any = getattr(schema, "__name__", None)
    if isinstance(schema, Mapping):
        inner = schema.get("function") or schema
        name = inner.get("name") or inner.get("title")
    return re.sub(r"[^\w-]", "_", str(name or "answer"), flags=re.ASCII)[:64]


def _is_choice(schema: Any) -> bool:
    if isinstance(schema, (list, tuple)) or get_origin(schema) is Literal:
        return True
    return isinstance(schema, type) and issubclass(schema, Enum)


def _choice(schema: Any) -> Plan:
    if not _is_choice(schema):
        raise ValueError("method='choice' takes a Literal, an Enum or a list of strings")
    if isinstance(schema, type) and issubclass(schema, Enum):
        values: dict[str, Any] = {str(member.value): member for member in schema}
    else:
        given = schema if isinstance(schema, (list, tuple)) else get_args(schema)
        values = {str(value): value for value in given}
    if not values:
        raise ValueError("method='choice' needs something to choose from")
    choices = list(values)
    shown = {"title": "choice", "type": "string", "enum": choices}
    return Plan({"structured_outputs": {"choice": choices}}, _Choice(values=values), shown)


def _text(schema: Any, method: str) -> Plan:
    if isinstance(schema, re.Pattern):
        schema = schema.pattern
    if method == "structural_tag" and isinstance(schema, Mapping):
        schema = json.dumps(schema)
    if not isinstance(schema, str):
        raise ValueError(f"method={method!r} takes a string, not {type(schema).__name__}")
    shown = {"title": method, "type": "string", "description": schema}
    return Plan({"structured_outputs": {method: schema}}, _Text(), shown)


def _function(schema: Any, strict: bool | None) -> Plan:
    if schema is None:
        raise ValueError("with_structured_output needs a schema, but for method='json_mode'")
    tool = convert_to_openai_tool(schema, strict=strict)
    name = tool["function"]["name"]
    parser: Any
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = _PydanticCall(tools=[schema], first_tool_only=True)
    else:
        parser = _Call(key_name=name, first_tool_only=True)
    return Plan({"tools": [tool], "tool_choice": name}, parser, schema)


def _json_parser(schema: Any) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return _Pydantic(pydantic_object=schema)
    return _Json()


def _check(result: list[Generation]) -> AIMessage | None:
    """Raise what explains an answer that cannot be read better than a parser could.

    Raises:
        StructuredOutputError: the answer was cut off, or all of it is reasoning.
    """
    generation = result[0]
    message = generation.message if isinstance(generation, ChatGeneration) else None
    if not isinstance(message, AIMessage):
        return None
    if (refusal := message.additional_kwargs.get("refusal")) and not message.content:
        refused = getattr(core, "ModelRefusalError", None)  # langchain-core 1.7.5
        raise (refused or StructuredOutputError)(refusal)
    if message.response_metadata.get("finish_reason") == "length":
        raise StructuredOutputError(
            "the answer was cut off by max_tokens, or by the end of the context", llm_output=_all(message)
        )
    if not message.text and not message.tool_calls and not message.invalid_tool_calls:
        reasoning = message.additional_kwargs.get("reasoning_content")
        why = (
            "all of it is reasoning; chat_template_kwargs={'enable_thinking': False} turns that off for many "
            "models, or the server needs another --reasoning-parser"
            if reasoning
            else "there is no text"
        )
        raise StructuredOutputError(f"the answer is empty: {why}", llm_output=_all(message))
    return message


def _all(message: AIMessage) -> str:
    return message.text or str(message.additional_kwargs.get("reasoning_content") or "")


class _Json(JsonOutputParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


class _Pydantic(PydanticOutputParser[Any]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check(result)
        return super().parse_result(result, partial=partial)


class _PydanticCall(PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        parsed = super().parse_result(result, partial=partial)
        return parsed if partial else _called(parsed, result)


class _Call(JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        parsed = super().parse_result(result, partial=partial)
        return parsed if partial else _called(parsed, result)


def _called(parsed: Any, result: list[Generation]) -> Any:
    if parsed is None:
        message = _check(result)
        raise StructuredOutputError(
            "the model did not call the tool", llm_output=_all(message) if message else None
        )
    return parsed


class _Text(BaseGenerationOutputParser[str]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        _check(result)
        return result[0].text


class _Choice(BaseGenerationOutputParser[Any]):
    values: dict[str, Any]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _check(result)
        text = result[0].text
        for candidate in (text, text.strip()):
            if candidate in self.values:
                return self.values[candidate]
        raise StructuredOutputError(
            f"the answer is none of {', '.join(map(repr, self.values))}: {text!r}", llm_output=text
        )
