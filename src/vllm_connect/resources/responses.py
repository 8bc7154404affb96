"""The Responses API: converted to chat completions and back, or vLLM's own POST /v1/responses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from openai import AsyncStream, Stream, omit
from openai.lib._parsing._responses import parse_response, type_to_text_format_param
from openai.lib._tools import PydanticFunctionTool, ResponsesPydanticFunctionTool
from openai.lib.streaming.responses import AsyncResponseStreamManager, ResponseStreamManager
from openai.resources.responses import AsyncResponses as SDKAsyncResponses
from openai.resources.responses import Responses as SDKResponses
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._calls.inspection import reading
from .._calls.streams import AsyncConvertedStream, AsyncVLLMStream, ConvertedStream, VLLMStream
from .._unsupported import only
from .._wire.body import RequestOptions, encode, names, options_of, read_params, without_unset
from .._wire.objects import Reader
from ..responses_over_chat import ResponseEvents, chat_request, replayable, response_from_chat
from ..types import ChatCompletion, ChatCompletionChunk
from ._params import SamplingParams
from .chat import TemplateParams, chat_call

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM

FormatT = TypeVar("FormatT")


class VLLMResponseParams(SamplingParams, TemplateParams, total=False):
    """vLLM's own parameters; the native route takes fewer of them."""

    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    stop: str | list[str] | None
    logit_bias: Mapping[str, float] | None
    include_reasoning: bool | None
    enable_response_messages: bool | None
    previous_input_messages: list[Any] | None


class ResponseParams(ResponseCreateParamsBase, VLLMResponseParams, RequestOptions, total=False):
    """Everything that `responses.create` accepts but `stream`.

    What chat completions cannot do (`previous_response_id`, `background`, OpenAI's own tools, …) raises
    `UnsupportedOperationError`.
    """


_NATIVE = names(ResponseParams)
_READ_CHAT = Reader(ChatCompletion, "choices", filled=True)
_READ_NATIVE = Reader(Response, "output")


def _chat_call(params: Mapping[str, Any], stream: bool) -> tuple[Call, dict[str, Any]]:
    chat = chat_request(params)
    if stream:
        chat["stream_options"] = {"include_usage": True}
    return chat_call("responses.create", chat, stream, known=None)


def _native_call(params: Mapping[str, Any], stream: bool) -> tuple[Call, dict[str, Any]]:
    body, options = read_params("responses.create", params, _NATIVE)
    model = body.pop("model", None)
    if stream:
        body["stream"] = True
    call = Call("responses.create", (Variant("/v1/responses", encode(body)),), model=model, streams=stream)
    return call, options_of(options)


def _read_chat(call: Call, params: Mapping[str, Any]) -> Any:
    return reading(call, lambda content: response_from_chat(_READ_CHAT(content), params))


