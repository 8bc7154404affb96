"""Replies out: a chat completion as messages, the chunks of one as message chunks."""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.messages import AIMessage, ToolCallChunk, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from vllm_connect.adapters import Piece, ToolCalls, describe_empty, whole_calls
from vllm_connect.types import ChatCompletion, ChatCompletionChunk

from .finish import finish_fields
from .invalid_calls import warn_of_invalid
from .message_chunk import MessageChunk, read_calls
from .usage import usage_metadata, usage_since
from .wire import Json

PROVIDER = "vllm"

_logger = logging.getLogger(__name__)

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
        if not (message.content or message.tool_calls or message.refusal):
            warn_of_emptiness(choice.finish_reason, bool(message.reasoning))
        kwargs: Json = {}
        if message.reasoning:
            kwargs["reasoning_content"] = message.reasoning
        if message.refusal:
            kwargs["refusal"] = message.refusal
        calls = read_calls(whole_calls(message.tool_calls), choice.finish_reason)
        warn_of_invalid(calls)
        valid_calls = [call for call in calls if call["type"] == "tool_call"]
        metadata = {
            **common,
            "model_provider": PROVIDER,
            "model_name": model,
            **finish_fields(choice.finish_reason, calls=bool(valid_calls), refused=bool(message.refusal)),
            **_present(choice, _OF_CHOICE),
        }
        if choice.logprobs is not None:
            metadata["logprobs"] = choice.logprobs.model_dump()
        answer = AIMessage(
            content=message.content or "",
            additional_kwargs=kwargs,
            tool_calls=valid_calls,
            invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
            usage_metadata=usage if not generations else None,
            response_metadata=metadata,
        )
        generations.append(
            ChatGeneration(message=answer, generation_info={"finish_reason": choice.finish_reason})
        )
    output: Json = {"model_name": model, "model_provider": PROVIDER, "id": completion.id}
    if completion.usage:
        output["token_usage"] = completion.usage.model_dump(exclude_none=True)
    return ChatResult(generations=generations, llm_output=output)


def _present(source: Any, names: tuple[str, ...]) -> Json:
    return {name: value for name in names if (value := getattr(source, name, None)) is not None}


def warn_of_emptiness(finish_reason: str | None, reasoning: bool) -> None:
    """Log why an answer has neither text nor tool calls, unless the model itself had nothing to say."""
    if why := describe_empty(finish_reason, reasoning):
        _logger.warning(why)


class ChunkReader:
    """Makes message chunks of one stream's chunks.

    Of several answers (`n`) it reads the first: a stream of message chunks is one message.

    Args:
        model: the name that was asked for.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._calls = ToolCalls()
        self._usage: UsageMetadata | None = None
        self._finished = False
        self._answers = self._reasons = self._refuses = False

    def read(self, chunk: ChatCompletionChunk) -> ChatGenerationChunk | None:
        """The message chunk; None if there is nothing in it."""
        metadata: Json = {"model_provider": PROVIDER}
        content = ""
        kwargs: Json = {}
        calls: list[ToolCallChunk] = []
        is_empty = True
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
            pieces = self._calls.feed(delta.tool_calls) if delta.tool_calls else []
            if choice.finish_reason is not None:
                pieces += self._calls.finish()
            calls = [_call_chunk(piece) for piece in pieces]
            is_empty = not (content or kwargs or calls)
            self._answers = self._answers or bool(content or calls or delta.refusal)
            self._reasons = self._reasons or bool(delta.reasoning)
            self._refuses = self._refuses or bool(delta.refusal)
            if choice.logprobs is not None:
                metadata["logprobs"] = choice.logprobs.model_dump(exclude_none=True)
                is_empty = False
            if choice.token_ids:
                metadata["token_ids"] = choice.token_ids
                is_empty = False
            if choice.finish_reason is not None and not self._finished:
                self._finished = True
                if not self._answers:
                    warn_of_emptiness(choice.finish_reason, self._reasons)
                read = read_calls(self._calls.calls, choice.finish_reason)
                warn_of_invalid(read)
                has_calls = any(call["type"] == "tool_call" for call in read)
                metadata.update(finish_metadata(chunk, choice, self._model))
                metadata.update(finish_fields(choice.finish_reason, calls=has_calls, refused=self._refuses))
                is_empty = False
            if chunk.prompt_token_ids is not None:
                metadata["prompt_token_ids"] = chunk.prompt_token_ids
                is_empty = False
        usage = None
        if chunk.usage is not None:
            current = usage_metadata(chunk.usage)
            usage = usage_since(self._usage, current)
            self._usage = current
        if is_empty and usage is None:
            return None
        message = MessageChunk(
            content=content,
            additional_kwargs=kwargs,
            tool_call_chunks=calls,
            usage_metadata=usage,
            response_metadata=metadata,
        )
        return ChatGenerationChunk(message=message)

    def finish(self) -> ChatGenerationChunk | None:
        """The last chunk of an answer with tool calls that nobody said the end of."""
        if self._finished or not self._calls:
            return None
        calls = [_call_chunk(piece) for piece in self._calls.finish()]
        warn_of_invalid(read_calls(self._calls.calls, None))
        message = MessageChunk(content="", tool_call_chunks=calls, chunk_position="last")
        return ChatGenerationChunk(message=message)


def _call_chunk(piece: Piece) -> ToolCallChunk:
    return tool_call_chunk(
        index=piece.number,
        id=piece.id if piece.begins else None,  # texts that are said again are strung together
        name=piece.name or None,
        args=piece.arguments,
    )


def finish_metadata(chunk: ChatCompletionChunk, choice: Any, model: str | None) -> Json:
    """Metadata of the chunk that ends an answer, said once: LangChain strings repeated texts together."""
    metadata = {
        "model_name": model or chunk.model,
        **_present(chunk, ("id", "system_fingerprint", "service_tier", "kv_transfer_params", "metrics")),
    }
    if choice.stop_reason is not None:
        metadata["stop_reason"] = choice.stop_reason
    return metadata
