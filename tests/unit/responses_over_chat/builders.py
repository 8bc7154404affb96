"""Chat completions, their chunks, and what becomes of them."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from vllm_connect.responses_over_chat import ResponseEvents

CHAT_ID = "chatcmpl-878ff44fcb7c2351"
USAGE = {
    "prompt_tokens": 16,
    "total_tokens": 30,
    "completion_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 8, "created_cache_tokens": 4, "multimodal_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 6},
}
EVENT_TYPES = frozenset(typing.get_args(typing.get_args(ResponseStreamEvent)[0]))


def call(id: str | None, name: str | None, arguments: str | None, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}} | more


def completion(
    content: str | None = None,
    *,
    reasoning: str | None = None,
    refusal: str | None = None,
    tool_calls: list[dict[str, Any]] | None = None,
    finish_reason: str | None = "stop",
    logprobs: list[dict[str, Any]] | None = None,
    cls: Any = ChatCompletion,
    **more: Any,
) -> Any:
    """A chat completion as vLLM 0.32 answers it, read as the SDK reads it."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content,
        "refusal": refusal,
        "reasoning": reasoning,
    }
    if tool_calls:
        message["tool_calls"] = tool_calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None if logprobs is None else {"content": logprobs},
        "finish_reason": finish_reason,
        "stop_reason": None,
        "token_ids": None,
    }
    payload = {
        "id": CHAT_ID,
        "object": "chat.completion",
        "created": 1795398468,
        "model": "tiny-chat",
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": "vllm-0.32.0-1bf0ad44",
        "usage": USAGE,
        "prompt_logprobs": None,
        "kv_transfer_params": None,
        "metrics": None,
    } | more
    return cls.construct(**payload)


def chunk(
    delta: dict[str, Any] | None = None,
    finish_reason: str | None = None,
    *,
    logprobs: list[dict[str, Any]] | None = None,
    cls: Any = ChatCompletionChunk,
    choice: Mapping[str, Any] | None = None,
    **more: Any,
) -> Any:
    """One chunk of a stream."""
    made = {
        "index": 0,
        "delta": delta,
        "logprobs": None if logprobs is None else {"content": logprobs},
        "finish_reason": finish_reason,
    } | dict(choice or {})
    payload = {
        "id": CHAT_ID,
        "object": "chat.completion.chunk",
        "created": 1795398468,
        "model": "tiny-chat",
        "choices": [made],
    } | more
    return cls.construct(**payload)


def usage_chunk(**more: Any) -> Any:
    return chunk(choices=[], usage=USAGE, system_fingerprint="vllm-0.32.0-1bf0ad44", **more)


def stream(
    *deltas: dict[str, Any], finish_reason: str = "stop", cls: Any = ChatCompletionChunk
) -> Iterator[Any]:
    """A stream as vLLM sends it: the role, the deltas, the finish reason, the usage."""
    yield chunk({"role": "assistant", "content": ""}, cls=cls)
    for delta in deltas:
        yield chunk(delta, cls=cls)
    yield chunk({}, finish_reason, cls=cls, choice={"stop_reason": None})
    yield usage_chunk(cls=cls)


def run(chunks: Iterable[Any], params: Mapping[str, Any] | None = None) -> list[Any]:
    """All events of a stream that ends well; checked to be what the SDK's types promise."""
    events = ResponseEvents(params or {"model": "tiny-chat", "input": "hi"})
    made: list[Any] = []
    for item in chunks:
        made += events.feed(item)
    made += events.finish()
    check(made)
    return made


def check(events: list[Any]) -> None:
    """Every event is of a type of the SDK, valid for it, and has its place in the sequence."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        assert type(event) in EVENT_TYPES
        assert type(event).model_validate_json(event.to_json()) == event
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert added == list(range(len(added)))


def accumulate(events: list[Any], tools: Any = omit) -> Any:
    """What the SDK's own accumulator makes of the events: the completed response, or None."""
    state: Any = ResponseStreamState(input_tools=tools, text_format=omit)
    for event in events:
        state.handle_event(event)
    return state._completed_response


def without_ids(response: Any) -> dict[str, Any]:
    """A response as data, without what is random."""
    data = response.to_dict(mode="json", warnings=False)
    for item in data["output"]:
        assert item.pop("id").split("_")[0] in ("rs", "msg", "fc")
    return data
