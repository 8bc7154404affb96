"""Embeddings: POST /v1/embeddings, as floats, base64 or raw bytes; the result is the same.

Left to itself the client asks for bytes, for base64 where there are too many inputs for that or the server
refuses it, and for JSON floats where it refuses both; what a server understands is remembered. A proxy that
passes the request on and then cannot read the reply (LiteLLM's) refuses in its own way, by any error or by an
answer in pieces: until a format was understood once, whatever goes wrong with it is taken for a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import orjson
from openai._constants import RAW_RESPONSE_HEADER
from openai.resources.embeddings import AsyncEmbeddings as SDKAsyncEmbeddings
from openai.resources.embeddings import Embeddings as SDKEmbeddings
from openai.types.embedding_create_params import EmbeddingCreateParams
from typing_extensions import NotRequired, TypedDict, Unpack

from .._calls.call import Call, Variant, at_home
from .._transport.clients import takes_large_headers
from .._unsupported import only
from .._wire.body import encode, names, read_params
from .._wire.decoding import JsonObject
from .._wire.inputs import count_of
from .._wire.payloads import ErrorPayload
from .._wire.vectors import Layout, read_embeddings
from ..types import EmbeddingResponse
from ._patched import CallOf, Parser, SDKMethod
from .rerank import PoolingOptions

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM

EncodingFormat = Literal["float", "base64", "bytes", "bytes_only"]
EmbedDtype = Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"]

# The `bytes` format describes every vector in one response header, some 120 bytes each. Proxies begin to
# refuse headers at 4 kB, aiohttp at 8 kB, httpx at 100 kB.
FEW = 30
_MOST = 512

_DOUBTFUL = frozenset({415, 422, 500, 501, 502})


class LateChunkingParams(TypedDict):
    """The way in which a text is cut after it was embedded as a whole.

    Attributes:
        chunk_size: tokens of each chunk.
    """

    chunk_size: int


class EmbeddingParams(EmbeddingCreateParams, PoolingOptions, total=False):
    """Everything that `embeddings.create` accepts: `input`, or vLLM's `messages`."""

    model: NotRequired[str | None]  # type: ignore[misc]  # the server has one
    """Default: the server's model."""

    encoding_format: EncodingFormat  # type: ignore[misc]  # vLLM's own
    """How vectors travel; the result is the same. Default: what is fastest for the server."""
    embed_dtype: EmbedDtype | None
    """What they travel as in base64 and bytes. Default: float32."""
    endianness: Literal["native", "big", "little"] | None
    input: NotRequired[str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]]  # type: ignore[misc]  # vLLM's own
    messages: Iterable[Any]
    """A conversation, perhaps with images, to embed as one text."""
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    media_io_kwargs: Mapping[str, Any] | None
    late_chunking_params: LateChunkingParams | None
    """One vector for so many tokens instead of one for each, of models that give these (vLLM >= 0.33)."""
    as_numpy: bool | None
    """Vectors as rows of one float32 numpy array instead of lists, matrices as arrays of their own; needs the
    `[numpy]` extra."""


_KNOWN = names(EmbeddingParams)
_OPERATION = "embeddings.create"


def embedding_call(params: Mapping[str, Any], *, large_headers: bool = False) -> Call[EmbeddingResponse]:
    """Build the call.

    Args:
        params: the caller's keyword arguments.
        large_headers: whether the http client takes them, see `FEW`.
    """
    body, options = read_params(_OPERATION, params, _KNOWN)
    as_numpy = bool(body.pop("as_numpy", False))
    texts, messages = body.get("input"), body.get("messages")
    if (texts is None) == (messages is None):
        raise TypeError("embeddings.create: pass either input= or messages=")
    count = count_of(body, "input", _OPERATION)
    chosen = body.get("encoding_format")
    if chosen is not None:
        formats = [chosen]
    elif _wants_raw_reply(options):
        formats = ["base64", "float"]  # JSON, as the SDK would have asked for
    elif count is not None and count <= (_MOST if large_headers else FEW):
        formats = ["bytes", "base64", "float"]
    else:
        formats = ["base64", "float"]
    session, routed = at_home(_OPERATION, body, options)
    model = body.pop("model", None)
    content = encode(body, operation=_OPERATION)
    bodies = [content] if chosen is not None else [in_format(content, each) for each in formats]
    variants = tuple(Variant("/v1/embeddings", *each) for each in zip(bodies, formats, strict=True))
    falls_back = _is_refused_or_too_large if count and count > FEW else format_is_refused
    layout = Layout(as_numpy, count, body.get("embed_dtype", "float32"), body.get("endianness", "native"))
    return Call(
        _OPERATION,
        variants,
        model,
        read_reply=lambda reply: read_embeddings(reply.content, reply.headers, layout),
        options=routed,
        session=session,
        falls_back=falls_back,
        doubtful=_DOUBTFUL,
    )


