"""Tokenize and detokenize: POST /tokenize, /detokenize."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from .._calls.call import Call, Variant
from .._calls.inspection import reading
from .._wire.body import RequestOptions, encode, names, options_of, read_params
from .._wire.objects import Reader
from ..types import DetokenizeResponse, TokenizeResponse
from ._base import AsyncOwnResource, OwnResource


class TokenizeParams(RequestOptions, total=False):
    """Parameters of `tokenize`: `prompt`, one text, or `messages`, a conversation for the chat template."""

    model: str | None
    prompt: str
    messages: Iterable[Any]
    return_token_strs: bool | None
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    chat_template_kwargs: Mapping[str, Any] | None
    media_io_kwargs: Mapping[str, Any] | None
    mm_processor_kwargs: Mapping[str, Any] | None
    tools: Iterable[Any] | None


class DetokenizeParams(RequestOptions, total=False):
    """Parameters of `detokenize`."""

    model: str | None
    tokens: Sequence[int]


_TOKENIZE = names(TokenizeParams)
_DETOKENIZE = names(DetokenizeParams)
_READ_TOKENS = Reader(TokenizeResponse, "tokens")
_READ_TEXT = Reader(DetokenizeResponse, "prompt")


def _tokenize_call(given: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    prompt, messages = given.get("prompt"), given.get("messages")
    if (prompt is None) == (messages is None):
        raise TypeError("tokenize: pass either prompt= or messages=")
    if prompt is not None and not isinstance(prompt, str):
        raise TypeError(
            f"tokenize: prompt must be one string, not {type(prompt).__name__}; call it once for each"
        )
    return _call("tokenize", _TOKENIZE, given)


def _detokenize_call(given: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    if given.get("tokens") is None:
        raise TypeError("detokenize: pass tokens=, a list of token ids")
    return _call("detokenize", _DETOKENIZE, given)


def _call(operation: str, known: frozenset[str], given: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    body, options = read_params(operation, given, known)
    model = body.pop("model", None)
    variants = (Variant(f"/{operation}", encode(body)),)
    return Call(operation, variants, model=model, generates=False), options_of(options)


class Tokens(OwnResource):
    """`client.tokenize` and `client.detokenize`."""

    methods = ("tokenize", "detokenize")

    def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text, or of a conversation as the model would see it.

        Args:
            params: see `TokenizeParams`.
        """
        call, options = _tokenize_call(params)
        return self._client._perform(call, options, read=reading(call, _READ_TOKENS))  # type: ignore[no-any-return]

    def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text.

        Args:
            params: see `DetokenizeParams`.
        """
        call, options = _detokenize_call(params)
        return self._client._perform(call, options, read=reading(call, _READ_TEXT))  # type: ignore[no-any-return]


class AsyncTokens(AsyncOwnResource):
    """`client.tokenize` and `client.detokenize`."""

    methods = ("tokenize", "detokenize")

    async def tokenize(self, **params: Unpack[TokenizeParams]) -> TokenizeResponse:
        """Count and number the tokens of a text or conversation; see `Tokens.tokenize`."""
        call, options = _tokenize_call(params)
        return await self._client._perform(call, options, read=reading(call, _READ_TOKENS))  # type: ignore[no-any-return]

    async def detokenize(self, **params: Unpack[DetokenizeParams]) -> DetokenizeResponse:
        """Turn token ids back into text; see `Tokens.detokenize`."""
        call, options = _detokenize_call(params)
        return await self._client._perform(call, options, read=reading(call, _READ_TEXT))  # type: ignore[no-any-return]
