"""The Responses API: converted to chat completions and back, or vLLM's own POST /v1/responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload
from urllib.parse import quote

import orjson
from openai import AsyncStream, Stream, omit
from openai._models import construct_type
from openai.lib._parsing._responses import parse_response, type_to_text_format_param
from openai.lib._tools import PydanticFunctionTool, ResponsesPydanticFunctionTool
from openai.lib.streaming.responses import AsyncResponseStreamManager, ResponseStreamManager
from openai.resources.responses import AsyncResponses as SDKAsyncResponses
from openai.resources.responses import Responses as SDKResponses
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from typing_extensions import Unpack

from .._calls.call import Call, Variant, converted, json_call, stream_call
from .._unsupported import only
from .._wire.body import RequestOptions, names, read_params, without_unset
from .._wire.decoding import JsonObject
from .._wire.objects import ErrorInReply, NotAReply, Reader
from .._wire.payloads import ErrorPayload, find_error
from .._wire.schema_prompt import SYSTEM_ROLES, AddedText, schema_prompt
from .._wire.schema_prompt import show_schema as with_text
from ..errors import UnsupportedOperationError
from ..responses_over_chat import (
    NativeOnlyError,
    ResponseEvents,
    chat_request,
    replayable,
    response_from_chat,
)
from ..types import GenerateRequest
from ._added_text import placed
from ._base import adds
from ._params import SamplingParams
from ._patched import CallOf, Parser, SDKMethod
from ._tools_and_format import refuse_tools_beside_format
from .chat import TemplateParams, chat_call, chat_stream_call, read_chat
from .generate import RenderParams, read_prompt, render_call

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM

FormatT = TypeVar("FormatT")
T = TypeVar("T")


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

    What chat completions cannot do (`previous_response_id`, `background`, tools of the server, …) goes to the
    server's own ``/v1/responses``. Where that is missing or cannot do it either, and always with
    ``responses_api="chat"``, it raises `UnsupportedOperationError`.
    """


class ResponseRenderParams(ResponseParams, RenderParams, total=False):
    """Parameters of `responses.render`: those of `create`, and what to tell of the prompt."""


_NATIVE = names(ResponseParams)
_OPERATION = "responses.create"
_PATH = "/v1/responses"
_QUERY = frozenset({"include", "include_obfuscation", "starting_after"})
_RETRIEVE, _CANCEL = "responses.retrieve", "responses.cancel"
read_native = Reader(Response, "output")


def read_native_event(data: bytes) -> ResponseStreamEvent:
    """Read an event of vLLM's own route.

    Raises:
        ErrorInReply: it is an error payload.
        NotAReply: it is no JSON.
    """
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotAReply(f"not JSON: {data[:200]!r}") from error
    if (found := find_error(payload)) is not None:
        raise ErrorInReply(found)
    return cast("ResponseStreamEvent", construct_type(type_=ResponseStreamEvent, value=payload))


def _call(params: JsonObject, api: str, finish: Callable[[Response], T]) -> Call[T]:
    """Build the call.

    Args:
        params: the caller's keyword arguments, unset ones left out.
        api: the client's `responses_api`.
        finish: makes the result of the response.
    """
    if api == "native":
        return _native_call(params, finish)
    try:
        request = chat_request(params)
    except NativeOnlyError as refusal:
        if api == "chat":
            raise
        return _or_refuse(_native_call(params, finish), refusal)

    def read(content: bytes) -> T:
        return finish(response_from_chat(read_chat(content), params))

    return chat_call(_OPERATION, request, read, names=None)


def _native_call(params: JsonObject, finish: Callable[[Response], T]) -> Call[T]:
    body, options = read_params(_OPERATION, params, _NATIVE)
    call = json_call(_OPERATION, (_PATH,), body, options, lambda content: finish(read_native(content)))
    call = _at_home(call, body, lambda response: getattr(response, "id", None))
    return placed(call) if isinstance(body.get("instructions"), AddedText) else call


def _stream_call(params: JsonObject, api: str) -> Call[ResponseStreamEvent]:
    if api == "native":
        return _native_stream_call(params)
    try:
        request = {**chat_request(params), "stream_options": {"include_usage": True}}
    except NativeOnlyError as refusal:
        if api == "chat":
            raise
        return _or_refuse(_native_stream_call(params), refusal)
    return converted(chat_stream_call(_OPERATION, request, names=None), lambda: ResponseEvents(params))


