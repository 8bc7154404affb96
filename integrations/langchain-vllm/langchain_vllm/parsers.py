"""Answers of a given structure, read: strictly, once, when they have come to an end.

What a stream yields before that is partial, as with langchain-core's own parsers: the beginning of a dict,
and an object of a class as soon as all of its required fields are there. The last value is always the strict
one; where there is none the stream ends with an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import cast

from langchain_core import exceptions as core
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser, BaseGenerationOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.utils.json import parse_json_markdown
from pydantic import BaseModel, ValidationError
from vllm_connect.adapters import describe_cut, describe_empty

from .errors import StructuredOutputError
from .messages import reasoning_of

_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
_KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


class ObjectParser(BaseCumulativeTransformOutputParser[object]):
    """Reads JSON: the text of an answer, or the arguments of a tool call."""

    model: type | None = None
    """The pydantic class of the answer. Default: plain data."""
    kinds: frozenset[str] | None = None
    """The JSON types that plain data may have at the top. Default: any."""
    tool: str | None = None
    """The tool whose arguments are the answer. Default: the text is."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> object:
        """The answer; while it is `partial`, what there is of it, or None."""
        message = _message(result[0])
        if partial:
            return self._partial(result[0].text, message)
        text = result[0].text if self.tool is None else self._arguments_of(message)
        _check(message, expects_text=self.tool is None)
        try:
            return self._read(text)
        except (ValueError, RecursionError) as error:
            raise StructuredOutputError(_problem(error, text, message), llm_output=text) from error

    def parse(self, text: str) -> object:
        """The answer that a text is."""
        return self.parse_result([Generation(text=text)])

    def _read(self, text: str) -> object:
        text = text.strip()
        if fenced := _FENCED.fullmatch(text):
            text = fenced.group(1)
        if self.model is not None and issubclass(self.model, BaseModel):
            return self.model.model_validate_json(text)
        value = json.loads(text, strict=False)
        if self.model is not None:
            return _validated(self.model, value)
        if self.kinds is not None and not any(_is_kind(value, kind) for kind in self.kinds):
            found = next(kind for kind in _KINDS if _is_kind(value, kind))
            raise ValueError(
                f"the schema wants type {' or '.join(sorted(self.kinds))}, and this is of type {found}"
            )
        return value

    def _partial(self, text: str, message: AIMessage | None) -> object:
        if self.tool is not None:
            text = _call_text(message, self.tool) or ""
        try:
            value = parse_json_markdown(text.strip())
        except ValueError:
            return None
        if self.model is None:
            return value
        try:
            return _validated(self.model, value)
        except Exception:  # noqa: BLE001  # a validator may trip over a value that is half written
            return None

    def _arguments_of(self, message: AIMessage | None) -> str:
        text = _call_text(message, self.tool)
        if text is None:
            _check(message, expects_text=False)
            calls = _called(message)
            why = f"called {calls}, and not {self.tool}" if calls else f"did not call the tool {self.tool}"
            raise StructuredOutputError(f"the model {why}", llm_output=_all(message))
        return text

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[object]:
        pieces: list[str | BaseMessage] = []
        last: object = None
        for value in super()._transform(_noting(input, pieces)):
            last = value
            yield value
        whole = self.parse_result([_joined(pieces)])
        if whole != last or type(whole) is not type(last):
            yield whole

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[object]:
        pieces: list[str | BaseMessage] = []
        last: object = None
        begun = cast("AsyncGenerator[object, None]", super()._atransform(_anoting(input, pieces)))
        async with aclosing(begun) as values:
            async for value in values:
                last = value
                yield value
        whole = self.parse_result([_joined(pieces)])
        if whole != last or type(whole) is not type(last):
            yield whole


class TextParser(BaseGenerationOutputParser[str]):
    """Reads the text of an answer."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:
        """The text."""
        _check(_message(result[0]))
        return result[0].text


class ChoiceParser(BaseGenerationOutputParser[object]):
    """Reads which one of several texts an answer is."""

    values: dict[str, object]
    """What the texts mean."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> object:
        """Return what was chosen."""
        message, text = _message(result[0]), result[0].text
        _check(message)
        for candidate in (text, text.strip()):
            if candidate in self.values:
                return self.values[candidate]
        choices = ", ".join(map(repr, self.values))
        raise StructuredOutputError(f"the answer is none of {choices}: {text!r}", llm_output=text)


