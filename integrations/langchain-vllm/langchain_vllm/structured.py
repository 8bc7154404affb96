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
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from enum import Enum
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin

from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.output_parsers import (
    BaseCumulativeTransformOutputParser,
    BaseGenerationOutputParser,
    BaseOutputParser,
    JsonOutputParser,
)
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.output_parsers.pydantic import PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableMap
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from .errors import StructuredOutputError
from .messages import reasoning_of

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
        method: that was given, or chosen.
    """

    request: dict[str, Any]
    parser: BaseOutputParser[Any] | BaseGenerationOutputParser[Any]
    shown: Any
    method: Method


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
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    if schema is None and method != "json_mode":
        raise ValueError("with_structured_output needs a schema, but for method='json_mode'")
    schema, strict = _unwrapped(schema, strict)
    _check_schema(schema)
    if method == "function_calling":
        return _function(schema, strict)
    if method == "json_mode":
        return Plan({"response_format": {"type": "json_object"}}, _json_parser(schema), schema, method)
    wire: dict[str, Any] = {"name": _name(schema), "schema": json_schema(schema)}
    if strict is not None:
        wire["strict"] = strict
    request = {"response_format": {"type": "json_schema", "json_schema": wire}}
    return Plan(request, _json_parser(schema), schema, method)


def with_raw(answer: Runnable[Any, AIMessage], parser: Runnable[AIMessage, Any]) -> Runnable[Any, Any]:
    """The message, what was made of it, and why nothing was, if so.

    In a stream the pieces of the message come first.
    """

    def read(found: Iterator[Any], config: RunnableConfig) -> Iterator[Any]:
        whole: Any = None
        for piece in found:
            whole = piece if whole is None else whole + piece
            yield AddableDict(piece)
        try:
            yield AddableDict(parsed=parser.invoke(whole["raw"], config), parsing_error=None)
        except Exception as error:  # noqa: BLE001  # it is what is to be reported
            yield AddableDict(parsed=None, parsing_error=error)

    async def aread(found: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[Any]:
        whole: Any = None
        async for piece in found:
            whole = piece if whole is None else whole + piece
            yield AddableDict(piece)
        try:
            yield AddableDict(parsed=await parser.ainvoke(whole["raw"], config), parsing_error=None)
        except Exception as error:  # noqa: BLE001
            yield AddableDict(parsed=None, parsing_error=error)

    # Its types do not know that functions may take a config.
    parse: Runnable[Any, Any] = RunnableGenerator(cast(Any, read), cast(Any, aread))
    return RunnableMap(raw=answer) | parse


def reasoning_as_text(message: AIMessage) -> AIMessage:
    """The reasoning as the answer, where there is no other: some reasoning parsers take it all for that."""
    reasoning = reasoning_of(message)
    if message.text or message.tool_calls or not reasoning:
        return message
    return message.model_copy(update={"content": reasoning})


def _unwrapped(schema: Any, strict: bool | None) -> tuple[Any, bool | None]:
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


def _check_schema(schema: Any) -> None:
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
    return Plan({"structured_outputs": {"choice": choices}}, _Choice(values=values), shown, "choice")


def _text(schema: Any, method: Method) -> Plan:
    if isinstance(schema, re.Pattern):
        schema = schema.pattern
    if method == "structural_tag" and isinstance(schema, Mapping):
        schema = json.dumps(schema)
    if not isinstance(schema, str):
        raise ValueError(f"method={method!r} takes a string, not {type(schema).__name__}")
    shown = {"title": method, "type": "string", "description": schema}
    return Plan({"structured_outputs": {method: schema}}, _Text(), shown, method)


def _function(schema: Any, strict: bool | None) -> Plan:
    tool = convert_to_openai_tool(schema, strict=strict)
    name = tool["function"]["name"]
    parser: Any
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = _PydanticCall(tools=[schema], first_tool_only=True)
    else:
        parser = _Call(key_name=name, first_tool_only=True)
    return Plan({"tools": [tool], "tool_choice": name}, parser, schema, "function_calling")


def _json_parser(schema: Any) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return _Pydantic(pydantic_object=schema)
    return _Json()


def _check_text(result: list[Generation]) -> None:
    """As `_check`, for answers that are text and no tool call."""
    message = _check(result)
    if message is not None and not message.text:
        names = {call["name"] or "?" for call in (*message.tool_calls, *message.invalid_tool_calls)}
        raise StructuredOutputError(
            f"the model called {', '.join(sorted(names))} instead of answering", llm_output=_all(message)
        )


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
        why = (
            "all of it is reasoning; chat_template_kwargs={'enable_thinking': False} turns that off for many "
            "models, or the server needs another --reasoning-parser"
            if reasoning_of(message)
            else "there is no text"
        )
        raise StructuredOutputError(f"the answer is empty: {why}", llm_output=_all(message))
    return message


def _all(message: AIMessage) -> str:
    return message.text or reasoning_of(message)


class _Checked(BaseCumulativeTransformOutputParser[Any]):
    """Reads a stream once more at its end: what was cut off, or is no answer, must not pass for one."""

    def _transform(self, input: Iterator[Any]) -> Iterator[Any]:
        pieces: list[Any] = []
        yield from super()._transform(_noting(input, pieces))
        self.parse_result([_whole(pieces)])

    async def _atransform(self, input: AsyncIterator[Any]) -> AsyncIterator[Any]:
        pieces: list[Any] = []
        read = cast("AsyncGenerator[Any, None]", super()._atransform(_anoting(input, pieces)))
        async with aclosing(read) as values:
            async for value in values:
                yield value
        self.parse_result([_whole(pieces)])


def _noting(input: Iterator[Any], pieces: list[Any]) -> Iterator[Any]:
    for piece in input:
        pieces.append(piece)
        yield piece


async def _anoting(input: AsyncIterator[Any], pieces: list[Any]) -> AsyncIterator[Any]:
    async for piece in input:
        pieces.append(piece)
        yield piece


def _whole(pieces: list[Any]) -> Generation:
    """What the pieces of a stream, texts or messages, are together."""
    if all(isinstance(piece, str) for piece in pieces):
        return Generation(text="".join(pieces))
    first, *more = pieces
    return ChatGeneration(message=add_ai_message_chunks(first, *more) if more else first)


class _Json(_Checked, JsonOutputParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check_text(result)
        return super().parse_result(result, partial=partial)


class _Pydantic(_Checked, PydanticOutputParser[Any]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not partial:
            _check_text(result)
        return super().parse_result(result, partial=partial)


class _PydanticCall(_Checked, PydanticToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return super().parse_result(result, partial=True)
        # Before parsing: the arguments of a streamed call that was cut off look as if they were whole.
        message = _check(result)
        return _called(super().parse_result(result), message)


class _Call(_Checked, JsonOutputKeyToolsParser):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return super().parse_result(result, partial=True)
        message = _check(result)
        return _called(super().parse_result(result), message)


def _called(parsed: Any, message: AIMessage | None) -> Any:
    if parsed is None:
        raise StructuredOutputError(
            "the model did not call the tool", llm_output=_all(message) if message else None
        )
    return parsed


class _Text(BaseGenerationOutputParser[str]):
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        _check_text(result)
        return result[0].text


class _Choice(BaseGenerationOutputParser[Any]):
    values: dict[str, Any]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        _check_text(result)
        text = result[0].text
        for candidate in (text, text.strip()):
            if candidate in self.values:
                return self.values[candidate]
        raise StructuredOutputError(
            f"the answer is none of {', '.join(map(repr, self.values))}: {text!r}", llm_output=text
        )