def _native_stream_call(params: JsonObject) -> Call[ResponseStreamEvent]:
    body, options = read_params(_OPERATION, params, _NATIVE)
    call = stream_call(_OPERATION, _PATH, body, options, read_native_event)
    call = _at_home(call, body, lambda event: getattr(getattr(event, "response", None), "id", None))
    return placed(call) if isinstance(body.get("instructions"), AddedText) else call


def _at_home(call: Call[T], body: JsonObject, begins: Callable[[Any], str | None]) -> Call[T]:
    """The call as one of a chain of responses, which only the server that keeps them can go on with."""
    return replace(call, begins=begins, session=body.get("previous_response_id") or call.session)


def _or_refuse(call: Call[T], refusal: NativeOnlyError) -> Call[T]:
    """A call of vLLM's own route which a server that lacks it ends in the refusal of the other one."""

    def refuse() -> bytes:
        raise refusal

    def falls_back(variant: Variant, status: int, error: ErrorPayload) -> bool:
        return _route_is_missing(status, error) or call.falls_back(variant, status, error)

    return replace(call, variants=(*call.variants, Variant(_PATH, refuse, "refused")), falls_back=falls_back)


def _route_is_missing(status: int, error: ErrorPayload) -> bool:
    """Tell whether a server has no ``/v1/responses``; its 404 for a model or a response names that."""
    named = error.message.lower()
    return status in (405, 501) or (status == 404 and "model" not in named and "response with" not in named)


def _render_call(params: Mapping[str, object]) -> Call[GenerateRequest]:
    return render_call("responses.render", f"{_PATH}/render", params, _NATIVE, read_prompt)


def _stored_call(operation: str, response_id: str, params: Mapping[str, object], api: str) -> Call[Response]:
    """Build a call about a response that a server keeps (VLLM_ENABLE_RESPONSES_API_STORE=1).

    Raises:
        UnsupportedOperationError: the client makes responses from chat completions, which nobody keeps.
    """
    if api == "chat":
        raise UnsupportedOperationError(
            f"{operation} needs a client with responses_api='native' or 'auto': responses that are made from "
            "chat completions are not kept by the server"
        )
    if not response_id or not isinstance(response_id, str):
        raise TypeError(f"{operation}: response_id must be a text that is not empty, not {response_id!r}")
    body, options = read_params(
        operation, params, frozenset({"starting_after", "include", "include_obfuscation"})
    )
    path = f"{_PATH}/{quote(response_id, safe='')}"
    return Call(
        operation,
        (Variant(path if operation == _RETRIEVE else f"{path}/cancel"),),
        read=read_native,
        options={**options, "params": {**body, **options.get("params", {})}},
        method="get" if operation == _RETRIEVE else "post",
        generates=False,
        session=response_id,
    )


def _sdk_methods(resource: type) -> tuple[SDKMethod, SDKMethod, SDKMethod]:
    create, parse, stream = (
        SDKMethod(resource, name, _NATIVE, ResponseCreateParamsBase) for name in ("create", "parse", "stream")
    )
    return create, parse, stream


_CREATE, _PARSE, _STREAM = _sdk_methods(SDKResponses)
_ASYNC_CREATE, _ASYNC_PARSE, _ASYNC_STREAM = _sdk_methods(SDKAsyncResponses)


def _making(client: Any) -> CallOf:
    """Return the maker of a call of either client, see `CallOf`."""

    def call_of(params: JsonObject, stream: bool, parser: Parser) -> Call[object]:
        api = client.responses_api
        return _stream_call(params, api) if stream else _call(params, api, parser or _unchanged)

    return call_of


