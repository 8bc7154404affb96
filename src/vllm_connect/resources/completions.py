"""Text completions: POST /v1/completions."""

from __future__ import annotations

from collections.abc import Mapping
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
from ..types import Completion
from ._params import SamplingParams
from ._patched import Parser, SDKMethod

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


_KNOWN = names(CompletionParams)
_PATH = "/v1/completions"
_OPERATION = "completions.create"
read_completion = Reader(Completion, "choices", filled=True)
read_completion_chunk = Reader(Completion, "choices")


def _call(params: Mapping[str, object]) -> Call[Completion]:
    return json_call(_OPERATION, (_PATH,), *read_params(_OPERATION, params, _KNOWN), read_completion)


def _stream_call(params: Mapping[str, object]) -> Call[Completion]:
    return stream_call(_OPERATION, _PATH, *read_params(_OPERATION, params, _KNOWN), read_completion_chunk)


_CREATE = SDKMethod(SDKCompletions, "create", _KNOWN, CompletionCreateParamsBase)
_ASYNC_CREATE = SDKMethod(SDKAsyncCompletions, "create", _KNOWN, CompletionCreateParamsBase)


def _call_of(params: JsonObject, stream: bool, parser: Parser) -> Call[Completion]:
    """See `CallOf`."""
    return _stream_call(params) if stream else _call(params)


@only("completions", "create")
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


@only("completions", "create")
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