def in_format(content: bytes, encoding_format: str) -> bytes:
    """A body, which holds inputs at least, with a format added."""
    return b'%b,"encoding_format":%b}' % (content[:-1], orjson.dumps(encoding_format))


def _wants_raw_reply(options: Mapping[str, Any]) -> bool:
    return RAW_RESPONSE_HEADER in (options.get("headers") or {})


def format_is_refused(variant: Variant, status: int, error: ErrorPayload) -> bool:
    """Tell whether a reply means that the server cannot send this format: `bytes` is from vLLM 0.13 on."""
    return status in (400, 422) and "encoding_format" in error.message


def _is_refused_or_too_large(variant: Variant, status: int, error: ErrorPayload) -> bool:
    """The same, or that a proxy has answered 502 to a large header."""
    by_proxy = status == 502 and variant.kind == "bytes"
    return by_proxy or format_is_refused(variant, status, error)


_CREATE = SDKMethod(SDKEmbeddings, "create", _KNOWN, EmbeddingCreateParams)
_ASYNC_CREATE = SDKMethod(SDKAsyncEmbeddings, "create", _KNOWN, EmbeddingCreateParams)


def _making(client: Any, chosen: object) -> CallOf:
    """Return the maker of a call, see `CallOf`; the SDK puts base64 for want of a choice."""

    def call_of(params: JsonObject, stream: bool, parser: Parser) -> Call[EmbeddingResponse]:
        if chosen is None and params.get("encoding_format") == "base64":
            params = {name: value for name, value in params.items() if name != "encoding_format"}
        return embedding_call(params, large_headers=takes_large_headers(client._client))

    return call_of


@only("embeddings", "create")
class Embeddings(SDKEmbeddings):
    """Embeddings."""

    _client: VLLM

    def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:  # type: ignore[override]  # vLLM's parameters
        """Embed texts, token ids or a conversation.

        Args:
            params: see `EmbeddingParams`; `input` is a text, token ids, or a list of either.

        Returns:
            One embedding per input, in its order: lists of floats, or with `as_numpy=True` rows of `.array`.
            Of a model with a vector for each token, a list of them, or an array of its own, for each input.

        Raises:
            ContextLengthError: an input is too long; `truncate_prompt_tokens=-1` cuts it instead.
        """
        if _CREATE.is_watched(self._client):
            making = _making(self._client, params.get("encoding_format"))
            return _CREATE.call(self._client, params, making)  # type: ignore[no-any-return]  # whoever replaced it
        large_headers = takes_large_headers(self._client._client)
        return self._client._ask(embedding_call(params, large_headers=large_headers))


@only("embeddings", "create")
class AsyncEmbeddings(SDKAsyncEmbeddings):
    """Embeddings."""

    _client: AsyncVLLM

    async def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:  # type: ignore[override]  # vLLM's parameters
        """Embed texts, token ids or a conversation; see `Embeddings.create`."""
        if _ASYNC_CREATE.is_watched(self._client):
            making = _making(self._client, params.get("encoding_format"))
            return await _ASYNC_CREATE.call(self._client, params, making)  # type: ignore[no-any-return]  # as above
        large_headers = takes_large_headers(self._client._client)
        return await self._client._ask(embedding_call(params, large_headers=large_headers))