@adds("render")
@only("responses", "create", "parse", "stream", "retrieve", "cancel", "render")
class Responses(SDKResponses):
    """Responses."""

    _client: VLLM

    @overload  # type: ignore[override]  # vLLM's parameters
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
    def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Make a response.

        Args:
            stream: whether to return a stream of events.
            params: see `ResponseParams`.

        Returns:
            A `Response`, or a stream of `ResponseStreamEvent`.

        Raises:
            UnsupportedOperationError: a parameter, tool or input item that chat completions cannot do.
        """
        params = replayable(without_unset(params))
        if _CREATE.is_watched(self._client):
            return _CREATE.call(self._client, {**params, "stream": stream}, _making(self._client))
        if stream:
            return self._client._ask_stream(_stream_call(params, self._client.responses_api))
        return self._client._ask(_call(params, self._client.responses_api, _unchanged))

    def parse(  # type: ignore[override]  # vLLM's parameters
        self,
        *,
        text_format: type[FormatT] | Any = omit,
        show_schema: bool = True,
        **params: Unpack[ResponseParams],
    ) -> ParsedResponse[FormatT]:
        """Like `create`, and parse the output text into `text_format`, a pydantic class.

        Args:
            text_format: the class.
            show_schema: whether to show the model the schema of the class, in the `instructions` (or the
                system message that the `input` begins with); see `chat.completions.parse`.
            params: see `create`.

        Raises:
            UnsupportedOperationError: there are tools, too, which the model may call.
        """
        if _PARSE.is_watched(self._client):
            shown = _for_the_sdk(params, text_format, show_schema)
            return _PARSE.call(self._client, shown, _making(self._client))  # type: ignore[no-any-return]  # whoever replaced it
        return self._client._ask(_parse_call(params, text_format, show_schema, self._client.responses_api))

    def stream(  # type: ignore[override]  # vLLM's parameters
        self,
        *,
        text_format: type[FormatT] | Any = omit,
        show_schema: bool = True,
        **params: Unpack[ResponseParams],
    ) -> ResponseStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper.

        `show_schema` is that of `parse`.
        """
        if _STREAM.is_watched(self._client):
            shown = _for_the_sdk(params, text_format, show_schema)
            return _STREAM.call(self._client, shown, _making(self._client))  # type: ignore[no-any-return]  # as above
        formatted = _formatted(params, text_format, show_schema)
        return ResponseStreamManager(
            partial(self.create, stream=True, **formatted),
            text_format=text_format,
            input_tools=formatted.get("tools") or omit,
            starting_after=None,
        )

    def retrieve(self, response_id: str, **params: Any) -> Response:  # type: ignore[override]  # vLLM's parameters
        """Fetch a response that the server keeps; not with `responses_api="chat"`.

        Args:
            response_id: its id; the request goes to the server that made it, if this client asked for it.
            params: request options.
        """
        return self._client._perform(_stored_call(_RETRIEVE, response_id, params, self._client.responses_api))

    def cancel(self, response_id: str, **params: Any) -> Response:
        """Cancel a response that is made in the background; see `retrieve`."""
        return self._client._perform(_stored_call(_CANCEL, response_id, params, self._client.responses_api))

    def render(self, **params: Unpack[ResponseRenderParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; needs --enable-scale-out.

        Args:
            params: those of `create`, and `mm_payload`.
        """
        return self._client._perform(_render_call(params))


@adds("render")
@only("responses", "create", "parse", "stream", "retrieve", "cancel", "render")
class AsyncResponses(SDKAsyncResponses):
    """Responses."""

    _client: AsyncVLLM

    @overload  # type: ignore[override]  # vLLM's parameters
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
    async def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Make a response; see `Responses.create`."""
        params = replayable(without_unset(params))
        if _ASYNC_CREATE.is_watched(self._client):
            return await _ASYNC_CREATE.call(self._client, {**params, "stream": stream}, _making(self._client))
        if stream:
            return await self._client._ask_stream(_stream_call(params, self._client.responses_api))
        return await self._client._ask(_call(params, self._client.responses_api, _unchanged))

    async def parse(  # type: ignore[override]  # vLLM's parameters
        self,
        *,
        text_format: type[FormatT] | Any = omit,
        show_schema: bool = True,
        **params: Unpack[ResponseParams],
    ) -> ParsedResponse[FormatT]:
        """Like `create`, and parse the output text into `text_format`; see `Responses.parse`."""
        if _ASYNC_PARSE.is_watched(self._client):
            shown = _for_the_sdk(params, text_format, show_schema)
            return await _ASYNC_PARSE.call(self._client, shown, _making(self._client))  # type: ignore[no-any-return]  # as above
        return await self._client._ask(
            _parse_call(params, text_format, show_schema, self._client.responses_api)
        )

    def stream(  # type: ignore[override]  # vLLM's parameters
        self,
        *,
        text_format: type[FormatT] | Any = omit,
        show_schema: bool = True,
        **params: Unpack[ResponseParams],
    ) -> AsyncResponseStreamManager[FormatT]:
        """Like `create(stream=True)`, as a context manager over typed events; see the SDK's helper.

        `show_schema` is that of `parse`.
        """
        if _ASYNC_STREAM.is_watched(self._client):
            shown = _for_the_sdk(params, text_format, show_schema)
            return _ASYNC_STREAM.call(self._client, shown, _making(self._client))  # type: ignore[no-any-return]  # as above
        formatted = _formatted(params, text_format, show_schema)
        return AsyncResponseStreamManager(
            self.create(stream=True, **formatted),
            text_format=text_format,
            input_tools=formatted.get("tools") or omit,
            starting_after=None,
        )

    async def retrieve(self, response_id: str, **params: Any) -> Response:  # type: ignore[override]  # vLLM's parameters
        """Fetch a response that the server keeps; see `Responses.retrieve`."""
        call = _stored_call(_RETRIEVE, response_id, params, self._client.responses_api)
        return await self._client._perform(call)

    async def cancel(self, response_id: str, **params: Any) -> Response:
        """Cancel a response that is made in the background; see `Responses.retrieve`."""
        call = _stored_call(_CANCEL, response_id, params, self._client.responses_api)
        return await self._client._perform(call)

    async def render(self, **params: Unpack[ResponseRenderParams]) -> GenerateRequest:
        """Turn a conversation into the tokens that `generate.create` takes; see `Responses.render`."""
        return await self._client._perform(_render_call(params))


def _formatted(params: Mapping[str, object], text_format: Any, show_schema: bool) -> JsonObject:
    """The parameters with format and tools in the SDK's wire form."""
    formatted = replayable(without_unset(params))
    if formatted.get("tools"):
        formatted["tools"] = [_tool(tool) for tool in formatted["tools"]]
    if text_format is omit:
        return formatted
    refuse_tools_beside_format("responses.parse", formatted)
    text = params.get("text")
    if isinstance(text, Mapping) and "format" in text:
        raise TypeError("pass either text_format= or text={'format': …}, not both")
    options = text if isinstance(text, Mapping) else {}
    wire = type_to_text_format_param(text_format)
    if show_schema:
        _show(wire, formatted)
    return {**formatted, "text": {**options, "format": wire}}


def _for_the_sdk(params: Mapping[str, object], text_format: Any, show_schema: bool) -> JsonObject:
    """The parameters for the SDK's own `parse` or `stream`, which put the format into its wire form."""
    formatted = _formatted(params, text_format, show_schema)
    if text_format is not omit:
        text = {name: value for name, value in formatted.pop("text").items() if name != "format"}
        formatted |= {"text_format": text_format, **({"text": text} if text else {})}
    return formatted


def _show(wire: Any, params: JsonObject) -> None:
    """Show the model a format: in the instructions, or in the system message that it is given instead."""
    prompt = schema_prompt({"type": "json_schema", "json_schema": wire})
    items = params.get("input")
    listed = items if isinstance(items, (list, tuple)) else ()
    begins = listed[0] if listed else None
    if instructions := params.get("instructions"):
        params["instructions"] = f"{instructions}\n\n{prompt}"
    elif isinstance(begins, Mapping) and begins.get("role") in SYSTEM_ROLES:
        params["input"] = with_text(listed, prompt, part_type="input_text")
    else:
        params["instructions"] = AddedText(prompt)


def _tool(tool: Any) -> Any:
    """A tool; one of `openai.pydantic_function_tool` in the form that the SDK parses arguments by."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, PydanticFunctionTool):
        return tool
    fields: Any = {"type": "function", "strict": function.get("strict") or False}
    fields |= {name: function.get(name) for name in ("name", "parameters", "description")}
    return ResponsesPydanticFunctionTool(fields, function.model)


def _parse_call(
    params: Mapping[str, object], text_format: Any, show_schema: bool, api: str
) -> Call[ParsedResponse[Any]]:
    formatted = _formatted(params, text_format, show_schema)
    tools = formatted.get("tools") or omit

    def finish(response: Response) -> ParsedResponse[Any]:
        return parse_response(text_format=text_format, input_tools=tools, response=response)

    return _call(formatted, api, finish)


def _unchanged(response: Response) -> Response:
    return response