@only("responses", "create", "parse", "stream")
class Responses(SDKResponses):
    """Responses."""

    _client: VLLM

    @overload  # type: ignore[override]
    def create(
        self, *, stream: Literal[True], **params: Unpack[ResponseParams]
    ) -> Stream[ResponseStreamEvent]: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ResponseParams]
    ) -> Response: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[ResponseParams]
    ) -> Response | Stream[ResponseStreamEvent]: ...
    def create(self, *, stream: Any = None, **params: Any) -> Any:
        """Make a response.

        Args:
            stream: whether to return a stream of events.
            params: see `ResponseParams`.

        Returns:
            A `Response`, or a stream of `ResponseStreamEvent`.

        Raises:
            UnsupportedOperationError: a parameter, tool or input item that chat completions cannot do.
        """
        given = replayable(without_unset(params))
        streams = stream is True
        if self._client.responses_api == "native":
            call, options = _native_call(given, streams)
            if streams:
                return self._client._perform(call, options, stream_cls=VLLMStream[ResponseStreamEvent])
            return self._client._perform(call, options, read=reading(call, _READ_NATIVE))
        call, options = _chat_call(given, streams)
        if streams:
            return self._client._perform(
                call,
                options,
                stream_cls=VLLMStream[ChatCompletionChunk],
                read=lambda chunks: ConvertedStream(chunks, ResponseEvents(given)),
            )
        return self._client._perform(call, options, read=_read_chat(call, given))

    def parse(  # type: ignore[override]
        self, *, text_format: type[FormatT] | Any = omit, **params: Unpack[ResponseParams]
    ) -> ParsedResponse[FormatT]:
        """Like `create`, and parse the output text into `text_format`, a pydantic class."""
        formatted = _formatted(params, text_format)
        return _parsed(self.create(**formatted), text_format, formatted)

    def stream(  # type: ignore[override]
        self, *, text_format: type[FormatT] | Any = omit, **params: Unpack[ResponseParams]
    ) -> ResponseStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper."""
        formatted = _formatted(params, text_format)
        return ResponseStreamManager(
            partial(self.create, stream=True, **formatted),
            text_format=text_format,
            input_tools=formatted.get("tools") or omit,
            starting_after=None,
        )


@only("responses", "create", "parse", "stream")
class AsyncResponses(SDKAsyncResponses):
    """Responses."""

    _client: AsyncVLLM

    @overload  # type: ignore[override]
    async def create(
        self, *, stream: Literal[True], **params: Unpack[ResponseParams]
    ) -> AsyncStream[ResponseStreamEvent]: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[ResponseParams]
    ) -> Response: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[ResponseParams]
    ) -> Response | AsyncStream[ResponseStreamEvent]: ...
    async def create(self, *, stream: Any = None, **params: Any) -> Any:
        """Make a response; see `Responses.create`."""
        given = replayable(without_unset(params))
        streams = stream is True
        if self._client.responses_api == "native":
            call, options = _native_call(given, streams)
            if streams:
                return await self._client._perform(
                    call, options, stream_cls=AsyncVLLMStream[ResponseStreamEvent]
                )
            return await self._client._perform(call, options, read=reading(call, _READ_NATIVE))
        call, options = _chat_call(given, streams)
        if streams:
            return await self._client._perform(
                call,
                options,
                stream_cls=AsyncVLLMStream[ChatCompletionChunk],
                read=lambda chunks: AsyncConvertedStream(chunks, ResponseEvents(given)),
            )
        return await self._client._perform(call, options, read=_read_chat(call, given))

    async def parse(  # type: ignore[override]
        self, *, text_format: type[FormatT] | Any = omit, **params: Unpack[ResponseParams]
    ) -> ParsedResponse[FormatT]:
        """Like `create`, and parse the output text into `text_format`, a pydantic class."""
        formatted = _formatted(params, text_format)
        return _parsed(await self.create(**formatted), text_format, formatted)

    def stream(  # type: ignore[override]
        self, *, text_format: type[FormatT] | Any = omit, **params: Unpack[ResponseParams]
    ) -> AsyncResponseStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper."""
        formatted = _formatted(params, text_format)
        return AsyncResponseStreamManager(
            self.create(stream=True, **formatted),
            text_format=text_format,
            input_tools=formatted.get("tools") or omit,
            starting_after=None,
        )


def _formatted(params: Mapping[str, Any], text_format: Any) -> dict[str, Any]:
    """The parameters with format and tools in the SDK's wire form."""
    formatted = replayable(without_unset(params))
    if formatted.get("tools"):
        formatted["tools"] = [_tool(tool) for tool in formatted["tools"]]
    if text_format is omit:
        return formatted
    text = params.get("text")
    if isinstance(text, Mapping) and "format" in text:
        raise TypeError("pass either text_format= or text={'format': …}, not both")
    given = text if isinstance(text, Mapping) else {}
    return {**formatted, "text": {**given, "format": type_to_text_format_param(text_format)}}


def _tool(tool: Any) -> Any:
    """A tool; one of `openai.pydantic_function_tool` in the form that the SDK parses arguments by."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, PydanticFunctionTool):
        return tool
    fields: Any = {"type": "function", "strict": function.get("strict") or False}
    fields |= {name: function.get(name) for name in ("name", "parameters", "description")}
    return ResponsesPydanticFunctionTool(fields, function.model)


def _parsed(response: Response, text_format: Any, formatted: Mapping[str, Any]) -> ParsedResponse[Any]:
    tools = formatted.get("tools") or omit
    return parse_response(text_format=text_format, input_tools=tools, response=response)
