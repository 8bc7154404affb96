"""Embeddings: POST /v1/embeddings, as floats, base64 or raw bytes; the result is the same.

Left to itself the client asks for base64, or for bytes when a numpy array is wanted, and for JSON floats
where the server refuses that; what a server understands is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from openai.resources.embeddings import AsyncEmbeddings as SDKAsyncEmbeddings
from openai.resources.embeddings import Embeddings as SDKEmbeddings
from openai.types.embedding_create_params import EmbeddingCreateParams
from typing_extensions import NotRequired, Unpack

from ..calls import Call, Variant
from ..errors import ErrorPayload
from ..params import encode, names, options_of, read_params
from ..replies import reading
from ..types import EmbeddingResponse
from ..unsupported import only
from ..vectors import Layout, read_embeddings
from .rerank import PoolingOptions

if TYPE_CHECKING:
    from ..client import VLLM, AsyncVLLM

EncodingFormat = Literal["float", "base64", "bytes", "bytes_only"]
EmbedDtype = Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"]

# The `bytes` format describes every vector in one response header, some 120 bytes each, and proxies and
# http clients refuse large headers (httpx about 100 kB).
_MOST_IN_HEADER = 512


class EmbeddingParams(EmbeddingCreateParams, PoolingOptions, total=False):
    """Everything that `embeddings.create` accepts: `input`, or vLLM's `messages`."""

    model: NotRequired[str | None]  # type: ignore[misc]
    """Default: the server's model."""

    encoding_format: EncodingFormat  # type: ignore[misc]
    """How vectors travel; the result is the same. Default: what is fastest for the server."""
    embed_dtype: EmbedDtype | None
    """What they travel as in base64 and bytes. Default: float32."""
    endianness: Literal["native", "big", "little"] | None
    input: NotRequired[str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]]  # type: ignore[misc]
    messages: Iterable[Any]
    """A conversation, perhaps with images, to embed as one text."""
    add_special_tokens: bool | None
    add_generation_prompt: bool | None
    continue_final_message: bool | None
    chat_template: str | None
    media_io_kwargs: Mapping[str, Any] | None
    padding: str | None
    as_numpy: bool | None
    """Vectors as rows of one float32 numpy array instead of lists; needs the `[numpy]` extra."""


_KNOWN = names(EmbeddingParams)


def embedding_call(given: Mapping[str, Any]) -> tuple[Call, dict[str, Any], Layout]:
    """Build the call; returns also the request options and how to read the reply."""
    body, options = read_params("embeddings.create", given, _KNOWN)
    as_numpy = bool(body.pop("as_numpy", False))
    texts, messages = body.get("input"), body.get("messages")
    if (texts is None) == (messages is None):
        raise TypeError("embeddings.create: pass either input= or messages=")
    if texts is not None and not isinstance(texts, (str, list)):
        texts = body["input"] = list(texts)
    if isinstance(texts, list) and not texts:
        raise ValueError("embeddings.create: input is empty; there is nothing to embed")
    count = _count(texts)
    chosen = body.get("encoding_format")
    if chosen is not None:
        formats = [chosen]
    elif as_numpy and count is not None and count <= _MOST_IN_HEADER:
        formats = ["bytes", "base64", "float"]
    else:
        formats = ["base64", "float"]
    model = body.pop("model", None)
    variants = tuple(
        Variant("/v1/embeddings", encode({**body, "encoding_format": encoding})) for encoding in formats
    )
    # bfloat16 and the like exist in binary formats only, so falling back to floats loses nothing.
    operation = "embeddings.create" + (" as numpy" if as_numpy else "")
    call = Call(operation, variants, model=model, falls_back=_format_is_unknown)
    layout = Layout(as_numpy, count, body.get("embed_dtype", "float32"), body.get("endianness", "native"))
    return call, options_of(options), layout


def _count(texts: Any) -> int | None:
    """How many inputs there are; None when only the server knows (a conversation)."""
    if texts is None:
        return None
    if isinstance(texts, str) or isinstance(texts[0], int):
        return 1
    return len(texts)


def _format_is_unknown(variant: Variant, status: int, error: ErrorPayload) -> bool:
    """Whether a reply means that the server, or a proxy before it, cannot send this format.

    vLLM before 0.13 refuses `bytes`, others refuse base64; a proxy answers 502 to too large a header.
    """
    by_proxy = status == 502 and b'"encoding_format":"bytes"' in (variant.body or b"")
    return by_proxy or (status in (400, 422) and "encoding_format" in error.message)


def _read(call: Call, layout: Layout) -> Any:
    return reading(call, lambda content: read_embeddings(content, call.response.headers, layout))


@only("embeddings", "create")
class Embeddings(SDKEmbeddings):
    """Embeddings."""

    _client: VLLM

    def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:  # type: ignore[override]
        """Embed texts, token ids or a conversation.

        Args:
            params: see `EmbeddingParams`; `input` is a text, token ids, or a list of either.

        Returns:
            One embedding per input, in its order: lists of floats, or with `as_numpy=True` rows of `.array`.

        Raises:
            ContextLengthError: an input is too long; `truncate_prompt_tokens=-1` cuts it instead.
        """
        call, options, layout = embedding_call(params)
        return self._client._perform(call, options, read=_read(call, layout))  # type: ignore[no-any-return]


@only("embeddings", "create")
class AsyncEmbeddings(SDKAsyncEmbeddings):
    """Embeddings."""

    _client: AsyncVLLM

    async def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:  # type: ignore[override]
        """Embed texts, token ids or a conversation; see `Embeddings.create`."""
        call, options, layout = embedding_call(params)
        return await self._client._perform(call, options, read=_read(call, layout))  # type: ignore[no-any-return]
