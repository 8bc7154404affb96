"""Text completions: POST /v1/completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, overload

from openai import AsyncStream, Stream
from openai.resources.completions import AsyncCompletions as SDKAsyncCompletions
from openai.resources.completions import Completions as SDKCompletions
from openai.types.completion_create_params import CompletionCreateParamsBase
from typing_extensions import NotRequired, Unpack

from .._calls.call import Call, json_call, stream_call
from .._unsupported import only
from .._wire.body import RequestOptions, names, read_params
from .._wire.decoding import JsonObject
from .._wire.objects import Reader
from ..types import Completion, DerenderedChunk, GenerateChunk, GenerateRequest, GenerateResponse
from ._base import adds
from ._params import SamplingParams
from ._patched import Parser, SDKMethod
from .generate import (
    DERENDER_TEXT,
    DerenderTextParams,
    RenderParams,
    derender_call,
    read_prompts,
    render_call,
)

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


class CompletionParams(CompletionCreateParamsBase, SamplingParams, RequestOptions, total=False):
    """Everything that `completions.create` accepts but `stream`.

    `max_tokens` is 16 unless set. A server with a reasoning parser ignores `structured_outputs` here.
    """

    model: NotRequired[str | None]  # type: ignore[misc]  # the server has one
    """Default: the server's model."""

    add_special_tokens: bool | None
    """Default True."""
    prompt_embeds: str | list[str] | None
    """Base64 of a saved torch tensor; needs --enable-prompt-embeds."""
    response_format: Mapping[str, object] | None


class CompletionRenderParams(CompletionParams, RenderParams, total=False):
    """Parameters of `completions.render`: those of `create`, and what to tell of the prompt."""


_KNOWN = names(CompletionParams)
_PATH = "/v1/completions"
_OPERATION = "completions.create"
read_completion = Reader(Completion, "choices", filled=True)
read_completion_chunk = Reader(Completion, "choices")
_read_derendered = Reader(DerenderedChunk, "chunk")


def _call(params: Mapping[str, object]) -> Call[Completion]:
    return json_call(_OPERATION, (_PATH,), *read_params(_OPERATION, params, _KNOWN), read_completion)


def _stream_call(params: Mapping[str, object]) -> Call[Completion]:
    return stream_call(_OPERATION, _PATH, *read_params(_OPERATION, params, _KNOWN), read_completion_chunk)


def _render_call(params: Mapping[str, object]) -> Call[list[GenerateRequest]]:
    return render_call("completions.render", f"{_PATH}/render", params, _KNOWN, read_prompts)


def _derender_call(params: Mapping[str, object], responses: object) -> Call[Completion]:
    given = {"generate_responses": responses}
    operation, path = "completions.derender", f"{_PATH}/derender"
    return derender_call(operation, path, params, DERENDER_TEXT, given, read_completion)


def _derender_chunk_call(params: Mapping[str, object], chunk: object, state: object) -> Call[DerenderedChunk]:
    given = {"generate_chunk": chunk, "stream_state": state, "stream": True}
    operation, path = "completions.derender_chunk", f"{_PATH}/derender"
    return derender_call(operation, path, params, DERENDER_TEXT, given, _read_derendered)


_CREATE = SDKMethod(SDKCompletions, "create", _KNOWN, CompletionCreateParamsBase)
_ASYNC_CREATE = SDKMethod(SDKAsyncCompletions, "create", _KNOWN, CompletionCreateParamsBase)


def _call_of(params: JsonObject, stream: bool, parser: Parser) -> Call[Completion]:
    """See `CallOf`."""
    return _stream_call(params) if stream else _call(params)


