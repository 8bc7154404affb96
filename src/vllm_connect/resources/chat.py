"""Chat completions: POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from openai import AsyncStream, Stream, omit
from openai.lib._parsing._completions import parse_chat_completion, type_to_response_format_param
from openai.lib.streaming.chat import (
    AsyncChatCompletionStream,
    AsyncChatCompletionStreamManager,
    ChatCompletionStreamManager,
)
from openai.resources.chat import AsyncChat as SDKAsyncChat
from openai.resources.chat import AsyncCompletions as SDKAsyncCompletions
from openai.resources.chat import Chat as SDKChat
from openai.resources.chat import Completions as SDKCompletions
from openai.types.chat import ParsedChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from typing_extensions import NotRequired, TypedDict, Unpack

from .._calls.call import Call, json_call, stream_call
from .._transport.run import run
from .._unsupported import only
from .._wire.body import RequestOptions, names, read_params
from .._wire.decoding import JsonObject
from .._wire.objects import Reader
from .._wire.schema_prompt import AddedText, schema_prompt
from .._wire.schema_prompt import show_schema as with_text
from ..types import (
    ChatCompletion,
    ChatCompletionChunk,
    DerenderedChatChunk,
    GenerateChunk,
    GenerateRequest,
    GenerateResponse,
)
from ._added_text import placed
from ._base import adds
from ._params import SamplingParams
from ._patched import Parser, SDKMethod
from ._tools_and_format import refuse_tools_beside_format
from ._words import without_words
from .chat_batch import ChatBatchParams, batch_call
from .generate import (
    DERENDER_CHAT,
    DerenderChatParams,
    RenderParams,
    derender_call,
    read_prompt,
    render_call,
)

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM

FormatT = TypeVar("FormatT")
T = TypeVar("T")


class TemplateParams(TypedDict, total=False):
    """Parameters of the chat template, which makes a prompt of the conversation (vLLM)."""

    add_generation_prompt: bool | None
    add_special_tokens: bool | None
    chat_template: str | None
    """Refused by the server unless started with --trust-request-chat-template."""
    chat_template_kwargs: Mapping[str, object] | None
    """e.g. ``{"enable_thinking": False}``."""
    continue_final_message: bool | None
    documents: Iterable[Mapping[str, str]] | None
    echo: bool | None
    media_io_kwargs: Mapping[str, object] | None
    mm_processor_kwargs: Mapping[str, object] | None


class ChatCompletionParams(
    CompletionCreateParamsBase, SamplingParams, TemplateParams, RequestOptions, total=False
):
    """Everything that `chat.completions.create` accepts but `stream`: OpenAI's parameters and vLLM's."""

    model: NotRequired[str | None]  # type: ignore[misc]  # the server has one
    """Default: the server's model."""

    include_reasoning: bool | None
    """Default True."""
    return_prompt_text: bool | None


class ChatCreateParams(ChatCompletionParams, total=False):
    """Parameters of `chat.completions.create`: those of the server, and words that the client translates."""

    max_tokens: int | Literal["fit"] | None  # type: ignore[misc]  # one word more
    """"fit" for what the context leaves after the prompt."""
    thinking: bool | int | None
    """Whether the model thinks first, or in how many tokens, in the words that its chat template knows."""


class ChatRenderParams(ChatCompletionParams, RenderParams, total=False):
    """Parameters of `chat.completions.render`: those of `create`, and what to tell of the prompt."""


_KNOWN = names(ChatCompletionParams)
_PATH = "/v1/chat/completions"
_OPERATION = "chat.completions.create"

read_chat = Reader(ChatCompletion, "choices", filled=True)
"""Reads the body of a chat completion."""
read_chunk = Reader(ChatCompletionChunk, "choices")
"""Reads an event of a streamed one."""
_read_derendered = Reader(DerenderedChatChunk, "chunk")


def chat_call(
    operation: str,
    params: Mapping[str, object],
    read: Callable[[bytes], T],
    names: frozenset[str] | None = _KNOWN,
) -> Call[T]:
    """Build the call of a chat completion.

    Args:
        operation: what the caller asked for.
        params: the caller's keyword arguments.
        read: makes the result of the reply's body.
        names: every name that may be among them; None when the names were checked before.
    """
    is_ours = _begins_with_our_text(params)
    body, options = _read_chat_params(operation, params, names)
    call = json_call(operation, (_PATH,), body, options, read)
    return placed(call) if is_ours else call


