"""Rerank: POST /v1/rerank, else /rerank, else /v2/rerank.

Routers know one path or another: vLLM's own `vllm-router` 0.1.17 breaks the first two and passes the
third unharmed. A path counts as missing on 404, 405 and 501 alone, and on that router's 500; an HTTP 200
whose payload says 404 is an error. Which path a server has is remembered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from .._calls.call import Call, Variant, json_call
from .._wire.body import RequestOptions, names, read_params
from .._wire.objects import NotAReply, read_object
from .._wire.payloads import ErrorPayload
from ..types import CompletionUsage, RerankResponse, RerankResult
from ._base import AsyncOwnResource, OwnResource

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM  # noqa: F401

PATHS = ("/v1/rerank", "/rerank", "/v2/rerank")

#: A text, ``{"text": …}``, or vLLM's ``{"content": [parts]}``.
Document = str | Mapping[str, Any]


class PoolingOptions(RequestOptions, total=False):
    """Parameters that all of vLLM's pooling operations take."""

    priority: int | None
    request_id: str | None
    cache_salt: str | None
    mm_processor_kwargs: Mapping[str, object] | None
    chat_template_kwargs: Mapping[str, object] | None
    truncate_prompt_tokens: int | None
    """Keep this many tokens; -1 for the model's context. Without it, too long an input is an error."""
    truncation_side: str | None
    """"left" or "right"."""
    padding: str | None
    """"max_length" or "do_not_pad"."""
    use_activation: bool | None
    """False gives raw logits."""


class RerankParams(PoolingOptions, total=False):
    """Optional parameters of `rerank.create`."""

    model: str | None
    """Default: the server's model."""
    top_n: int | None
    """How many to return at the most, at least 1. Default: all."""
    return_documents: bool | None
    """Put the request's documents into the results."""
    params: Mapping[str, object] | None
    """Any of these, nested as Bifrost's SDK nests them."""
    instruction: str | None
    max_tokens_per_query: int | None
    max_tokens_per_doc: int | None
    user: str | None


_KNOWN = names(RerankParams) | {"query"}


def rerank_call(params: Mapping[str, Any], documents: Iterable[Document]) -> Call[RerankResponse]:
    """Build the call.

    Args:
        params: the caller's other keyword arguments.
        documents: what is to be ranked; gone through once.

    Raises:
        TypeError: the documents are no list of documents.
        ValueError: the list of documents is empty, or `top_n` is below 1.
    """
    nested = params.get("params") or {}  # Bifrost's form, as the curl example of its documentation has it
    outer = {name: value for name, value in params.items() if name != "params" and value is not None}
    body, options = read_params("rerank.create", {**nested, **outer}, _KNOWN)
    documents = _listed(documents)
    if not documents:
        raise ValueError("rerank.create: documents is empty; there is nothing to rank")
    top_n = body.get("top_n")
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int)):
        raise TypeError(f"rerank.create: top_n must be a whole number, not {type(top_n).__name__}")
    if top_n is not None and top_n < 1:
        raise ValueError(f"rerank.create: top_n must be at least 1, not {top_n}; leave it out to rank all")
    whole = bool(body.pop("return_documents", False))  # vLLM ignores it and always echoes
    model = body.get("model")
    body["documents"] = [wire_document(document, index) for index, document in enumerate(documents)]
    due = min(top_n or len(documents), len(documents))

    def read(content: bytes) -> RerankResponse:
        return read_rerank(content, documents, model, whole=whole, due=due)

    return json_call("rerank.create", PATHS, body, options, read, falls_back=path_is_missing)


def wire_document(document: Document, index: int) -> str | Mapping[str, object]:
    """A document as vLLM takes it: ``{"text": …}`` is 400 there, so it becomes the text."""
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        if isinstance(document.get("content"), (list, tuple)):
            return {"content": document["content"]}
        if isinstance(document.get("text"), str):
            return document["text"]  # type: ignore[no-any-return]  # it is a string
        if document.get("type") in ("text", "image_url", "video_url", "input_audio", "audio_url"):
            return {"content": [document]}
    raise TypeError(
        f"rerank.create: documents[{index}] is {type(document).__name__}; "
        'pass a string, {"text": "…"} or {"content": [content parts]}'
    )


