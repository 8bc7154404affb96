"""Replies out: a chat completion as messages, the chunks of one as message chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    InvalidToolCall,
    ToolCall,
    ToolCallChunk,
    UsageMetadata,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from vllm_connect.types import ChatCompletion, ChatCompletionChunk

from .usage import usage_metadata, usage_since

PROVIDER = "vllm"

_OF_CHOICE = ("stop_reason", "token_ids", "routed_experts")
_OF_REPLY = (
    "id",
    "created",
    "system_fingerprint",
    "service_tier",
    "prompt_logprobs",
    "prompt_token_ids",
    "prompt_text",
    "kv_transfer_params",
    "ec_transfer_params",
    "metrics",
)


def chat_result(completion: ChatCompletion, model: str | None) -> ChatResult:
    """All answers of a completion; the first one carries the usage, which is that of them all.

    Args:
        completion: the reply.
        model: the name that was asked for. A server that has several for the same model answers with
            the first of them, whichever was asked for.
    """
    model = model or completion.model
    common = _present(completion, _OF_REPLY)
    usage = usage_metadata(completion.usage) if completion.usage else None
    generations: list[ChatGeneration] = []
    for choice in completion.choices:
        message = choice.message
        kwargs: dict[str, Any] = {}
        if message.reasoning:
            kwargs["reasoning_content"] = message.reasoning
        if message.refusal:
            kwargs["refusal"] = message.refusal
        calls, invalid = _read_calls(message.tool_calls)
        metadata = {
            **common,
            "model_provider": PROVIDER,
            "model_name": model,
            "finish_reason": choice.finish_reason,
            **_present(choice, _OF_CHOICE),
        }
        if choice.logprobs is not None:
            metadata["logprobs"] = choice.logprobs.model_dump()
        answer = AIMessage(
            content=message.content or "",
            additional_kwargs=kwargs,
            tool_calls=calls,
            invalid_tool_calls=invalid,
            usage_metadata=usage if not generations else None,
            response_metadata=metadata,
        )
        generations.append(
            ChatGeneration(message=answer, generation_info={"finish_reason": choice.finish_reason})
        )
    output: dict[str, Any] = {"model_name": model, "model_provider": PROVIDER, "id": completion.id}
    if completion.usage:
        output["token_usage"] = completion.usage.model_dump(exclude_none=True)
    return ChatResult(generations=generations, llm_output=output)


def _present(source: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(source, name, None)) is not None}


def _read_calls(calls: Any) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in calls or ():
        read = read_call(call.function.name, call.function.arguments, call.id or new_call_id())
        if read["type"] == "tool_call":
            valid.append(read)
        else:
            invalid.append(read)
    return valid, invalid


def read_call(name: str | None, text: str | None, call_id: str) -> ToolCall | InvalidToolCall:
    """A whole tool call.

    A function without parameters may be called with nothing at all, or null.
    """
    text = text or "{}"
    try:
        arguments = json.loads(text, strict=False)
    except ValueError as error:
        return invalid_tool_call(name=name, args=text, id=call_id, error=str(error))
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return invalid_tool_call(name=name, args=text, id=call_id, error="not a JSON object")
    return tool_call(name=name or "", args=arguments, id=call_id)


def new_call_id() -> str:
    """An id for a call that a server left without one; without an id it could not be answered."""
    return f"chatcmpl-tool-{uuid4().hex}"


@dataclass
class _Call:
    """What is known of a call of a stream; `given` is the server's id, which may come late or never."""

    index: int
    id: str
    given: str | None
    name: str = ""
    arguments: str = ""

    def ends_before(self, delta: Any, name: str | None, arguments: str) -> bool:
        """Whether a delta for the same index begins another call."""
        if delta.id and self.given:
            return bool(delta.id != self.given)
        if not name or not self.name:
            return False
        return name != self.name or (bool(arguments) and _is_json(self.arguments))


class CallIndex:
    """Numbers the tool calls of a stream.

    Servers leave out the index, or begin every call at 0: an id, sent once per call, tells them apart,
    or else a name, after another name or after whole arguments.
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}  # by the server's index
        self._count = 0

    def read(self, deltas: Any) -> Iterator[tuple[int, str | None, str | None, str]]:
        """Index, id, name (these two at a call's beginning only) and further arguments of each delta."""
        for position, delta in enumerate(deltas):
            function = delta.function
            name = function.name if function is not None else None
            arguments = (function.arguments if function is not None else None) or ""
            if (theirs := getattr(delta, "index", None)) is None:
                theirs = position if len(deltas) > 1 else max(self._calls, default=0)
            call = self._calls.get(theirs)
            begins = call is None or call.ends_before(delta, name, arguments)
            if call is None or begins:
                call = _Call(self._count, delta.id or new_call_id(), delta.id, name or "")
                self._calls[theirs] = call
                self._count += 1
            call.given = call.given or delta.id
            if not call.arguments and arguments.strip() == "null":  # a call of a function without parameters
                arguments = ""
            call.arguments += arguments
            yield call.index, call.id if begins else None, call.name if begins else None, arguments


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


class ChunkReader:
    """Makes message chunks of one stream's chunks.

    Of several answers (`n`) it reads the first: a stream of message chunks is one message.

    Args:
        model: the name that was asked for.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._calls = CallIndex()
        self._usage: UsageMetadata | None = None

    def read(self, chunk: ChatCompletionChunk) -> ChatGenerationChunk | None:
        """The message chunk; None if there is nothing in it."""
        metadata: dict[str, Any] = {"model_provider": PROVIDER}
        content = ""
        kwargs: dict[str, Any] = {}
        calls: list[ToolCallChunk] = []
        said = False
        for choice in chunk.choices:
            if choice.index:
                continue
            delta = choice.delta
            if delta.content:
                content = delta.content
            if delta.reasoning:
                kwargs["reasoning_content"] = delta.reasoning
            if delta.refusal:
                kwargs["refusal"] = delta.refusal
            if delta.tool_calls:
                calls = [
                    tool_call_chunk(index=index, id=call_id, name=name, args=arguments)
                    for index, call_id, name, arguments in self._calls.read(delta.tool_calls)
                ]
            said = bool(content or kwargs or calls)
            if choice.logprobs is not None:
                metadata["logprobs"] = choice.logprobs.model_dump(exclude_none=True)
                said = True
            if choice.token_ids:
                metadata["token_ids"] = choice.token_ids
                said = True
            if choice.finish_reason is not None:
                metadata.update(finish_metadata(chunk, choice, self._model))
                said = True
            if chunk.prompt_token_ids is not None:
                metadata["prompt_token_ids"] = chunk.prompt_token_ids
                said = True
        usage = None
        if chunk.usage is not None:
            current = usage_metadata(chunk.usage)
            usage = usage_since(self._usage, current)
            self._usage = current
        if not said and usage is None:
            return None
        message = AIMessageChunk(
            content=content,
            additional_kwargs=kwargs,
            tool_call_chunks=calls,
            usage_metadata=usage,
            response_metadata=metadata,
        )
        return ChatGenerationChunk(message=message)


def finish_metadata(chunk: ChatCompletionChunk, choice: Any, model: str | None) -> dict[str, Any]:
    """What is said once, in the chunk that ends an answer: LangChain strings repeated texts together."""
    metadata = {
        "finish_reason": choice.finish_reason,
        "model_name": model or chunk.model,
        **_present(chunk, ("id", "system_fingerprint", "service_tier", "kv_transfer_params", "metrics")),
    }
    if choice.stop_reason is not None:
        metadata["stop_reason"] = choice.stop_reason
    return metadata