def kinds_of(schema: Mapping[str, object]) -> frozenset[str] | None:
    """The JSON types that a schema allows at the top; None where it does not say."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return frozenset({kinds})
    if isinstance(kinds, list):
        return frozenset(map(str, kinds))
    return frozenset({"object"}) if "properties" in schema else None


def reasoning_as_text(message: AIMessage) -> AIMessage:
    """The reasoning as the answer, where there is no other: some reasoning parsers take it all for that."""
    reasoning = reasoning_of(message)
    if message.text or message.tool_calls or not reasoning:
        return message
    return message.model_copy(update={"content": reasoning})


def _check(message: AIMessage | None, *, expects_text: bool = True) -> None:
    """Explain an answer that no parser can read, better than a parser could.

    Raises:
        StructuredOutputError: the answer has not come to an end, is empty, or is a call in place of a text.
    """
    if message is None:  # a text, of which nothing more is known
        return
    if (refusal := message.additional_kwargs.get("refusal")) and not message.content:
        refused = getattr(core, "ModelRefusalError", None)  # langchain-core 1.7.5
        raise (refused or StructuredOutputError)(refusal)
    finish_reason = message.response_metadata.get("finish_reason")
    calls, reasoning = _called(message), reasoning_of(message)
    if not message.text and not calls:
        why = describe_empty(finish_reason, bool(reasoning)) or "The answer is empty: there is no text."
        if reasoning and finish_reason != "length":
            why += " thinking=False switches it off, where the model has a switch."
        raise StructuredOutputError(why, llm_output=reasoning)
    if why_cut := describe_cut(finish_reason):
        raise StructuredOutputError(f"the answer is not whole: {why_cut}", llm_output=_all(message))
    if expects_text and not message.text:
        raise StructuredOutputError(
            f"the model called {calls} instead of answering", llm_output=_all(message)
        )


def _problem(error: Exception, text: str, message: AIMessage | None) -> str:
    """Say why a text could not be read."""
    stop_reason = message.response_metadata.get("stop_reason") if message is not None else None
    cut = describe_cut("stop", stop_reason)
    if cut is not None:
        return f"the answer is not whole: {cut}"
    if isinstance(error, ValidationError) and any(each["type"] == "json_invalid" for each in error.errors()):
        return f"the answer is no JSON: {error.errors()[0]['msg']}: {text!r}"
    if isinstance(error, json.JSONDecodeError):
        return f"the answer is no JSON: {error}: {text!r}"
    return f"the answer does not fit: {error}: {text!r}"


def _message(generation: Generation) -> AIMessage | None:
    message = generation.message if isinstance(generation, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _all(message: AIMessage | None) -> str:
    return "" if message is None else message.text or reasoning_of(message)


def _called(message: AIMessage | None) -> str:
    """The names of the tools that a message calls."""
    if message is None:
        return ""
    names = {call["name"] or "?" for call in (*message.tool_calls, *message.invalid_tool_calls)}
    return ", ".join(sorted(names))


def _call_text(message: AIMessage | None, tool: str | None) -> str | None:
    """The arguments of the first call of a tool, as the model wrote them; None if there is no such call."""
    if message is None:
        return None
    if isinstance(message, AIMessageChunk):
        for piece in message.tool_call_chunks:
            if piece["name"] == tool:
                return piece["args"] or ""
    for call in message.tool_calls:
        if call["name"] == tool:
            return json.dumps(call["args"], ensure_ascii=False)
    return next((bad["args"] or "" for bad in message.invalid_tool_calls if bad["name"] == tool), None)


def _validated(model: type, value: object) -> object:
    """A value as an object of a pydantic class, of version 2 or 1."""
    if issubclass(model, BaseModel):
        return model.model_validate(value)
    return model.parse_obj(value)  # type: ignore[attr-defined]  # of pydantic.v1, which not every Python has


def _is_kind(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return isinstance(value, _KINDS.get(kind, object))


def _noting(
    input: Iterator[str | BaseMessage], pieces: list[str | BaseMessage]
) -> Iterator[str | BaseMessage]:
    for piece in input:
        pieces.append(piece)
        yield piece


async def _anoting(
    input: AsyncIterator[str | BaseMessage], pieces: list[str | BaseMessage]
) -> AsyncIterator[str | BaseMessage]:
    async for piece in input:
        pieces.append(piece)
        yield piece


def _joined(pieces: list[str | BaseMessage]) -> Generation:
    """Join the pieces of a stream, texts or messages."""
    if all(isinstance(piece, str) for piece in pieces):
        return Generation(text="".join(map(str, pieces)))
    first, *more = cast("list[AIMessageChunk]", pieces)
    return ChatGeneration(message=add_ai_message_chunks(first, *more) if more else first)