@adds("render", "derender", "derender_chunk")
@only("completions", "create", "render", "derender", "derender_chunk")
class Completions(SDKCompletions):
    """Text completions."""

    _client: VLLM

    @overload  # type: ignore[override]  # vLLM's parameters
    def create(self, *, stream: Literal[True], **params: Unpack[CompletionParams]) -> Stream[Completion]: ...
    @overload
    def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
    ) -> Completion: ...
    @overload
    def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> Completion | Stream[Completion]: ...
    def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Continue a text.

        Args:
            stream: whether to return a stream of chunks.
            params: see `CompletionParams`; `prompt` is a text, token ids, or a list of either.

        Returns:
            A `Completion`, or a stream of them; choice i*n+j is answer j to prompt i.
        """
        if _CREATE.is_watched(self._client):
            return _CREATE.call(self._client, {**params, "stream": stream}, _call_of)
        if stream:
            return self._client._ask_stream(_stream_call(params))
        return self._client._ask(_call(params))

    def render(self, **params: Unpack[CompletionRenderParams]) -> list[GenerateRequest]:
        """Turn each prompt into the tokens that `generate.create` takes; needs --enable-scale-out.

        Args:
            params: those of `create`, and `RenderParams`.
        """
        return self._client._perform(_render_call(params))

    def derender(
        self, generate_responses: Sequence[GenerateResponse], **params: Unpack[DerenderTextParams]
    ) -> Completion:
        """Turn generated tokens into a text completion; needs --enable-scale-out.

        Args:
            generate_responses: what `generate.create` answered, for each prompt.
            params: see `DerenderTextParams`.
        """
        return self._client._perform(_derender_call(params, generate_responses))

    def derender_chunk(
        self,
        generate_chunk: GenerateChunk,
        stream_state: Mapping[str, object] | None = None,
        **params: Unpack[DerenderTextParams],
    ) -> DerenderedChunk:
        """Turn a chunk of generated tokens into one of text; needs --enable-scale-out.

        Args:
            generate_chunk: what a stream of `generate.create` gave.
            stream_state: what this returned of the chunk before; None for the first.
            params: see `DerenderTextParams`.
        """
        return self._client._perform(_derender_chunk_call(params, generate_chunk, stream_state))


@adds("render", "derender", "derender_chunk")
@only("completions", "create", "render", "derender", "derender_chunk")
class AsyncCompletions(SDKAsyncCompletions):
    """Text completions."""

    _client: AsyncVLLM

    @overload  # type: ignore[override]  # vLLM's parameters
    async def create(
        self, *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> AsyncStream[Completion]: ...
    @overload
    async def create(
        self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
    ) -> Completion: ...
    @overload
    async def create(
        self, *, stream: bool | None = None, **params: Unpack[CompletionParams]
    ) -> Completion | AsyncStream[Completion]: ...
    async def create(self, *, stream: bool | None = None, **params: object) -> object:
        """Continue a text; see `Completions.create`."""
        if _ASYNC_CREATE.is_watched(self._client):
            return await _ASYNC_CREATE.call(self._client, {**params, "stream": stream}, _call_of)
        if stream:
            return await self._client._ask_stream(_stream_call(params))
        return await self._client._ask(_call(params))

    async def render(self, **params: Unpack[CompletionRenderParams]) -> list[GenerateRequest]:
        """Turn each prompt into the tokens that `generate.create` takes; see `Completions.render`."""
        return await self._client._perform(_render_call(params))

    async def derender(
        self, generate_responses: Sequence[GenerateResponse], **params: Unpack[DerenderTextParams]
    ) -> Completion:
        """Turn generated tokens into a text completion; see `Completions.derender`."""
        return await self._client._perform(_derender_call(params, generate_responses))

    async def derender_chunk(
        self,
        generate_chunk: GenerateChunk,
        stream_state: Mapping[str, object] | None = None,
        **params: Unpack[DerenderTextParams],
    ) -> DerenderedChunk:
        """Turn a chunk of generated tokens into one of text; see `Completions.derender_chunk`."""
        return await self._client._perform(_derender_chunk_call(params, generate_chunk, stream_state))