def chat_stream_call(
    operation: str, params: Mapping[str, object], names: frozenset[str] | None = _KNOWN
) -> Call[ChatCompletionChunk]:
    """Build the call of a streamed chat completion; see `chat_call`."""
    is_ours = _begins_with_our_text(params)
    body, options = _read_chat_params(operation, params, names)
    call = stream_call(operation, _PATH, body, options, read_chunk)
    return placed(call) if is_ours else call


def _read_chat_params(
    operation: str, params: Mapping[str, object], names: frozenset[str] | None
) -> tuple[JsonObject, JsonObject]:
    body, options = read_params(operation, params, names)
    if isinstance(body.get("response_format"), type):
        raise TypeError(
            f"{operation}: response_format is a class; use chat.completions.parse(), which returns one"
        )
    tools = body.get("tools")
    if isinstance(tools, (list, tuple)) and not tools:
        _drop_tools(body)
    return body, options


def _has_words(params: Mapping[str, object]) -> bool:
    """Tell whether there are words among the parameters that the client translates."""
    return "thinking" in params or params.get("max_tokens") == "fit"


def _drop_tools(body: JsonObject) -> None:
    """Leave out an empty list, which agents without tools send and vLLM refuses, and a choice among none."""
    del body["tools"]
    if body.get("tool_choice") in ("auto", "none"):
        del body["tool_choice"]


def _render_call(params: Mapping[str, object]) -> Call[GenerateRequest]:
    return render_call("chat.completions.render", f"{_PATH}/render", params, _KNOWN, read_prompt)


def _derender_call(params: Mapping[str, object], response: object) -> Call[ChatCompletion]:
    given = {"generate_response": response}
    path = f"{_PATH}/derender"
    return derender_call("chat.completions.derender", path, params, DERENDER_CHAT, given, read_chat)


def _derender_chunk_call(
    params: Mapping[str, object], chunk: object, state: object
) -> Call[DerenderedChatChunk]:
    given = {"generate_chunk": chunk, "stream_state": state, "stream": True}
    operation, path = "chat.completions.derender_chunk", f"{_PATH}/derender"
    return derender_call(operation, path, params, DERENDER_CHAT, given, _read_derendered)


def _begins_with_our_text(params: Mapping[str, object]) -> bool:
    messages = params.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, dict) and isinstance(first.get("content"), AddedText)


def _sdk_methods(resource: type) -> tuple[SDKMethod, SDKMethod, SDKMethod]:
    create, parse, stream = (
        SDKMethod(resource, name, _KNOWN, CompletionCreateParamsBase)
        for name in ("create", "parse", "stream")
    )
    return create, parse, stream


_CREATE, _PARSE, _STREAM = _sdk_methods(SDKCompletions)
_ASYNC_CREATE, _ASYNC_PARSE, _ASYNC_STREAM = _sdk_methods(SDKAsyncCompletions)


def _call_of(params: JsonObject, stream: bool, parser: Parser) -> Call[object]:
    """See `CallOf`."""
    if stream:
        return chat_stream_call(_OPERATION, params)
    return chat_call(
        _OPERATION, params, read_chat if parser is None else lambda content: parser(read_chat(content))
    )


