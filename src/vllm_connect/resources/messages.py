"""Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, overload

from openai import AsyncStream, Stream
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict, Unpack

from .._calls.call import Call, json_call, stream_call
from .._wire.body import RequestOptions, names, read_params
from .._wire.decoding import JsonObject
from .._wire.objects import NotAReply, Reader, read_object
from ..types import GenerateRequest, Message, MessageStreamEvent, MessageTokens
from ..types.messages import (
    MessageParam,
    OutputConfigParam,
    SystemParam,
    ThinkingParam,
    ToolChoiceParam,
    ToolParam,
)
from ._base import AsyncOwnResource, OwnResource
from .generate import read_prompt

_PATH = "/v1/messages"


class _Conversation(TypedDict, total=False):
    model: str | None
    """vLLM insists on one here; a key's `model_name` is one."""
    messages: Iterable[MessageParam]
    system: SystemParam | None
    tools: Iterable[ToolParam] | None
    tool_choice: ToolChoiceParam | None
    thinking: ThinkingParam | None
    output_config: OutputConfigParam | None
    chat_template_kwargs: Mapping[str, object] | None


class MessageCreateParams(_Conversation, RequestOptions, total=False):
    """Everything that `messages.create` accepts but `stream`: Anthropic's parameters and vLLM's."""

    max_tokens: int
    metadata: Mapping[str, object] | None
    stop_sequences: Sequence[str] | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    # vLLM's
    cache_salt: str | None
    watermarking: bool | None
    kv_transfer_params: Mapping[str, object] | None
    ec_transfer_params: Mapping[str, object] | None
    vllm_xargs: Mapping[str, object] | None
    mm_payload: Literal["tensors", "none"] | None
    """What `render` answers for images."""
    session_id: str | None
    """As in chat completions: it goes on as X-Session-ID."""
    data_parallel_rank: int | None


class MessageCountParams(_Conversation, RequestOptions, total=False):
    """Parameters of `messages.count_tokens`."""


_CREATE = names(MessageCreateParams)
_COUNT = names(MessageCountParams)

read_message = Reader(Message, "content")
"""Reads the body of a message."""


@cache
def _events() -> TypeAdapter[Any]:
    return TypeAdapter(MessageStreamEvent)


def read_message_event(data: bytes) -> MessageStreamEvent:
    """Read an event of a streamed message.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is no event that this knows.
    """
    try:
        event: MessageStreamEvent = _events().validate_json(data)
    except ValidationError as problem:
        read_object(data)  # an error, or something that is no JSON, says so
        raise NotAReply(f"no event of a message: {data[:200]!r}") from problem
    return event


def _read_count(content: bytes) -> MessageTokens:
    payload = read_object(content)
    if not isinstance(payload.get("input_tokens"), int):
        raise NotAReply(f"no 'input_tokens' in the reply: {content[:200]!r}")
    return MessageTokens.construct(**payload)


def _body(
    operation: str, params: Mapping[str, object], names: frozenset[str]
) -> tuple[JsonObject, JsonObject]:
    body, options = read_params(operation, params, names)
    if "messages" not in body:
        raise TypeError(f"{operation}: pass messages=, and max_tokens=")
    return body, options


def message_call(params: Mapping[str, object]) -> Call[Message]:
    """Build the call; see `MessageCreateParams`."""
    body, options = _body("messages.create", params, _CREATE)
    return json_call("messages.create", (_PATH,), body, options, read_message)


def message_stream_call(params: Mapping[str, object]) -> Call[MessageStreamEvent]:
    """Build the call whose answer is a stream; see `MessageCreateParams`."""
    body, options = _body("messages.create", params, _CREATE)
    return stream_call("messages.create", _PATH, body, options, read_message_event)


def message_count_call(params: Mapping[str, object]) -> Call[MessageTokens]:
    """Build the call; see `MessageCountParams`."""
    body, options = _body("messages.count_tokens", params, _COUNT)
    path = f"{_PATH}/count_tokens"
    return json_call("messages.count_tokens", (path,), body, options, _read_count, generates=False)


def _render_call(params: Mapping[str, object]) -> Call[GenerateRequest]:
    body, options = _body("messages.render", params, _CREATE)
    return json_call("messages.render", (f"{_PATH}/render",), body, options, read_prompt, generates=False)


class Messages(OwnResource):
    """Anthropic's Messages."""

    methods = ("create", "count_tokens", "render")

    @overload
    def create(
        self, *, stream: Literal[True], **params: Unpack[MessageCreateParams]
    ) -> Stream[MessageStreamEvent]: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[MessageCreateParams]
    ) -> Message: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[MessageCreateParams]
    ) -> Message | Stream[MessageStreamEvent]: ...
    def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Answer a conversation in Anthropic's shapes.

        Args:
            stream: whether to return a stream of events.
            params: see `MessageCreateParams`; unset ones are not sent.

        Returns:
            A `Message`, or a stream of `MessageStreamEvent`.
        """
        if stream:
            return self._client._stream(message_stream_call(params))
        return self._client._perform(message_call(params))

    def count_tokens(self, **params: Unpack[MessageCountParams]) -> MessageTokens:
        """Count the tokens of a conversation.

        Args:
            params: see `MessageCountParams`.
        """
        return self._client._perform(message_count_call(params))

    def render(self, **params: Unpack[MessageCreateParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; needs --enable-scale-out.

        Args:
            params: those of `create`.
        """
        return self._client._perform(_render_call(params))


class AsyncMessages(AsyncOwnResource):
    """Anthropic's Messages."""

    methods = ("create", "count_tokens", "render")

    @overload
    async def create(
        self, *, stream: Literal[True], **params: Unpack[MessageCreateParams]
    ) -> AsyncStream[MessageStreamEvent]: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[MessageCreateParams]
    ) -> Message: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[MessageCreateParams]
    ) -> Message | AsyncStream[MessageStreamEvent]: ...
    async def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Answer a conversation in Anthropic's shapes; see `Messages.create`."""
        if stream:
            return await self._client._stream(message_stream_call(params))
        return await self._client._perform(message_call(params))

    async def count_tokens(self, **params: Unpack[MessageCountParams]) -> MessageTokens:
        """Count the tokens of a conversation; see `Messages.count_tokens`."""
        return await self._client._perform(message_count_call(params))

    async def render(self, **params: Unpack[MessageCreateParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; see `Messages.render`."""
        return await self._client._perform(_render_call(params))