def path_is_missing(variant: Variant, status: int, error: ErrorPayload) -> bool:
    """Tell whether an error reply means that the server has rerank elsewhere, if at all."""
    return status in (404, 405, 501) or (status == 500 and "Failed to build rerank response" in error.message)


def read_rerank(
    content: bytes, documents: Sequence[Document], model: str | None, *, whole: bool, due: int | None = None
) -> RerankResponse:
    """Read a reply.

    Args:
        content: the body.
        documents: those of the request.
        model: the requested name.
        whole: whether to put the request's documents into the results.
        due: how many results there have to be; None for any number.

    Returns:
        The results by falling score, equal ones in the order of the documents.

    Raises:
        NotAReply: an index is missing, out of range or there twice, a score is missing, or there are too few
            results or too many.
    """
    payload = read_object(content)
    results = payload.get("results")
    if not isinstance(results, list):
        raise NotAReply(
            "rerank results must be an array" if results is not None else "rerank results are missing"
        )
    indices: set[int] = set()
    read = []
    for item in results:
        if not isinstance(item, dict):
            raise NotAReply("a rerank result must be an object")
        index = item.get("index")
        if not isinstance(index, int) or isinstance(index, bool):
            raise NotAReply("a rerank result has no index")
        if not 0 <= index < len(documents):
            raise NotAReply(f"rerank result index {index} is out of range (0 to {len(documents) - 1})")
        if index in indices:
            raise NotAReply(f"rerank result index {index} is there twice")
        indices.add(index)
        score = item.get("relevance_score")
        if score is None:  # 0.0 is a score
            score = item.get("score")
        if not isinstance(score, (int, float)) or isinstance(score, bool) or not math.isfinite(score):
            raise NotAReply(f"rerank result {index} has no relevance_score")
        document = documents[index] if whole else None
        read.append(
            RerankResult.construct(
                index=index,
                relevance_score=float(score),
                document=dict(document) if isinstance(document, Mapping) else document,
            )
        )
    if due is not None and len(read) != due:
        raise NotAReply(f"{len(read)} rerank results where {due} of {len(documents)} documents are due")
    read.sort(key=lambda result: (-result.relevance_score, result.index))
    return RerankResponse.construct(
        id=payload.get("id"),
        model=model or payload.get("model"),
        results=read,
        usage=_usage(payload.get("usage")),
    )


def _usage(usage: Any) -> CompletionUsage | None:
    """Token counts under OpenAI's names; None when nothing was counted."""
    if not isinstance(usage, dict):
        return None
    prompt = usage.get("prompt_tokens") or usage.get("input_tokens") or 0
    completion = usage.get("completion_tokens") or usage.get("output_tokens") or 0
    total = usage.get("total_tokens") or prompt + completion
    if not total:
        return None
    return CompletionUsage.construct(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


class Rerank(OwnResource):
    """`rerank.create`."""

    def create(
        self,
        *,
        query: str | Mapping[str, object],
        documents: Sequence[Document],
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Order documents by relevance to a query.

        Args:
            query: a text, or vLLM's ``{"content": [parts]}``.
            documents: texts, ``{"text": …}`` or ``{"content": [parts]}``.
            params: see `RerankParams`.

        Raises:
            InvalidResponseError: the reply's indices or scores make no sense.
            VLLMError: see `vllm_connect.errors`.
        """
        return self._client._perform(rerank_call({"query": query, **params}, documents))


class AsyncRerank(AsyncOwnResource):
    """`rerank.create`."""

    async def create(
        self,
        *,
        query: str | Mapping[str, object],
        documents: Sequence[Document],
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Order documents by relevance to a query; see `Rerank.create`."""
        return await self._client._perform(rerank_call({"query": query, **params}, documents))


def _listed(documents: Iterable[Document]) -> Sequence[Document]:
    """Any iterable of documents as a sequence, which is looked at twice."""
    if not isinstance(documents, Iterable):
        raise TypeError(f"rerank.create: documents must be a list, not {type(documents).__name__}")
    if isinstance(documents, (str, bytes, Mapping)):
        raise TypeError("rerank.create: documents must be a list of documents, not a single one")
    if isinstance(documents, (set, frozenset)):
        raise TypeError(
            "rerank.create: documents must be a list: results name them by position, and a set has none"
        )
    return documents if isinstance(documents, (list, tuple)) else list(documents)