@adds("batch", "render", "derender", "derender_chunk")
@only("chat.completions", "create", "parse", "stream", "batch", "render", "derender", "derender_chunk")
class Completions(SDKCompletions):
    """Chat completions."""

    _client: VLLM

    @cached_property
    def _switches(self) -> dict[object, str]:
        return {}

    async def _perform(self, call: Call[T]) -> T:
        return self._client._perform(call)

    @overload  # type: ignore[override]  # vLLM's parameters
    def create(
        self, *, stream: Literal[True], **params: Unpack[ChatCreateParams]
    ) -> Stream[ChatCompletionChunk]: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCreateParams]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatCreateParams]
    ) -> ChatCompletion | Stream[ChatCompletionChunk]: ...
    def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Answer a conversation.

        Args:
            stream: whether to return a stream of chunks.
            params: see `ChatCreateParams`; unset ones are not sent.

        Returns:
            A `ChatCompletion`, or a stream of `ChatCompletionChunk`.

        Raises:
            ContextLengthError: the conversation is longer than the model's context.
            VLLMError: see `vllm_connect.errors`.
        """
        if _has_words(params):
            params = run(without_words(self._perform, self._switches, params))
        if _CREATE.is_watched(self._client):
            return _CREATE.call(self._client, {**params, "stream": stream}, _call_of)
        if stream:
            return self._client._ask_stream(chat_stream_call(_OPERATION, params))
        return self._client._ask(chat_call(_OPERATION, params, read_chat))

    def parse(
        self, *, response_format: type[FormatT] | Any = omit, show_schema: bool = True, **params: Any
    ) -> ParsedChatCompletion[FormatT]:
        """Like `create`, and parse the content into `response_format`, a pydantic class.

        Args:
            response_format: the class; or a format in its wire form, which is sent as it is.
            show_schema: whether to show the model the schema of the class, at the end of the system message
                (without one, it becomes one; where the chat template has none, it begins the user's): vLLM
                enforces it, and puts nothing of it into the prompt. False where the prompt describes it.
            params: see `create`.

        Raises:
            openai.LengthFinishReasonError: the content was cut by `max_tokens`.
            UnsupportedOperationError: there are tools, too, which the model may call.
        """
        if _has_words(params):
            params = run(without_words(self._perform, self._switches, params))
        if _PARSE.is_watched(self._client):
            shown = {**_formatted(params, response_format, show_schema), "response_format": response_format}
            return _PARSE.call(self._client, shown, _call_of)  # type: ignore[no-any-return]  # whoever replaced it
        return self._client._ask(_parse_call(params, response_format, show_schema))

    def stream(
        self, *, response_format: type[FormatT] | Any = omit, show_schema: bool = True, **params: Any
    ) -> ChatCompletionStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper.

        `show_schema` is that of `parse`.
        """
        formatted = _formatted(params, response_format, show_schema)
        if _STREAM.is_watched(self._client):
            if _has_words(formatted):
                formatted = run(without_words(self._perform, self._switches, formatted))
            shown = {**formatted, "response_format": response_format}
            return _STREAM.call(self._client, shown, _call_of)  # type: ignore[no-any-return]  # as above
        return ChatCompletionStreamManager(
            partial[Any](self.create, stream=True, **formatted),
            response_format=response_format,
            input_tools=formatted["tools"],
        )

    def batch(self, **params: Unpack[ChatBatchParams]) -> ChatCompletion:
        """Answer several conversations in one request.

        Args:
            params: see `ChatBatchParams`; no tools, no stream, one answer each.

        Returns:
            A `ChatCompletion` with a choice for each conversation, in their order.
        """
        return self._client._perform(batch_call(params))

    def render(self, **params: Unpack[ChatRenderParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; needs --enable-scale-out.

        Args:
            params: those of `create`, and `RenderParams`.
        """
        return self._client._perform(_render_call(params))

    def derender(
        self, generate_response: GenerateResponse, **params: Unpack[DerenderChatParams]
    ) -> ChatCompletion:
        """Turn generated tokens into a chat completion; needs --enable-scale-out.

        Args:
            generate_response: what `generate.create` answered.
            params: see `DerenderChatParams`.
        """
        return self._client._perform(_derender_call(params, generate_response))

    def derender_chunk(
        self,
        generate_chunk: GenerateChunk,
        stream_state: Mapping[str, object] | None = None,
        **params: Unpack[DerenderChatParams],
    ) -> DerenderedChatChunk:
        """Turn a chunk of generated tokens into one of chat; needs --enable-scale-out.

        Args:
            generate_chunk: what a stream of `generate.create` gave.
            stream_state: what this returned of the chunk before; None for the first.
            params: see `DerenderChatParams`.
        """
        return self._client._perform(_derender_chunk_call(params, generate_chunk, stream_state))


@adds("batch", "render", "derender", "derender_chunk")
@only("chat.completions", "create", "parse", "stream", "batch", "render", "derender", "derender_chunk")
class AsyncCompletions(SDKAsyncCompletions):
    """Chat completions."""

    _client: AsyncVLLM

    @cached_property
    def _switches(self) -> dict[object, str]:
        return {}

    @overload  # type: ignore[override]  # vLLM's parameters
    async def create(
        self, *, stream: Literal[True], **params: Unpack[ChatCreateParams]
    ) -> AsyncStream[ChatCompletionChunk]: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCreateParams]
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[ChatCreateParams]
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]: ...
    async def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Answer a conversation; see `Completions.create`."""
        if _has_words(params):
            params = await without_words(self._client._perform, self._switches, params)
        if _ASYNC_CREATE.is_watched(self._client):
            return await _ASYNC_CREATE.call(self._client, {**params, "stream": stream}, _call_of)
        if stream:
            return await self._client._ask_stream(chat_stream_call(_OPERATION, params))
        return await self._client._ask(chat_call(_OPERATION, params, read_chat))

    async def parse(
        self, *, response_format: type[FormatT] | Any = omit, show_schema: bool = True, **params: Any
    ) -> ParsedChatCompletion[FormatT]:
        """Like `create`, and parse the content into `response_format`; see `Completions.parse`."""
        if _has_words(params):
            params = await without_words(self._client._perform, self._switches, params)
        if _ASYNC_PARSE.is_watched(self._client):
            shown = {**_formatted(params, response_format, show_schema), "response_format": response_format}
            return await _ASYNC_PARSE.call(self._client, shown, _call_of)  # type: ignore[no-any-return]  # as above
        return await self._client._ask(_parse_call(params, response_format, show_schema))

    def stream(
        self, *, response_format: type[FormatT] | Any = omit, show_schema: bool = True, **params: Any
    ) -> AsyncChatCompletionStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper.

        `show_schema` is that of `parse`.
        """
        formatted = _formatted(params, response_format, show_schema)
        if _ASYNC_STREAM.is_watched(self._client):
            shown = {**formatted, "response_format": response_format}
            if _has_words(formatted):
                return _TranslatedStreamManager(self, shown)
            return _ASYNC_STREAM.call(self._client, shown, _call_of)  # type: ignore[no-any-return]  # as above
        create: Any = self.create(stream=True, **formatted)
        return AsyncChatCompletionStreamManager(
            create,
            response_format=response_format,
            input_tools=formatted["tools"],
        )

    async def batch(self, **params: Unpack[ChatBatchParams]) -> ChatCompletion:
        """Answer several conversations in one request; see `Completions.batch`."""
        return await self._client._perform(batch_call(params))

    async def render(self, **params: Unpack[ChatRenderParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; see `Completions.render`."""
        return await self._client._perform(_render_call(params))

    async def derender(
        self, generate_response: GenerateResponse, **params: Unpack[DerenderChatParams]
    ) -> ChatCompletion:
        """Turn generated tokens into a chat completion; see `Completions.derender`."""
        return await self._client._perform(_derender_call(params, generate_response))

    async def derender_chunk(
        self,
        generate_chunk: GenerateChunk,
        stream_state: Mapping[str, object] | None = None,
        **params: Unpack[DerenderChatParams],
    ) -> DerenderedChatChunk:
        """Turn a chunk of generated tokens into one of chat; see `Completions.derender_chunk`."""
        return await self._client._perform(_derender_chunk_call(params, generate_chunk, stream_state))


class _TranslatedStreamManager(AsyncChatCompletionStreamManager[Any]):
    """A manager of a stream that somebody watches, who is to see no words that are still to be translated.

    Args:
        completions: makes the calls.
        params: those of the SDK's `stream`, and such words.
    """

    def __init__(self, completions: AsyncCompletions, params: JsonObject) -> None:
        self._completions = completions
        self._params = params
        self._watched: AsyncChatCompletionStreamManager[Any] | None = None

    async def __aenter__(self) -> AsyncChatCompletionStream[Any]:
        client = self._completions._client
        params = await without_words(client._perform, self._completions._switches, self._params)
        self._watched = _ASYNC_STREAM.call(client, params, _call_of)
        return await self._watched.__aenter__()

    async def __aexit__(self, *reason: Any) -> None:
        if self._watched is not None:
            await self._watched.__aexit__(*reason)


def _formatted(params: Mapping[str, Any], response_format: Any, show_schema: bool) -> JsonObject:
    """The parameters with the format in the SDK's wire form, and with tools that can be read twice."""
    if isinstance(response_format, type):
        refuse_tools_beside_format("chat.completions.parse", params)
    tools = list(params.get("tools") or ())
    wire = type_to_response_format_param(response_format)
    formatted = {**params, "response_format": wire, "tools": tools}
    if not tools:
        _drop_tools(formatted)
        formatted["tools"] = omit  # as the SDK's helpers want it
    if show_schema and isinstance(response_format, type) and "messages" in params:
        formatted["messages"] = with_text(params["messages"], schema_prompt(wire))
    return formatted


def _parse_call(
    params: Mapping[str, object], response_format: Any, show_schema: bool
) -> Call[ParsedChatCompletion[Any]]:
    formatted = _formatted(params, response_format, show_schema)

    def read(content: bytes) -> ParsedChatCompletion[Any]:
        return parse_chat_completion(
            response_format=response_format,
            input_tools=formatted["tools"],
            chat_completion=read_chat(content),
        )

    return chat_call(_OPERATION, formatted, read)


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
