"""Tokenize and detokenize: POST /tokenize, /detokenize."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from typing_extensions import Unpack

from .._calls.call import Call, json_call
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import Reader
from ..types import DetokenizeResponse, TokenizeResponse
from ._base import AsyncOwnResource, OwnResource

T = TypeVar("T")


class TokenizeParams(RequestOptions, total=False):
    """Parameters of `tokenize`: `prompt`, one text, or `messages`, a conversation for the chat template."""

    model: str | None
    prompt: str
    messages: Iterable[object]
    return_token_strs: bool | None
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    chat_template_kwargs: Mapping[str, object] | None
    media_io_kwargs: Mapping[str, object] | None
    mm_processor_kwargs: Mapping[str, object] | None
    tools: Iterable[object] | None


class DetokenizeParams(RequestOptions, total=False):
    """Parameters of `detokenize`."""

    model: str | None
    tokens: Sequence[int]


_TOKENIZE = names(TokenizeParams)
_DETOKENIZE = names(DetokenizeParams)
_read_tokens = Reader(TokenizeResponse, "tokens")
_read_text = Reader(DetokenizeResponse, "prompt")


def tokenize_call(params: Mapping[str, object]) -> Call[TokenizeResponse]:
    """Build the call; see `TokenizeParams`."""
    prompt, messages = params.get("prompt"), params.get("messages")
    if (prompt is None) == (messages is None):
        raise TypeError("tokenize: pass either prompt= or messages=")
    if prompt is not None and not isinstance(prompt, str):
        raise TypeError(
            f"tokenize: prompt must be one string, not {type(prompt).__name__}; call it once for each"
        )
    return _call("tokenize", _TOKENIZE, params, _read_tokens)


def detokenize_call(params: Mapping[str, object]) -> Call[DetokenizeResponse]:
    """Build the call; see `DetokenizeParams`."""
    if params.get("tokens") is None:
        raise TypeError("detokenize: pass tokens=, a list of token ids")
    return _call("detokenize", _DETOKENIZE, params, _read_text)


def _call(
    operation: str, names: frozenset[str], params: Mapping[str, object], read: Callable[[bytes], T]
) -> Call[T]:
    body, options = read_params(operation, params, names)
    return json_call(operation, (f"/{operation}",), body, options, read, generates=False)


class Tokens(OwnResource):
    """`client.tokenize` and `client.detokenize`."""

    methods = ("tokenize", "detokenize")

    def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text, or of a conversation as the model would see it.

        Args:
            params: see `TokenizeParams`.
        """
        return self._client._perform(tokenize_call(params))

    def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text.

        Args:
            params: see `DetokenizeParams`.
        """
        return self._client._perform(detokenize_call(params))


class AsyncTokens(AsyncOwnResource):
    """`client.tokenize` and `client.detokenize`."""

    methods = ("tokenize", "detokenize")

    async def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text or conversation; see `Tokens.tokenize`."""
        return await self._client._perform(tokenize_call(params))

    async def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text; see `Tokens.detokenize`."""
        return await self._client._perform(detokenize_call(params))
