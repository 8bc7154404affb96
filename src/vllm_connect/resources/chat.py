"""Chat completions: POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from openai import AsyncStream, Stream, omit
from openai.lib._parsing._completions import parse_chat_completion, type_to_response_format_param
from openai.lib.streaming.chat import AsyncChatCompletionStreamManager, ChatCompletionStreamManager
from openai.resources.chat import AsyncChat as SDKAsyncChat
from openai.resources.chat import AsyncCompletions as SDKAsyncCompletions
from openai.resources.chat import Chat as SDKChat
from openai.resources.chat import Completions as SDKCompletions
from openai.types.chat import ParsedChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from typing_extensions import NotRequired, TypedDict, Unpack

from .._calls.call import Call, Variant
from .._calls.inspection import reading
from .._calls.streams import AsyncVLLMStream, VLLMStream
from .._unsupported import only
from .._wire.body import RequestOptions, encode, names, options_of, read_params
from .._wire.objects import Reader
from ..types import ChatCompletion, ChatCompletionChunk
from ._params import SamplingParams

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM

FormatT = TypeVar("FormatT")


class TemplateParams(TypedDict, total=False):
    """How the conversation becomes a prompt (vLLM)."""

    add_generation_prompt: bool | None
    add_special_tokens: bool | None
    chat_template: str | None
    """Refused by the server unless started with --trust-request-chat-template."""
    chat_template_kwargs: Mapping[str, Any] | None
    """e.g. ``{"enable_thinking": False}``."""
    continue_final_message: bool | None
    documents: Iterable[Mapping[str, str]] | None
    echo: bool | None
    media_io_kwargs: Mapping[str, Any] | None
    mm_processor_kwargs: Mapping[str, Any] | None


class ChatCompletionParams(
    CompletionCreateParamsBase, SamplingParams, TemplateParams, RequestOptions, total=False
):
    """Everything that `chat.completions.create` accepts but `stream`: OpenAI's parameters and vLLM's."""

    model: NotRequired[str | None]  # type: ignore[misc]
    """Default: the server's model."""

    include_reasoning: bool | None
    """Default True."""
    return_prompt_text: bool | None


_KNOWN = names(ChatCompletionParams)
_READ = Reader(ChatCompletion, "choices", filled=True)


def chat_call(
    operation: str, params: Mapping[str, Any], stream: bool, known: frozenset[str] | None = _KNOWN
) -> tuple[Call, dict[str, Any]]:
    """Build the call of a chat completion, and its request options."""
    body, options = read_params(operation, params, known)
    response_format = body.get("response_format")
    if isinstance(response_format, type):
        raise TypeError(
            f"{operation}: response_format is a class; use chat.completions.parse(), which returns one"
        )
    model = body.pop("model", None)
    if stream:
        body["stream"] = True
    call = Call(operation, (Variant("/v1/chat/completions", encode(body)),), model=model, streams=stream)
    return call, options_of(options)


def read_chat(call: Call) -> Any:
    """What reads the reply to `chat_call`."""
    return reading(call, _READ)


@only("chat.completions", "create", "parse", "stream")
class Completions(SDKCompletions):
    """Chat completions."""

    _client: VLLM

    @overload  # type: ignore[override]
    def create(
        self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
    ) -> Stream[ChatCompletionChunk]: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatCompletionParams]
    ) -> ChatCompletion | Stream[ChatCompletionChunk]: ...
    def create(self, *, stream: Any = None, **params: Any) -> Any:
        """Answer a conversation.

        Args:
            stream: whether to return a stream of chunks.
            params: see `ChatCompletionParams`; unset ones are not sent.

        Returns:
            A `ChatCompletion`, or a stream of `ChatCompletionChunk`.

        Raises:
            ContextLengthError: the conversation is longer than the model's context.
            VLLMError: see `vllm_connect.errors`.
        """
        if stream is True:
            call, options = chat_call("chat.completions.create", params, True)
            return self._client._perform(call, options, stream_cls=VLLMStream[ChatCompletionChunk])
        call, options = chat_call("chat.completions.create", params, False)
        return self._client._perform(call, options, read=read_chat(call))

    def parse(
        self, *, response_format: type[FormatT] | Any = omit, **params: Any
    ) -> ParsedChatCompletion[FormatT]:
        """Like `create`, and parse the content into `response_format`, a pydantic class.

        Raises:
            openai.LengthFinishReasonError: the content was cut by `max_tokens`.
        """
        formatted = _formatted(params, response_format)
        return _parsed(self.create(**formatted), response_format, formatted)

    def stream(
        self, *, response_format: type[FormatT] | Any = omit, **params: Any
    ) -> ChatCompletionStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper."""
        formatted = _formatted(params, response_format)
        return ChatCompletionStreamManager(
            partial[Any](self.create, stream=True, **formatted),
            response_format=response_format,
            input_tools=formatted["tools"],
        )


@only("chat.completions", "create", "parse", "stream")
class AsyncCompletions(SDKAsyncCompletions):
    """Chat completions."""

    _client: AsyncVLLM

    @overload  # type: ignore[override]
    async def create(
        self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
    ) -> AsyncStream[ChatCompletionChunk]: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatCompletionParams]
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]: ...
    async def create(self, *, stream: Any = None, **params: Any) -> Any:
        """Answer a conversation; see `Completions.create`."""
        if stream is True:
            call, options = chat_call("chat.completions.create", params, True)
            return await self._client._perform(call, options, stream_cls=AsyncVLLMStream[ChatCompletionChunk])
        call, options = chat_call("chat.completions.create", params, False)
        return await self._client._perform(call, options, read=read_chat(call))

    async def parse(
        self, *, response_format: type[FormatT] | Any = omit, **params: Any
    ) -> ParsedChatCompletion[FormatT]:
        """Like `create`, and parse the content into `response_format`, a pydantic class.

        Raises:
            openai.LengthFinishReasonError: the content was cut by `max_tokens`.
        """
        formatted = _formatted(params, response_format)
        return _parsed(await self.create(**formatted), response_format, formatted)

    def stream(
        self, *, response_format: type[FormatT] | Any = omit, **params: Any
    ) -> AsyncChatCompletionStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper."""
        formatted = _formatted(params, response_format)
        return AsyncChatCompletionStreamManager(
            self.create(stream=True, **formatted),
            response_format=response_format,
            input_tools=formatted["tools"],
        )


def _formatted(params: Mapping[str, Any], response_format: Any) -> dict[str, Any]:
    """The parameters with the format in the SDK's wire form, and with tools that can be read twice."""
    tools = params.get("tools")
    return {
        **params,
        "response_format": type_to_response_format_param(response_format),
        "tools": omit if not tools else list(tools),
    }


def _parsed(
    completion: ChatCompletion, response_format: Any, formatted: Mapping[str, Any]
) -> ParsedChatCompletion[Any]:
    return parse_chat_completion(
        response_format=response_format, input_tools=formatted["tools"], chat_completion=completion
    )


class Chat(SDKChat):
    """`chat.completions`."""

    @cached_property
    def completions(self) -> Completions:
        """Chat completions."""
        return Completions(self._client)


class AsyncChat(SDKAsyncChat):
    """`chat.completions`."""

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Chat completions."""
        return AsyncCompletions(self._client)
